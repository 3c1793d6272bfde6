"""What runs measured beyond predictions, drawn: notebooks and the report call the same functions.

Each takes the table of one measure (`serlib.records.measures`) of one corpus, sample and protocol, all seeds and folds
together, and gives a figure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from serlib import claims, metrics, plots
from serlib.plots import BLUE, GREY, METHODS, RED
from serlib.sources import plain_name

MOST_SPEAKERS = 6  # more boxes side by side cannot be read

FAITHFULNESS = {  # measure -> plain name, and how to read it
    "insertion": ("insertion", "high is good"),
    "deletion": ("deletion", "low is good"),
    "max_sensitivity": ("max-sensitivity", "low is good"),
    "sparseness": ("sparseness", "neither is truer"),
    "pointing_game": ("pointing game", "high is good"),
    "relevance_mass": ("relevance mass", "high is good"),
    "preference": ("preference", "high is good"),
}


def _first_run(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the lowest seed and fold: what belongs to one network cannot be averaged over several."""
    for name in ("seed", "fold"):
        if name in table:
            table = table[table[name] == table[name].min()]
    return table


def counts(table: pd.DataFrame) -> Figure:
    """Clips and minutes of each emotion by gender; columns emotion, gender, clips, minutes."""
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for ax, (quantity, label) in zip(axes, {"clips": "clips", "minutes": "speech (min)"}.items(), strict=True):
        wide = table.pivot_table(index="emotion", columns="gender", values=quantity, observed=True)
        wide.plot.barh(ax=ax, stacked=True, color=[GREY, "#444444", "#cccccc"], legend=False)
        ax.set(xlabel=label, ylabel="")
    axes[0].invert_yaxis()
    axes[1].legend(title="gender", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def durations(table: pd.DataFrame) -> Figure:
    """Boxes of seconds for every emotion and speaker, or gender where speakers are many."""
    return _boxes(table, "seconds", "duration of the clip (s)")


def levels(table: pd.DataFrame) -> Figure:
    """Boxes of level in dB for every emotion and speaker, or gender where speakers are many."""
    return _boxes(table, "level", "level of the clip (dB)")


def _boxes(table: pd.DataFrame, column: str, label: str) -> Figure:
    hue = "speaker" if table.speaker.nunique() <= MOST_SPEAKERS else "gender"
    fig, ax = plt.subplots(figsize=(9, 3.8))
    options = {"hue_order": sorted(table[hue].unique()), "palette": "Blues", "fliersize": 2, "linewidth": 0.8}
    sns.boxplot(table, x="emotion", y=column, hue=hue, order=sorted(table.emotion.unique()), ax=ax, **options)
    ax.set(xlabel="", ylabel=label)
    sns.move_legend(ax, "center left", bbox_to_anchor=(1, 0.5))
    return fig


def cues_alone(table: pd.DataFrame) -> Figure:
    """UAR of guesses from one or two numbers; columns cue, medians from, tested on, UAR, chance."""
    fig, ax = plt.subplots(figsize=(7, 3.6))
    style = {"hue": "medians from", "palette": [BLUE, RED], "dodge": True, "jitter": False, "size": 8}
    sns.stripplot(table, x="cue", y="UAR", ax=ax, **style)
    chance = table.chance.iloc[0]
    ax.axhline(chance, color="black", linestyle=":", linewidth=1)
    ax.text(1.01, chance, "chance", va="center", transform=ax.get_yaxis_transform())
    ax.set(xlabel="", ylabel="UAR (%)", ylim=(0, 100))
    sns.move_legend(ax, "upper left")
    return fig


def mfcc_correlation(table: pd.DataFrame) -> Figure:
    """Correlation matrices; columns feature, row, column, correlation."""
    matrices = {
        name: part.pivot_table(index="row", columns="column", values="correlation").to_numpy()
        for name, part in table.groupby("feature", sort=False)
    }
    fig, axes = plt.subplots(1, len(matrices), figsize=(11, 3.9), squeeze=False)
    for ax, (name, r) in zip(axes[0], matrices.items(), strict=True):
        mesh = ax.imshow(r, vmin=-1, vmax=1, cmap="PuOr", origin="lower")
        what = "mel band" if "mel" in name else "coefficient"
        strength = np.abs(r[~np.eye(len(r), dtype=bool)]).mean()
        ax.set(xlabel=what, ylabel=what, title=f"{name}\nmean size {strength:.2f}")
    fig.colorbar(mesh, ax=axes, label="correlation", shrink=0.8)
    return fig


def band_statistics(table: pd.DataFrame) -> Figure:
    """Mean of each mel band, and of a test voice after scaling; columns fitted on, band, mean, mean of scaled test."""
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
    look = {"training voices": (BLUE, "-"), "everything": (RED, "--"), "test voice": (GREY, ":")}
    for name, part in table.groupby("fitted on", sort=False):
        colour, line = look[str(name)]
        axes[0].plot(part.band, part["mean"], color=colour, linestyle=line, label=name)
        axes[1].plot(part.band, part["mean of scaled test"], color=colour, linestyle=line, label=name)
    axes[0].set(xlabel="mel band", ylabel="mean power (dB)", title="mean of each band")
    axes[1].set(xlabel="mel band", ylabel="mean (standard deviations)", title="the test voice after scaling, by scaler")
    axes[1].legend(title="scaler fitted on", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def importance(table: pd.DataFrame) -> Figure:
    """The strongest functionals of one forest (the first seed and fold), by impurity and by permutation."""
    table = _first_run(table)
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True)
    axes[0].barh(table.functional, table.impurity, color=BLUE)
    axes[0].set(xlabel="impurity importance, training clips (sum over all is 1)")
    axes[1].barh(table.functional, table.permutation_loss, color=RED)
    axes[1].axvline(0, color="black", linewidth=0.8)
    axes[1].set(xlabel="UAR lost when shuffled, validation clips (points)")
    axes[1].set_xlim(min(-2, table.permutation_loss.min()), max(10, table.permutation_loss.max()))
    axes[0].locator_params(axis="x", nbins=5)
    axes[0].invert_yaxis()
    return fig


def positions(table: pd.DataFrame) -> Figure:
    """How alike the learned positions of patches are to a few of them, in one network (the first seed and fold).

    Columns patch, time, frequency, cosine.
    """
    table = _first_run(table)
    n_frequency = int(table.frequency.max()) + 1
    patches = list(table.groupby("patch"))
    fig, axes = plt.subplots(1, len(patches), figsize=(11, 2.4), sharey=True, squeeze=False)
    for ax, (patch, part) in zip(axes[0], patches, strict=True):
        alike = part.pivot_table(index="frequency", columns="time", values="cosine").to_numpy()
        mesh = ax.imshow(alike, origin="lower", aspect="auto", vmin=-1, vmax=1, cmap="PuOr")
        ax.plot(patch // n_frequency, patch % n_frequency, "k+", markersize=9)
        ax.set(title=f"patch {patch:.0f}", xlabel="patch in time")
    axes[0, 0].set_ylabel("patch in frequency")
    fig.colorbar(mesh, ax=axes, label="cosine")
    return fig


def shuffled(table: pd.DataFrame) -> Figure:
    """Share of clips named rightly after patches are shuffled; columns shuffled, draw, right (%)."""
    fig, ax = plt.subplots(figsize=(7, 2.6))
    ways = table.shuffled.drop_duplicates().tolist()
    for k, way in enumerate(ways):
        draws = table["right (%)"][table.shuffled == way]
        ax.plot(draws, np.full(len(draws), k), "o", color=BLUE, alpha=0.4)
        ax.plot(draws.mean(), k, "|", color=RED, markersize=22, markeredgewidth=2)
    ax.set_yticks(range(len(ways)), ways)
    ax.set(xlabel="clips named rightly (%); a dot a draw, a line their mean", ylabel="shuffled")
    ax.invert_yaxis()
    return fig


def game(table: pd.DataFrame) -> Figure:
    """Share of hidden tokens named rightly by epoch, a line a seed and fold; baselines are means over these.

    Columns epoch, accuracy, val_accuracy (shares), nearest, frequent (per cent).
    """
    fig, ax = plt.subplots(figsize=(7, 3))
    for k, (_, run) in enumerate(table.groupby(["seed", "fold"])):
        ax.plot(run.epoch, 100 * run.accuracy, color=BLUE, label=None if k else "training clips")
        ax.plot(run.epoch, 100 * run.val_accuracy, "--", color=RED, label=None if k else "validation clips")
    for column, name, style in (
        ("nearest", "the nearest visible patch", ":"),
        ("frequent", "always the most frequent token", "-."),
    ):
        ax.axhline(table[column].mean(), color="black", linestyle=style, label=name)
    ax.set(xlabel="epoch of the game", ylabel="hidden tokens named rightly (%)")
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def average_maps(table: pd.DataFrame) -> Figure:
    """Mean relevance of each emotion over time after the onset and frequency.

    Columns emotion, seconds, hertz, relevance.
    """
    emotions = list(table.groupby("emotion"))
    fig, axes = plt.subplots(2, -(-len(emotions) // 2), figsize=(11, 5.2), squeeze=False)
    for ax, (emotion, part) in zip(axes.flat, emotions, strict=False):
        image = part.pivot_table(index="hertz", columns="seconds", values="relevance")
        mesh = plots.spectrogram(ax, image.to_numpy(), image.columns, vmin=0, vmax=table.relevance.max())
        plots.frequency_axis(ax, image.index.to_numpy())
        ax.label_outer()
        ax.tick_params(labelbottom=True)
        ax.set(title=emotion, xlabel="time after onset (s)")
        ax.axvline(0, color="white", linestyle=":", linewidth=1)
    for ax in axes.flat[len(emotions) :]:
        ax.axis("off")
    fig.colorbar(mesh, ax=axes, shrink=0.6, label="relevance (each clip's maximum is 1)")
    return fig


def drawn_over(clips: pd.DataFrame) -> pd.Series:
    """What intervals over clips draw: speakers; texts where these are fewer than three; where texts are not known, one
    group, over which there is no interval."""
    if clips.speaker.nunique() >= 3:
        return clips.speaker
    return clips.text if clips.text.notna().all() else pd.Series("", clips.index, name="text")


def acoustics(table: pd.DataFrame) -> Figure:
    """Hot minus other frames, over all clips and for each emotion, with 95 % intervals (`drawn_over`).

    Columns utterance, speaker, text, emotion, RMS (dB), centroid (Hz), F0 (semitones).
    """
    quantities = ["RMS (dB)", "centroid (Hz)", "F0 (semitones)"]
    groups = {"all": table} | {str(emotion): part for emotion, part in table.groupby("emotion")}
    fig, axes = plt.subplots(1, len(quantities), figsize=(11, 3.6), sharey=True)
    for ax, name in zip(axes, quantities, strict=True):
        for k, (group, part) in enumerate(groups.items()):
            low, high = metrics.mean_interval(part[name].to_numpy(), drawn_over(table)[part.index])
            colour = plots.COLOURS.get(group, "black")
            ax.hlines(k, low, high, color=colour, linewidth=2)
            ax.plot(part[name].mean(), k, "o", color=colour)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.set(xlabel=f"hot minus other frames, {name}")
    axes[0].set_yticks(range(len(groups)), groups)
    axes[0].invert_yaxis()
    return fig


def sanity(table: pd.DataFrame) -> Figure:
    """Rank correlation with the honest map: while the network forgets (left), and of other networks (right).

    Columns method, layer, depth (missing: the layer names another network), clip, correlation.
    """
    forgetting, twins = table[table.depth.notna()], table[table.depth.isna()]
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, width_ratios=[3, 2])
    shades = dict(zip(METHODS, plots.COLOURS.values(), strict=False))
    for (method, name), marker in zip(METHODS.items(), "osD^vX", strict=True):
        mean = forgetting[forgetting.method == method].groupby("depth").correlation.mean()
        size = 10 if method == "random" else 6
        left.plot(mean.index, mean, color=shades[method], marker=marker, markersize=size, label=name)
    methods = twins.method.drop_duplicates().tolist()
    for shift, (network, part), hatch in zip((-0.2, 0.2), twins.groupby("layer", sort=False), ("//", ""), strict=True):
        mean = part.groupby("method", sort=False).correlation.mean().reindex(methods)
        style = {"color": "#DDDDDD", "edgecolor": "black", "hatch": hatch, "label": network}
        right.bar(np.arange(len(mean)) + shift, mean, 0.38, **style)
    order = forgetting.drop_duplicates("depth").set_index("depth").layer
    following = order.shift(-1).str.replace("conv", "norm")  # a normalisation is called after what it follows
    order = order.mask(order.str.startswith("batch_norm"), following).str.replace("_", " ")
    left.set_xticks(order.index, order, rotation=45, ha="right")
    right.set_xticks(range(len(methods)), [METHODS[m] for m in methods], rotation=20, ha="right")
    left.set(xlabel="forgotten down to this layer", ylabel="rank correlation with the honest map")
    left.legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    right.legend(fontsize="small", title="network trained on", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    for ax in (left, right):
        ax.axhline(0, color="black", linewidth=0.8)
    return fig


def faithfulness(table: pd.DataFrame) -> Figure:
    """Every measure of every method with 95 % intervals (`drawn_over`), for honest and leaked networks.

    Columns utterance, speaker, text, network, method and those of `FAITHFULNESS` that were measured.
    """
    measures = [name for name in FAITHFULNESS if name in table]
    methods = [name for name in METHODS if name in set(table.method)]
    fig, axes = plt.subplots(2, -(-len(measures) // 2), figsize=(11, 5.5), sharey=True, squeeze=False)
    for ax, measure in zip(axes.flat, measures, strict=False):
        for network, colour, marker, shift in (("honest", BLUE, "o", -0.14), ("leaked", RED, "s", 0.14)):
            for k, method in enumerate(methods):
                part = table[(table.network == network) & (table.method == method)]
                low, high = metrics.mean_interval(part[measure].to_numpy(), drawn_over(part))
                ax.hlines(k + shift, low, high, color=colour, linewidth=1.5)
                label = None if k else network
                ax.plot(part[measure].mean(), k + shift, marker, color=colour, markersize=5, label=label)
        title, reading = FAITHFULNESS[measure]
        ax.set(title=title, xlabel=reading, xscale="log" if measure == "max_sensitivity" else "linear")
        ax.set_yticks(range(len(methods)), [METHODS[m] for m in methods])
        ax.axhline(3.5, color="black", linestyle=":", linewidth=0.8)
    for ax in axes.flat[len(measures) :]:
        ax.axis("off")
    axes[0, 0].invert_yaxis()
    axes[0, 0].legend(fontsize="small")
    return fig


def distances(table: pd.DataFrame) -> Figure:
    """How far recordings lie from training clips, in units of the limit; columns recordings, distance."""
    fig, ax = plt.subplots(figsize=(8, 0.6 * table.recordings.nunique() + 1.2))
    names = table.recordings.drop_duplicates().tolist()
    heights = table.recordings.map(names.index) + np.random.default_rng(0).uniform(-0.2, 0.2, len(table))
    ax.plot(table.distance, heights, "o", markersize=4, alpha=0.7, color=BLUE, markeredgecolor="none")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.axvline(1, color="black", linestyle=":", linewidth=1)
    ax.text(1, -0.45, " limit", va="top")
    ax.set(xscale="log", xlabel="distance from the training clips (1: the limit)", ylabel="")
    ticks = [tick for tick in (0.2, 0.5, 1, 2, 5, 10, 20) if tick >= table.distance.min() / 2]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    return fig


def adaptation(table: pd.DataFrame) -> Figure:
    """UAR before and after training on some clips of the voice, a line a draw; columns draw, before, after."""
    fig, ax = plt.subplots(figsize=(4.5, 3.4))
    ax.plot([0, 1], table[["before", "after"]].to_numpy().T, "o-", color=BLUE, alpha=0.6)
    ax.set_xticks([0, 1], ["before", "after"])
    ax.set(xlim=(-0.3, 1.3), ylabel="UAR on the voice's other clips (%)", ylim=(0, 102))
    return fig


def segment_lengths(table: pd.DataFrame) -> Figure:
    """UAR of the network of each segment length and of their fusion, a line a seed and tested voice.

    Columns segments, tested, UAR (%), in the order in which they are to be drawn.
    """
    fig, ax = plt.subplots(figsize=(7.5, 3.2))
    order = table.segments.drop_duplicates().tolist()
    looks = itertools.cycle([(BLUE, "o"), (RED, "s"), (GREY, "D")])
    for (tested, part), (colour, marker) in zip(table.groupby("tested", sort=False), looks, strict=False):
        for k, (_, run) in enumerate(part.groupby(["fold", "seed"])):
            uar = run.set_index("segments")["UAR (%)"].reindex(order)
            label = None if k else tested
            ax.plot(range(len(order)), uar, color=colour, marker=marker, linewidth=1, alpha=0.7, label=label)
    ax.set_xticks(range(len(order)), order)
    ax.axvline(len(order) - 1.5, color="black", linestyle=":", linewidth=0.8)
    ax.set(xlabel="length of the segments", ylabel="UAR (%)", xlim=(-0.3, len(order) - 0.7), ylim=(0, 102))
    ax.legend(title="tested on", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def window_lengths(table: pd.DataFrame) -> Figure:
    """Share of single windows and of clips named rightly, a row a kind of window and a panel a task; runs are averaged.

    A task of which one kind of window was tried is left out where another has several.

    Columns task, seconds (missing where a clip is one window), overlap (share), windows (a clip), single, fused (%).
    """
    mean = table.groupby(["task", "seconds", "overlap"], dropna=False)[["windows", "single", "fused"]].mean()
    tasks = [part.reset_index() for _, part in mean.groupby("task")]
    most = max(map(len, tasks))
    tasks = [part for part in tasks if most == 1 or len(part) > 1]
    fig, axes = plt.subplots(1, len(tasks), figsize=(2.5 + 5 * len(tasks), 1.6 + 0.36 * most), squeeze=False)
    for ax, part in zip(axes[0], tasks, strict=True):
        rows = np.arange(len(part))
        ax.hlines(rows, part.single, part.fused, color=GREY, linewidth=3, zorder=1)
        ax.plot(part.fused, rows, "o", color=BLUE, label="clips, answers of their windows fused", clip_on=False)
        mark = {"color": RED, "markersize": 14, "markeredgewidth": 2, "clip_on": False}
        ax.plot(part.single, rows, "|", **mark, label="single windows")
        kinds = [
            "whole clips" if np.isnan(row.seconds) else f"{row.seconds:g} s, overlap {100 * row.overlap:.0f} %"
            for row in part.itertuples()
        ]
        ax.set_yticks(rows, [f"{kind} ({n:.1f} a clip)" for kind, n in zip(kinds, part.windows, strict=True)])
        title = part.task.iloc[0].replace("gender_emotion", "emotion and gender") if len(tasks) > 1 else ""
        ax.set(xlabel="named rightly (%)", xlim=(0, 100), ylim=(len(part) - 0.5, -0.5), title=title)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    return fig


def fusion(table: pd.DataFrame) -> Figure:
    """UAR of one classifier fed with two groups of features or with either alone, a dot a run and a line their mean.

    Columns fed, tested on, UAR (%).
    """
    fed, groups = table.fed.drop_duplicates().tolist(), table["tested on"].drop_duplicates().tolist()
    fig, ax = plt.subplots(figsize=(8, 1 + 0.5 * len(fed)))
    for k, group in enumerate(groups):
        colour = (BLUE, RED, *plots.CYCLE)[k % (2 + len(plots.CYCLE))]
        shift = 0.5 * (k + 0.5) / len(groups) - 0.25
        for row, name in enumerate(fed):
            found = table["UAR (%)"][(table.fed == name) & (table["tested on"] == group)]
            label = None if row else group
            ax.plot(found, np.full(len(found), row + shift), "o", color=colour, alpha=0.5, clip_on=False, label=label)
            ax.plot(found.mean(), row + shift, "|", color=colour, markersize=16, markeredgewidth=2, clip_on=False)
    ax.set_yticks(range(len(fed)), fed)
    low = np.floor((table["UAR (%)"].min() - 1) / 10) * 10  # all of the scale where much is lost, its end where little
    ax.set(
        xlabel="UAR (%); a dot a run, a line their mean",
        xlim=(low if low >= 70 else 0, 100),
        ylim=(len(fed) - 0.5, -0.5),
    )
    ax.legend(title="tested on", fontsize="small", loc="center left", bbox_to_anchor=(1.02, 0.5))
    return fig


def confounds(table: pd.DataFrame) -> Figure:
    """UAR of classifiers that hear no emotion, and of one that hears everything, under two protocols; a panel a task.

    Columns classes, fed, tested on (all in words), UAR, low, high, constant; seeds are averaged.
    """
    tasks, fed = table.classes.drop_duplicates().tolist(), table.fed.drop_duplicates().tolist()
    fig, axes = plt.subplots(1, len(tasks), figsize=(5.2 * len(tasks) + 1, 1.5 + 0.4 * len(fed)), squeeze=False)
    for ax, task in zip(axes[0], tasks, strict=True):
        of_task = table[table.classes == task]
        looks = zip((BLUE, RED, GREY), "osD", (-0.15, 0.15, 0), strict=True)
        for (protocol, part), (colour, marker, shift) in zip(
            of_task.groupby("tested on", sort=False), looks, strict=False
        ):
            mean = part.groupby("fed", sort=False)[["UAR", "low", "high"]].mean()
            y = np.array([fed.index(name) for name in mean.index]) + shift
            ax.hlines(y, mean.low, mean.high, color=colour, linewidth=1.5)
            ax.plot(mean.UAR, y, marker, color=colour, label=protocol)
        ax.axvline(of_task.constant.iloc[0], color="black", linestyle=":", linewidth=1, label="constant answer")
        ax.set_yticks(range(len(fed)), fed)
        ax.set(title=task, xlabel="UAR (%)", xlim=(0, 102), ylim=(len(fed) - 0.5, -0.5))
        ax.label_outer()
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return fig


def latency(table: pd.DataFrame) -> Figure:
    """Milliseconds to one answer, from ``make benchmark``: medians and 95th percentiles beside the times in `aissms`.

    Columns group, what, by (Keras is hollow), median_ms, p95_ms, clips_per_second (64 at once; missing where that was
    not measured), quoted_ms.
    """
    groups = {str(group): part for group, part in table.groupby("group", sort=False)}
    labels = [label for group, part in groups.items() for label in (group, *dict.fromkeys(part.what))]
    printed = claims.tables()["aissms_methods"].rows.query("method != 'Proposed Method'").response_ms
    fig, ax = plt.subplots(figsize=(9.5, 0.3 * (len(labels) + 1) + 1.2))
    top = 0
    for group, part in groups.items():
        ax.text(-0.01, top, group, weight="bold", ha="right", va="center", transform=ax.get_yaxis_transform())
        many = part[part.clips_per_second.notna()]
        if len(many):
            ax.text(1.01, top, "clips a second, 64 at once", va="center", transform=ax.get_yaxis_transform())
        for what, rows in part.groupby("what", sort=False):
            top += 1
            for row in rows.itertuples():
                hollow = row.by == "Keras"
                ax.hlines(top, row.median_ms, row.p95_ms, color=GREY, linewidth=2, zorder=1)
                ax.plot(row.median_ms, top, "o", color=BLUE, markerfacecolor="white" if hollow else BLUE)
                ax.plot(row.p95_ms, top, "|", color=RED, markersize=11, markeredgewidth=2)
            told = ", ".join(f"{row.by} {row.clips_per_second:,.0f}" for row in many[many.what == what].itertuples())
            ax.text(1.01, top, told, va="center", fontsize="small", transform=ax.get_yaxis_transform())
        top += 1
    ax.plot(printed, np.full(len(printed), top), "x", color=GREY)
    quoted = table.quoted_ms.iloc[0]
    ax.axvline(quoted, color="black", linestyle=":", linewidth=1)
    ticks = {y: label for y, label in enumerate([*labels, "ten others, as listed in aissms"]) if label not in groups}
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.set(xscale="log", xlabel="milliseconds an answer, one clip at a time on one core", ylim=(top + 0.7, -0.7))
    ax.xaxis.set_major_formatter("{x:g}")
    marks: dict[str, dict[str, Any]] = {
        "median": {"marker": "o", "color": BLUE},
        "median, by Keras's predict": {"marker": "o", "color": BLUE, "markerfacecolor": "white"},
        "95th percentile": {"marker": "|", "color": RED, "markersize": 11, "markeredgewidth": 2},
        f"quoted in aissms: {quoted:g} ms": {"color": "black", "linestyle": ":"},
    }
    handles = [plt.Line2D([], [], **{"linestyle": ""} | mark) for mark in marks.values()]
    fig.legend(handles, marks, loc="outside lower center", ncols=4, fontsize="small")
    return fig


def clips_per_second(table: pd.DataFrame) -> Figure:
    """Clips per second of ways to get features, from ``make benchmark``.

    Columns what, processes, clips_per_second, times_naive, corpus, rounds.
    """
    fig, ax = plt.subplots(figsize=(8, 0.42 * len(table) + 1))
    labels = [f"{row.what}, {row.processes} process{'es' * (row.processes > 1)}" for row in table.itertuples()]
    colours = [GREY if "librosa" in what else BLUE for what in table.what]
    bars = ax.barh(labels, table.clips_per_second, color=colours)
    ax.bar_label(bars, [f"{ratio:.1f} ×" for ratio in table.times_naive], padding=3)
    corpus, rounds = plain_name(table.corpus.iloc[0]), table.rounds.iloc[0]
    told = f"clips of {corpus} per second (median of {rounds}; × of the first bar)"
    ax.set(xscale="log", xlabel=told, xlim=(10, 4 * table.clips_per_second.max()))
    ax.invert_yaxis()
    return fig


#: Name of a table in ``data/benchmarks`` -> what draws it.
BENCHMARKS: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "features": clips_per_second,
    "latency": latency,
}


#: Name of a measure -> what draws it.
def between(table: pd.DataFrame) -> Figure:
    """Share of a statistic's variance that lies between speakers and between emotions, a panel a corpus.

    Columns statistic, corpus, and in per cent speaker, emotion and emotion_own (each clip about its speaker's mean).
    """
    table = table.drop_duplicates(["corpus", "statistic"])  # every run measures the same
    panels = list(table.groupby("corpus"))
    marks = {
        "speaker": ("s", GREY, "speakers"),
        "emotion": ("o", RED, "emotions"),
        "emotion_own": ("D", BLUE, "emotions, about each speaker's mean"),
    }
    fig, axes = plt.subplots(1, len(panels), figsize=(2.6 + 2.3 * len(panels), 3.4), squeeze=False, sharey=True)
    for ax, (corpus, part) in zip(axes[0], panels, strict=True):
        for name, (marker, colour, text) in marks.items():
            ax.plot(part[name], range(len(part)), marker, color=colour, label=text)
        ax.set(title=plain_name(corpus), xlim=(-3, 103), xlabel="share of the variance (%)")
    axes[0, 0].set_yticks(range(len(part)), part.statistic)
    axes[0, 0].invert_yaxis()
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return fig


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    function.__name__: function
    for function in (
        *(counts, durations, levels, cues_alone, mfcc_correlation, band_statistics, importance, positions, shuffled),
        *(game, average_maps, acoustics, sanity, faithfulness, fusion, segment_lengths, distances, adaptation),
        *(confounds, window_lengths, between),
    )
}
