"""The report's figures and files: tables of `serlib.scoring` drawn, and written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from serlib import claims, metrics, plots, reliability
from serlib.plots import BLUE, GREY, RED
from serlib.scoring import (
    AUGMENTATIONS,
    DISTURBANCES,
    IDEAS,
    PLAIN,
    RUNGS,
    confusions,
    features_name,
    heard_name,
    model_name,
    protocols_of,
    scores,
    title,
    unseen_columns,
)

PALETTE = (GREY, RED, BLUE, "#117733", "#DDAA33", "#88CCEE")  # of models, where several share a panel


def _marks(colours: Sequence[str] = PALETTE) -> Iterator[tuple[str, str]]:
    """Markers with colours, without end; with six colours 42 pairs pass before one comes again."""
    return zip(itertools.cycle("sov^DXP"), itertools.cycle(colours), strict=False)


def _legend(fig: plt.Figure, axes: np.ndarray) -> None:
    """One legend below the panels: every name once, whichever of them has it."""
    handles = {text: handle for ax in axes.flat for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")


def gap(table: pd.DataFrame) -> plt.Figure:
    """UAR under `random` beside UAR on each unseen speaker and its range over seeds, and the paper's claim.

    One row a model; `table` is from `results`. Many speakers share one mark, with the 95 % interval over them.
    """
    fig, ax = plt.subplots(figsize=(8.5, 0.55 * len(table) + 1.8))
    y = np.arange(len(table))[::-1]
    ax.hlines(y, table.unseen_uar, table.random_uar, color="#BBBBBB", linewidth=3, zorder=1)
    ax.scatter(table.random_uar, y, s=60, color=BLUE, label="random split", zorder=3)
    unseen = unseen_columns(table)
    shifts = np.linspace(0.15, -0.15, len(unseen)) if len(unseen) > 1 else [0]
    for marker, shift, (name, column) in zip("^vDPX<>*hp", shifts, unseen.items(), strict=False):
        bounds = ("low", "high") if column == "unseen_uar" else ("seed_min", "seed_max")
        low, high = (table[f"{column}_{bound}"] for bound in bounds)
        ax.hlines(y + shift, low, high, color=RED, linewidth=1, zorder=2)
        ax.scatter(table[column], y + shift, s=50, marker=marker, color=RED, label=name, zorder=3)
    if table.claim_wa.notna().any():
        ax.scatter(table.claim_wa, y, s=110, marker="|", color="black", label="paper's claim (WA)", zorder=4)
    chance = table.constant_uar.iloc[0]
    ax.axvline(chance, color="black", linestyle=":", linewidth=1)
    ax.text(chance + 0.5, len(table) - 0.45, "constant answer", fontsize="small", va="bottom")
    ax.set_yticks(y, list(map(model_name, table.model, table.start)))
    ax.set(xlabel="UAR (%)", xlim=(0, 102), ylim=(-0.6, len(table) - 0.1))
    fig.legend(loc="outside lower center", ncols=4, fontsize="small")
    return fig


def confusion_matrices(predictions: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """Confusion matrices of one model and corpus, one panel a protocol; the figure and its counts."""
    parts = [(p, predictions.query("protocol == @p")) for p in protocols_of(predictions)]
    fig, axes = plt.subplots(1, len(parts), figsize=(5.2 * len(parts), 4.9), squeeze=False)
    counts = []
    for ax, (protocol, part) in zip(axes[0], parts, strict=True):
        matrix, classes = confusions(part)
        plots.confusion(ax, matrix, classes)
        ax.set_title(f"{PLAIN[protocol]}: UAR {100 * metrics.uar(matrix):.1f} %")
        long = pd.DataFrame(matrix, index=pd.Index(classes, name="true"), columns=classes)
        long = long.reset_index().melt("true", var_name="predicted", value_name="utterances")
        counts.append(long.assign(protocol=protocol))
    return fig, pd.concat(counts, ignore_index=True)


def protocols(predictions: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """UAR of one model under each protocol: with its interval, of each seed, and on each unseen speaker.

    Parameters
    ----------
    predictions : DataFrame
        Of one model and corpus, test rows.

    Returns
    -------
    Figure
    DataFrame
        From `scores`: all, seed by seed, and speaker by speaker under `speaker_independent`.
    """
    overall, by_seed = (scores(predictions, ["protocol", *by]) for by in ([], ["seed"]))
    by_speaker = scores(predictions.query("protocol == 'speaker_independent'"), ["protocol", "speaker"])
    names = protocols_of(predictions)
    overall = overall.set_index("protocol").loc[names].reset_index()
    rows = {protocol: -k for k, protocol in enumerate(names)}
    chance = 100 / predictions.emotion.nunique()
    fig, ax = plt.subplots(figsize=(7.5, 1 + 0.75 * len(names)))
    reach = [overall.uar - overall.uar_low, overall.uar_high - overall.uar]
    style: dict[str, Any] = {"fmt": "o", "markersize": 5, "capsize": 7, "linewidth": 2, "color": BLUE}
    ax.errorbar(overall.uar, overall.protocol.map(rows), xerr=reach, label="all seeds, with interval", **style)
    ax.scatter(by_seed.uar, by_seed.protocol.map(rows) - 0.25, s=14, color=GREY, label="each seed")
    ax.scatter(by_speaker.uar, by_speaker.protocol.map(rows) + 0.25, marker="x", color=RED, label="each speaker")
    ax.axvline(chance, color="black", linestyle=":", linewidth=1, label="constant answer")
    over = overall.interval_over.map(lambda unit: f"\n(interval: {unit}s)", na_action="ignore").fillna("")
    drawn = [PLAIN[name] + told for name, told in zip(names, over, strict=True)]
    ax.set_yticks(list(rows.values()), drawn)
    ax.set(xlabel="UAR (%)", xlim=(0, 102), ylim=(0.5 - len(names), 0.5))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return fig, pd.concat([overall, by_seed, by_speaker], ignore_index=True).assign(constant_uar=chance)


def label_shares(table: pd.DataFrame) -> plt.Figure:
    """UAR over the share of labels with and without pre-training, and below it the gain; a column a protocol.

    `table` is from `label_shares`, of one corpus and sample.
    """
    protocols = protocols_of(table)
    fig, axes = plt.subplots(
        2, len(protocols), figsize=(4.6 * len(protocols), 5), sharex=True, sharey="row", squeeze=False
    )
    for (top, bottom), protocol in zip(axes.T, protocols, strict=True):
        part = table[table.protocol == protocol].sort_values("label_share")
        places = np.arange(len(part))
        top.plot(places, part.uar_pretrained, "o-", color=BLUE, label="pre-trained")
        top.plot(places, part.uar_scratch, "s--", color=RED, label="from scratch")
        bottom.vlines(places, part.gain_low, part.gain_high, color=BLUE, linewidth=2)
        bottom.plot(places, part.gain, "o", color=BLUE)
        for bound in (part.gain_seed_min, part.gain_seed_max):
            bottom.plot(places + 0.08, bound, "x", color=RED, markersize=5)
        bottom.axhline(0, color="black", linewidth=0.8)
        bottom.set_xticks(places, [f"{100 * share:.0f} %" for share in part.label_share])
        bottom.set(xlabel="share of the labels", xlim=(-0.4, len(part) - 0.6))
        top.set_title(PLAIN[protocol])
    axes[0, 0].set_ylabel("UAR (%)")
    axes[1, 0].set_ylabel("gain (points)\nline: 95 %, ×: extreme seeds")
    axes[0, 0].legend()
    return fig


def by_corpus(predictions: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """UAR of models trained on a pool, for the clips of each of its corpora, one panel a protocol; figure and table.

    A corpus's UAR is over its own emotions; the dotted line in its row is one over their number. Where the raters of a
    release are known, a black cross is the UAR of the emotion that most of them heard in the voice.
    """
    table = scores(predictions, ["protocol", "model", "start", "corpus"])
    corpora = sorted(set(table.corpus), reverse=True)
    n_emotions = predictions.groupby(["protocol", "corpus"]).emotion.nunique()
    models = table[["model", "start"]].drop_duplicates().itertuples(index=False, name=None)
    marks = dict(zip(models, _marks(), strict=False))  # one for all panels
    heard = reliability.listeners().query("corpus in @corpora")
    protocols = protocols_of(table)
    fig, axes = plt.subplots(1, len(protocols), figsize=(4.5 * len(protocols), 1.6 + 0.5 * len(corpora)), squeeze=False)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for y, corpus in enumerate(corpora):
            if (protocol, corpus) in n_emotions:
                chance = 100 / n_emotions[protocol, corpus]
                ax.plot([chance] * 2, [y - 0.4, y + 0.4], color="black", linestyle=":", linewidth=1)
        by_model = table.query("protocol == @protocol").groupby(["model", "start"], sort=False)
        shifts = np.linspace(0.25, -0.25, by_model.ngroups) if by_model.ngroups > 1 else [0]
        for ((model, start), part), shift in zip(by_model, shifts, strict=True):
            marker, colour = marks[model, start]
            rows = part.corpus.map(corpora.index) + shift
            ax.scatter(part.uar, rows, s=40, marker=marker, color=colour, label=model_name(model, start), zorder=3)
        if len(heard):
            places = heard.corpus.map(corpora.index)
            ax.scatter(
                heard.uar, places, s=60, marker="x", color="black", label="most listeners, voice alone", zorder=4
            )
        ax.set_yticks(range(len(corpora)), [title(name) for name in corpora])
        ax.set(title=PLAIN[protocol], xlabel="UAR (%)", xlim=(0, 102), ylim=(-0.5, len(corpora) - 0.5))
        ax.label_outer()
    _legend(fig, axes)
    return fig, table


def learning_curves(history: pd.DataFrame) -> plt.Figure:
    """Loss and accuracy by epoch of one model and corpus, one row of panels a protocol."""
    protocols = protocols_of(history)
    fig, axes = plt.subplots(len(protocols), 2, figsize=(9, 3 * len(protocols)), squeeze=False)
    for row, protocol in zip(axes, protocols, strict=True):
        plots.learning_curves(row, history.query("protocol == @protocol"))
        row[0].set_title(PLAIN[protocol])
    return fig


def printed_epochs(history: pd.DataFrame) -> plt.Figure:
    """Accuracy by epoch of the two LSTMs of `bhuyan2025`, and what its Table 2 prints; a panel a network.

    `history` is of one corpus and protocol; one line for each seed and fold.
    """
    printed = claims.tables()["bhuyan2025_table_2"].rows
    models = [model for model in printed.columns.drop("epoch") if model in set(history.model)]
    fig, axes = plt.subplots(1, len(models), figsize=(5.5 * len(models), 3.4), sharey=True, squeeze=False)
    for ax, model in zip(axes[0], models, strict=True):
        for k, (_, run) in enumerate(history[history.model == model].groupby(["fold", "seed"])):
            for column, line, name in (("accuracy", "-", "training"), ("val_accuracy", ":", "validation")):
                label = None if k else f"{name}, here"
                ax.plot(run.epoch, 100 * run[column], line, color=BLUE, linewidth=1, label=label)
        ax.plot(printed.epoch, 100 * printed[model], "x", color=RED, label="printed")
        ax.set(title=model_name(model), xlabel="epoch", ylim=(0, 102))
    axes[0, 0].set_ylabel("accuracy (%)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def methods(predictions: pd.DataFrame, measures: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """Accuracy and response time of the ten methods that `aissms` lists, of its own and of ours; figure and table.

    Parameters
    ----------
    predictions : DataFrame
        Test rows of one model and corpus.
    measures : DataFrame
        Its measure ``response_time``: columns step, median_ms, p95_ms.
    """
    table = claims.tables()["aissms_methods"].rows[["method", "wa", "response_ms"]]
    table = table.replace({"method": {"Proposed Method": "Patil et al., proposed"}})
    ours = scores(predictions, ["task", "recipe", "protocol"])
    named = "here: " + ours.protocol.map(PLAIN) + np.where(ours.task == "emotion", "", ", emotion and gender")
    named += np.where(ours.recipe == "default", "", ", " + ours.recipe.str.replace("_", " "))
    in_all = measures[measures.step == "in all"]
    ours = ours.assign(method=named, response_ms=in_all.median_ms.median(), response_p95_ms=in_all.p95_ms.median())
    columns = ["method", "wa", "wa_seed_min", "wa_seed_max", "seeds", "utterances", "response_ms", "response_p95_ms"]
    table = pd.concat([table, ours[columns]], ignore_index=True)
    rows, here = np.arange(len(table))[::-1], table.method.str.startswith("here")
    fig, (bars, line) = plt.subplots(1, 2, figsize=(10, 0.3 * len(table) + 1.2), sharey=True, width_ratios=[1.3, 1])
    colours = np.where(here, RED, np.where(table.method.str.startswith("Patil"), BLUE, "#BBBBBB"))
    bars.barh(rows, table.wa, color=colours)
    for y, value in zip(rows, table.wa, strict=True):
        bars.text(value + 1, y, f"{value:.1f}", va="center", fontsize="small")
    bars.set_yticks(rows, table.method)
    bars.set(xlabel="accuracy (%)", xlim=(0, 112))
    line.plot(table.response_ms, rows, "o-", color=GREY, markersize=4)
    line.scatter(table.response_ms, rows, color=colours, zorder=3)
    line.set(xlabel="response time (ms)", xlim=(0, None))
    return fig, table


def fed(table: pd.DataFrame) -> plt.Figure:
    """UAR by what models are fed, one panel a protocol; `table` is from `scoring.fed`, of one corpus and sample."""
    models = list(dict.fromkeys(table.model))
    ordered = table.assign(parts=table.features.str.count(r"\+"), at=table.model.map(models.index))
    kinds = ordered.drop_duplicates("features").sort_values(["at", "parts"], kind="stable").features.tolist()
    protocols = protocols_of(table)
    fig, axes = plt.subplots(1, len(protocols), figsize=(4.5 * len(protocols), 1.8 + 0.45 * len(kinds)), squeeze=False)
    shifts = np.linspace(-0.25, 0.25, len(models)) if len(models) > 1 else [0]
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for model, shift, (marker, colour) in zip(models, shifts, _marks(), strict=False):
            part = table[(table.protocol == protocol) & (table.model == model)]
            rows = [kinds.index(kind) + shift for kind in part.features]  # none where it was not run
            ax.hlines(rows, part.uar_seed_min, part.uar_seed_max, color=colour, linewidth=1)
            ax.plot(part.uar, rows, marker, color=colour, label=model_name(model))
        ax.set_yticks(range(len(kinds)), [features_name(kind) for kind in kinds])
        ax.set(title=PLAIN[protocol], xlabel="UAR (%)", xlim=(0, 102), ylim=(len(kinds) - 0.5, -0.5))
        ax.label_outer()
    _legend(fig, axes)
    return fig


def ladder(table: pd.DataFrame) -> plt.Figure:
    """UAR of every model on each rung with its interval, the least honest rung on top; a dotted line is chance.

    `table` is from `scoring.ladder`, of one corpus and sample. The models that stand on most rungs have a colour, a row
    on each rung and a line from rung to rung; all others share one row, grey, without their intervals.
    """
    on = ["model", "start", "features"]
    by_model = sorted(table.groupby(on, sort=False), key=lambda item: -len(item[1]))
    place = {key: k for k, (key, _) in enumerate(by_model)}
    coloured = min(len(PALETTE), sum(len(part) == len(by_model[0][1]) for _, part in by_model))
    rungs = [rung for rung in RUNGS if rung in set(table.rung)]
    order = {rung: k for k, rung in enumerate(rungs)}
    rows = table.assign(band=table.rung.map(order), place=[place[key] for key in table[on].itertuples(index=False)])
    rows["slot"] = rows.place.clip(upper=coloured)
    slots = rows[["band", "slot"]].drop_duplicates().sort_values(["band", "slot"], ignore_index=True)
    slots["y"] = np.arange(len(slots)) + slots.band  # an empty row between two rungs
    rows, bands = rows.merge(slots, on=["band", "slot"]), slots.groupby("band").y.agg(["min", "max"])
    several = rows.drop_duplicates(on).groupby(["model", "start"]).size()
    fig, ax = plt.subplots(figsize=(8.5, 1.8 + 0.24 * (slots.y.max() + 1)))
    for k, (model, start, features) in enumerate(list(place)[:coloured]):
        part, colour = rows[rows.place == k].sort_values("y"), PALETTE[(k + 2) % len(PALETTE)]
        name = model_name(model, start, features if several[model, start] > 1 else "")
        ax.hlines(part.y, part.uar_low, part.uar_high, color=colour, linewidth=1.2, zorder=2)
        ax.plot(
            part.uar, part.y, "-", marker="osD^vX"[k], markersize=5, color=colour, linewidth=0.7, label=name, zorder=3
        )
    others = rows[rows.place >= coloured]
    if len(others):
        ax.plot(others.uar, others.y, "|", markersize=11, color="#777777", label="other models", zorder=3)
    for k, (first, last) in enumerate(bands.itertuples(index=False)):
        chance = rows.constant_uar[rows.band == k].iloc[0]
        ax.plot([chance] * 2, [first - 0.8, last + 0.8], ":", color="black", linewidth=1, label=None if k else "chance")
        ax.axhline(first - 1, color="#DDDDDD", linewidth=0.8, zorder=1)
    ax.set_yticks(bands.mean(axis=1), [RUNGS[rung] for rung in rungs])
    ax.set(xlabel="UAR (%)", xlim=(0, 102), ylim=(rows.y.max() + 1, -1))
    fig.legend(loc="outside lower center", ncols=3, fontsize="small")
    return fig


def augmentations(table: pd.DataFrame) -> plt.Figure:
    """Points of UAR that each change of training rows brought, with intervals; hollow where chance would give as much.

    `table` is from `scoring.augmentations`, of one corpus, sample and protocol; chance is judged by p_holm at 5 %. A
    panel a classifier, whose title says what it gets on the rows as they are.
    """
    panels = list(table.groupby(["model", "features"], sort=False))
    height = 1.7 + 0.36 * max(len(part) - 1 for _, part in panels)
    fig, axes = plt.subplots(1, len(panels), figsize=(1 + 4.4 * len(panels), height), squeeze=False, sharex=True)
    for ax, ((model, fed), part) in zip(axes[0], panels, strict=True):
        changed = part[part.recipe != "none"].reset_index(drop=True)
        ax.hlines(changed.index, changed.gain_low, changed.gain_high, color=BLUE, linewidth=1.5)
        for sure, rows in changed.groupby(changed.p_holm < 0.05):
            ax.plot(rows.gain, rows.index, "o", color=BLUE, markerfacecolor=BLUE if sure else "white")
        ax.axvline(0, color="black", linestyle=":", linewidth=1)
        ax.set_yticks(changed.index, [AUGMENTATIONS[recipe] for recipe in changed.recipe])
        plain = part[part.recipe == "none"].uar.iloc[0]
        ax.set(
            title=f"{model_name(model)}\non {features_name(fed)}\nwithout: UAR {plain:.1f} %",
            xlabel="gain in UAR (points)",
        )
        ax.invert_yaxis()
    return fig


def ideas(table: pd.DataFrame) -> plt.Figure:
    """Points of UAR that each idea of notebook 18 is worth, a panel a corpus; hollow where chance would give as much.

    `table` is from `scoring.ideas`, of one training set and protocol; chance is judged by p_holm at 5 %.
    """
    panels = list(table.groupby("corpus", sort=True))
    size = (1.8 + 2.6 * len(panels), 1.6 + 0.36 * table.idea.nunique())
    fig, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, sharey=True)
    for ax, (corpus, part) in zip(axes[0], panels, strict=True):
        place = part.idea.map(list(dict.fromkeys(table.idea)).index)
        ax.hlines(place, part.low, part.high, color=BLUE, linewidth=1.5)
        for sure, rows in part.groupby(part.p_holm < 0.05):
            ax.plot(rows.worth, place[rows.index], "o", color=BLUE, markerfacecolor=BLUE if sure else "white")
        ax.axvline(0, color="black", linestyle=":", linewidth=1)
        ax.set(title=f"{title(str(corpus))}\ncomplete: {part.complete.iloc[0]:.1f} %", xlabel="worth (points of UAR)")
    axes[0, 0].set_yticks(range(table.idea.nunique()), [IDEAS[idea] for idea in dict.fromkeys(table.idea)])
    axes[0, 0].invert_yaxis()
    return fig


def each_corpus(table: pd.DataFrame) -> plt.Figure:
    """UAR of the same models on every corpus, known voices, unseen ones and from other corpora; a panel a corpus.

    `table` is from `scoring.each_corpus`. Lines are 95 % intervals, a black tick is the constant answer.
    """
    panels = list(table.groupby("corpus", sort=True))
    models = list(table[["model", "start"]].drop_duplicates().itertuples(index=False, name=None))
    protocols = protocols_of(table)
    shifts = np.linspace(-0.25, 0.25, len(protocols)) if len(protocols) > 1 else [0]
    size = (2 + 2.5 * len(panels), 1.7 + 0.55 * len(models))
    fig, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax, (corpus, part) in zip(axes[0], panels, strict=True):
        place = pd.Series(list(zip(part.model, part.start, strict=True)), part.index).map(models.index)
        for protocol, shift, (marker, colour) in zip(protocols, shifts, _marks((BLUE, RED, "#DDAA33")), strict=False):
            rows = part[part.protocol == protocol]
            y = place[rows.index] + shift
            ax.plot(rows.constant_uar, y, "|", color="black", markersize=9, label="constant answer")
            ax.hlines(y, rows.uar_low, rows.uar_high, color=colour, linewidth=1.5)
            ax.plot(rows.uar, y, marker, color=colour, markersize=5, label=PLAIN[protocol], zorder=3)
        ax.set(title=title(str(corpus)), xlabel="UAR (%)", xlim=(0, 102))
    axes[0, 0].set_yticks(range(len(models)), [model_name(*pair) for pair in models])
    axes[0, 0].set_ylim(len(models) - 0.5, -0.5)
    _legend(fig, axes)
    return fig


def published(table: pd.DataFrame) -> plt.Figure:
    """UAR on unseen speakers here (dots with intervals) and as published (ticks), a row a corpus and way to train.

    `table` is from `scoring.published`.
    """
    fig, ax = plt.subplots(figsize=(9, 1.6 + 0.42 * len(table)))
    for kind, marker, text in (
        ("small", "s", "published, small or hand-crafted"),
        ("large", "D", "published, pre-trained elsewhere"),
    ):
        ax.plot(table[kind], table.index, marker, color="black", markerfacecolor="white", label=text)
    for ours, rows in table.groupby(table.model.str.startswith("recogniser")):
        colour, text = (BLUE, "here, the recogniser of notebook 18") if ours else (GREY, "here, best before")
        ax.hlines(rows.index, rows.uar_low, rows.uar_high, color=colour, linewidth=2)
        ax.plot(rows.uar, rows.index, "o", color=colour, label=text, zorder=3)
    corpora = map(title, table.train_corpora, table["sample"])
    on = ["it alone" if own else name for own, name in zip(table.train_corpora == table.corpus, corpora, strict=True)]
    who = [f"{title(row.corpus)}: {model_name(row.model, row.start, row.features)}" for row in table.itertuples()]
    how = [f"{name}\ntrained on {corpora}" for name, corpora in zip(who, on, strict=True)]
    ax.set_yticks(table.index, how, fontsize="small")
    ax.set(xlabel="UAR on unseen speakers (%)", xlim=(0, 100), ylim=(len(table) - 0.4, -0.6))
    fig.legend(loc="outside lower center", ncols=2, fontsize="small")
    return fig


def own_mean(table: pd.DataFrame) -> plt.Figure:
    """UAR on unseen speakers by what was heard of each before, a panel a corpus; lines are 95 % intervals.

    `table` is from `scoring.own_mean`, of one training set and sample. Hollow: nothing was heard. Vertical lines are
    published scores that know all clips of the test speakers.
    """
    rows = table[["model", "heard"]].drop_duplicates().reset_index(drop=True)
    panels = list(table.groupby("corpus", sort=True))
    size = (2.6 + 2.4 * len(panels), 1.6 + 0.32 * len(rows))
    fig, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, sharey=True)
    models = rows.model.drop_duplicates().tolist()
    least = 5 * (np.nanmin(table[["uar", "uar_low"]]) // 5)
    for ax, (corpus, part) in zip(axes[0], panels, strict=True):
        part = part.merge(rows.assign(place=rows.index))
        for model, of_model in part.groupby("model", sort=False):
            marker, colour = "osD^v"[models.index(model) % 5], PALETTE[models.index(model) % len(PALETTE)]
            ax.hlines(of_model.place, of_model.uar_low, of_model.uar_high, linewidth=1.5, color=colour)
            for unheard, dots in of_model.groupby(of_model.heard == "nothing"):
                filled = "white" if unheard else colour
                ax.plot(dots.uar, dots.place, marker, color=colour, markerfacecolor=filled)
        printed = claims.published().query("speakers == 'normalised' and corpus == @corpus")
        for row in printed.itertuples():
            line, kind = (":", "small") if row.kind == "small" else ("--", "pre-trained")
            text = f"published, speakers normalised, {kind} ({row.source})"
            ax.axvline(row.uar, color="black", linestyle=line, linewidth=1, label=text, zorder=0)
        ax.set(title=title(str(corpus)), xlabel="UAR (%)", xlim=(least, 102))
    told = [f"{model_name(row.model)}, {heard_name(row.heard)} heard" for row in rows.itertuples()]
    axes[0, 0].set_yticks(rows.index, told, fontsize="small")
    axes[0, 0].invert_yaxis()
    _legend(fig, axes)
    return fig


def robustness(table: pd.DataFrame) -> plt.Figure:
    """UAR on disturbed test clips, a panel a disturbance, clean clips on the left.

    `table` is from `scoring.robustness`, of one corpus, sample and protocol. Solid: training clips as they are; dashed
    and hollow: with a noisy copy of each.
    """
    kinds = [kind for kind in DISTURBANCES if kind in set(table.disturbance)]
    fig, axes = plt.subplots(1, len(kinds), figsize=(3.6 * len(kinds) + 0.6, 3.6), sharey=True, squeeze=False)
    models = table.model.drop_duplicates().tolist()
    for ax, kind in zip(axes[0], kinds, strict=True):
        unit = DISTURBANCES[kind][1]
        amounts = sorted(table.amount[table.disturbance == kind].unique(), reverse=unit == "dB")  # the mildest first
        at = {amount: k + 1 for k, amount in enumerate(amounts)}
        for (model, recipe), part in table.groupby(["model", "recipe"], sort=False):
            part = part[part.disturbance.isin([kind, "clean"])]
            place = part.amount.map(at).fillna(0).sort_values()
            k = models.index(model)
            style: dict[str, Any] = {"color": PALETTE[(2 + k) % len(PALETTE)], "marker": "osD^vXP"[k % 7]}
            if recipe == "noise":
                style |= {"linestyle": "--", "markerfacecolor": "white"}
            told = ", noisy copies in training" if recipe == "noise" else ""
            ax.plot(place, part.uar[place.index], label=f"{model_name(model)}{told}", **style)
        ax.axhline(table.constant_uar.iloc[0], color="black", linestyle=":", linewidth=1, label="chance")
        ax.set_xticks(range(len(at) + 1), ["clean", *(f"{amount:g}" for amount in amounts)])
        ax.set(title=DISTURBANCES[kind][0], ylim=(0, 102))
        ax.set_xlabel("signal-to-noise ratio (dB)" if unit == "dB" else "time to fall by 60 dB (s)")
    axes[0, 0].set_ylabel("UAR (%)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    return fig


def comparisons(table: pd.DataFrame) -> plt.Figure:
    """Differences in UAR of all pairs, row minus column; in brackets where chance would give as much.

    `table` is from `scoring.compare`, of one corpus, sample and protocol; chance is judged by p_holm at 5 %.
    """
    names = list(dict.fromkeys([*table.a, *table.b]))
    short = [name.partition(" (")[0] for name in names]
    image = np.full((len(names), len(names)), np.nan)
    image[table.b.map(names.index), table.a.map(names.index)] = -table.difference
    fig, ax = plt.subplots(figsize=(2.6 + 0.62 * len(names), 1.6 + 0.42 * len(names)))
    widest = max(1.0, float(np.nanmax(np.abs(image))))
    mesh = ax.imshow(image, vmin=-widest, vmax=widest, cmap="PuOr", aspect="auto")
    for pair in table.itertuples():
        column, row, value = names.index(pair.a), names.index(pair.b), -pair.difference
        sure = pair.p_holm < 0.05
        colour = "white" if abs(value) > 0.6 * widest else "black"
        ax.text(
            column, row, f"{value:+.1f}" if sure else f"({value:+.1f})", ha="center", va="center", color=colour, size=8
        )
    ax.set_xticks(range(len(names) - 1), short[:-1], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(1, len(names)), short[1:])
    ax.set(xlim=(-0.5, len(names) - 1.5), ylim=(len(names) - 0.5, 0.5))
    ax.spines[:].set_visible(False)
    fig.colorbar(mesh, label="UAR of the row\nminus the column (points)", shrink=0.7)
    return fig


def calibration(table: pd.DataFrame) -> plt.Figure:
    """How sure networks are and how often they are right, a panel a protocol; `table` is from
    `serlib.reliability.calibration`, of one corpus and sample."""
    protocols = protocols_of(table)
    models = table[["model", "start"]].drop_duplicates().apply(tuple, axis=1).tolist()
    fig, axes = plt.subplots(
        1, len(protocols), figsize=(4.2 + 3.2 * len(protocols), 1.7 + 0.36 * len(models)), squeeze=False
    )
    for ax, protocol in zip(axes[0], protocols, strict=True):
        part = table[table.protocol == protocol]
        rows = [models.index(pair) for pair in zip(part.model, part.start, strict=True)]
        ax.hlines(rows, part.wa, part.confidence, color="#BBBBBB", linewidth=3, zorder=1)
        ax.scatter(part.wa, rows, s=50, color=BLUE, label="right", zorder=3)
        ax.scatter(part.confidence, rows, s=50, marker="D", color=RED, label="sure, as it comes", zorder=2)
        cooled = part.confidence_cooled
        ax.scatter(cooled, rows, s=60, marker="|", color="black", label="sure, after the temperature", zorder=4)
        ax.set_yticks(range(len(models)), [model_name(*pair) for pair in models])
        ax.set(title=PLAIN[protocol], xlabel="share of clips right, mean probability (%)", xlim=(0, 102))
        ax.set_ylim(len(models) - 0.5, -0.5)
        ax.label_outer()
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return fig


def relied_on(answers: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """Reliability before and after the temperature, and what is wrong among the surest answers; one line a network.

    The network that is right most often stands out; `answers` are from `serlib.reliability.calibrated`, of one corpus,
    sample and protocol. Steps of fewer than twenty clips are left out.

    Returns
    -------
    Figure
    DataFrame
        Columns model, start, panel, x, y (per cent).
    """
    panels = {
        "as it comes": ("probability of the answer (%)", "right (%)"),
        "after the temperature": ("probability of the answer (%)", "right (%)"),
        "only the surest answers": ("answers given (%)", "wrong among them (%)"),
    }
    tables = []
    for (model, start), part in answers.groupby(["model", "start"], sort=False):
        right = part.right.to_numpy()
        curves = []
        for column in ("p", "p_cooled"):
            steps = metrics.reliability(part[column].to_numpy(), right).query("clips >= 20")
            curves.append((steps.confidence, steps.accuracy))
        curve = metrics.risk_coverage(part.p_cooled.to_numpy(), right)
        every = np.linspace(0, len(curve), 101).round().astype(int)[1:] - 1  # a hundred places
        curves.append((curve.coverage.iloc[every], curve.risk.iloc[every]))
        for panel, (x, y) in zip(panels, curves, strict=True):
            tables.append(
                pd.DataFrame({"model": model, "start": start, "panel": panel, "x": 100 * x.array, "y": 100 * y.array})
            )
    table = pd.concat(tables, ignore_index=True)
    best = answers.groupby(["model", "start"]).right.mean().idxmax()
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    for ax, (panel, (xlabel, ylabel)) in zip(axes, panels.items(), strict=True):
        for pair, part in table[table.panel == panel].groupby(["model", "start"], sort=False):
            drawn: dict[str, Any] = {"color": "#BBBBBB"}
            if pair == best:
                drawn = {"color": "#CC3311", "linewidth": 2, "zorder": 3, "label": model_name(*pair)}
            ax.plot(part.x, part.y, marker="" if panel == "only the surest answers" else ".", **drawn)
        if panel != "only the surest answers":
            ax.plot([0, 100], [0, 100], color="black", linestyle=":", linewidth=1)
        ax.set(title=panel, xlabel=xlabel, ylabel=ylabel, xlim=(0, 102), ylim=(0, 102))
    handles, labels = axes[0].get_legend_handles_labels()
    others = plt.Line2D([], [], color="#BBBBBB")
    fig.legend([*handles, others], [*labels, "other models"], loc="outside lower center", ncols=2, fontsize="small")
    return fig, table


def groups(table: pd.DataFrame) -> plt.Figure:
    """UAR on unseen speakers by gender and by age, with intervals over speakers; `table` is from
    `serlib.reliability.groups`, of one corpus and sample."""
    kinds = list(dict.fromkeys(table.by))
    models = table[["model", "start"]].drop_duplicates().apply(tuple, axis=1).tolist()
    fig, axes = plt.subplots(1, len(kinds), figsize=(4.2 + 3.2 * len(kinds), 2.4 + 0.5 * len(models)), squeeze=False)
    for ax, kind in zip(axes[0], kinds, strict=True):
        of = table[table.by == kind]
        names = list(dict.fromkeys(of.group))
        shifts = np.linspace(-0.2, 0.2, len(names))
        for name, shift, (marker, colour) in zip(names, shifts, _marks((BLUE, RED, *PALETTE[3:])), strict=False):
            part = of[of.group == name]
            rows = np.array([models.index(pair) for pair in zip(part.model, part.start, strict=True)]) + shift
            reach = [part.uar - part.uar_low, part.uar_high - part.uar]
            label = f"{name} ({part.speakers.max()} speakers)"
            ax.errorbar(part.uar, rows, xerr=reach, fmt=marker, color=colour, linewidth=1, label=label)
        ax.set_yticks(range(len(models)), [model_name(*pair) for pair in models])
        below = len(models) + 0.6  # room for the legend
        ax.set(title=f"by {kind}", xlabel="UAR (%)", xlim=(0, 102), ylim=(below, -0.5))
        ax.legend(loc="lower right", fontsize="small")
        ax.label_outer()
    return fig


def save_table(table: pd.DataFrame, path: Path, *, decimals: int = 2, text: pd.DataFrame | None = None) -> None:
    """Write a table as CSV and, where `serlib.plots.paper` is set, as LaTeX with the rules of booktabs there.

    Parameters
    ----------
    table : DataFrame
    path : Path
        With suffix ``.csv``.
    decimals : int
        Of numbers that are no counts, in the CSV; LaTeX has one, and plain names.
    text : DataFrame, optional
        What LaTeX shows in place of the table, such as from `serlib.scoring.readable`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format=f"%.{decimals}f")
    if not plots.paper:
        return
    plain = (
        table.copy()
        if text is None
        else text.replace({r"[`*]": ""}, regex=True).rename(columns=lambda c: c.replace("`", ""))
    )
    if {"model", "start"} <= set(plain):
        plain["model"] = list(map(model_name, plain.model, plain.start))
    for name, words in {
        "protocol": PLAIN,
        "features": {f: features_name(f) for f in plain.get("features", [])},
    }.items():
        if name in plain:
            plain[name] = plain[name].replace(words)
    plain = plain.drop(columns="start", errors="ignore").rename(columns=lambda name: str(name).replace("_", " "))
    long = [plain[name].astype(str).str.len().max() > 30 for name in plain]
    tex = plots.paper / "tables" / f"{path.stem}.tex"
    tex.parent.mkdir(parents=True, exist_ok=True)
    style = plain.style.hide(axis="index").format(precision=1, na_rep="--", escape="latex")
    style = style.format_index(escape="latex", axis="columns")
    tex.write_text(style.to_latex(hrules=True, column_format="".join("p{4cm}" if wide else "l" for wide in long)))
