"""The report: which runs make it up, and its tables and figures, which are functions of predictions alone."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import mimetypes
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml

from serlib import metrics, plots
from serlib.corpora import REPOSITORY

#: Plain names of the models, in the order in which the course meets them.
MODELS = {
    "corpus_only": "corpus alone (hears nothing)",
    "logistic_regression": "logistic regression",
    "cnn": "CNN",
    "lstm_traditional": "LSTM, traditional (77,160 parameters)",
    "lstm_modified": "LSTM, modified (305,799 parameters)",
    "lstm": "LSTM over frames",
    "cnn_lstm": "CNN-LSTM",
    "cnn1d_lstm": "1-D CNN-LSTM",
    "decision_tree": "decision tree",
    "random_forest": "random forest",
    "vit": "ViT",
    "vit_published": "ViT, published weights",
    "ast": "AST (overlapping patches)",
    "beit": "BEiT, pre-trained here",
    "beit_published": "BEiT, published weights",
}
RUN = ["notebook", "model", "variant", "train_corpora", "protocol", "part"]  # what one row of a score table is about
MOST_SPEAKERS = 10  # that get a column of their own
SCORES = ["seeds", "utterances", "uar", "uar_low", "uar_high", "interval_over", "uar_seed_min", "uar_seed_max"]
SCORES += ["wa", "wa_seed_min", "wa_seed_max", "macro_f1", "constant_wa"]
EVIDENCE = ("random", "speaker_independent")
PALETTE = ("#888888", "#CC6677", "#332288", "#117733", "#DDAA33", "#88CCEE")  # of models, where several share a panel
VARIANTS = ("default", "paper_600")  # those over the emotions themselves


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters.

    Attributes
    ----------
    notebook : str
        Stem of its file name.
    name : str
        Unique among the notebook's runs, such as ``tess-speaker_independent-fold0-seed1``.
    parameters : dict
    minutes : float
        Rough duration on one core.
    """

    notebook: str
    name: str
    parameters: dict
    minutes: float


def plan(profile: str, path: Path = REPOSITORY / "report.yaml") -> list[Run]:
    """Expand one profile of ``report.yaml`` into its runs.

    Raises
    ------
    ValueError
        Unknown profile or notebook, a parameter that the notebook's parameters cell lacks (papermill would only warn),
        or two runs of the same name.
    """
    profiles = yaml.safe_load(path.read_text())
    if profile not in profiles:
        raise ValueError(f"{path.name} has no profile {profile!r}; it has {', '.join(profiles)}")
    runs = []
    for entry in profiles[profile]:
        grid = {key: value if isinstance(value, list) else [value] for key, value in entry.items()}
        minutes = grid.pop("minutes", [1])[0]
        for values in itertools.product(*grid.values()):
            parameters = dict(zip(grid, values, strict=True))
            notebook = parameters.pop("notebook")
            check_parameters(path.parent / "notebooks" / f"{notebook}.ipynb", parameters)
            labels = {"corpus": "", "protocol": "", "per_emotion": "each", "fold": "fold", "seed": "seed"}
            told = {key: label for key, label in labels.items() if parameters.get(key) is not None}
            name = "-".join(f"{label}{parameters[key]}" for key, label in told.items())
            runs.append(Run(notebook, name or "default", parameters, minutes))
    names = [(run.notebook, run.name) for run in runs]
    twice = {f"{n}/{name}" for n, name in names if names.count((n, name)) > 1}
    if twice:
        raise ValueError(f"{path.name}: profile {profile} lists these runs twice: {', '.join(sorted(twice))}")
    return runs


def check_parameters(notebook: Path, parameters: dict) -> None:
    """Raise ValueError unless every parameter stands in the notebook's parameters cell."""
    import papermill

    if not notebook.is_file():
        raise ValueError(f"there is no notebook {notebook}")
    known = list(papermill.inspect_notebook(str(notebook)))
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise ValueError(f"{notebook.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")


def code_hash(paths: Sequence[Path]) -> str:
    """Sixteen hex digits that change when the code in Python files or notebooks does; prose does not count."""
    digest = hashlib.sha256()
    for path in paths:
        text = path.read_text()
        if path.suffix == ".ipynb":
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            text = "\n".join("".join(cell["source"]) for cell in cells)
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def collect(runs: Sequence[Path], predictions_dir: Path, figures_dir: Path) -> None:
    """Gather finished runs: predictions and histories, one file a notebook, a list of the runs, and their figures.

    Figures of a real corpus are taken only where their data lie beside them: a figure without data shows a single
    recording, which is not ours to publish. Of the synthetic corpus, all are taken.

    Parameters
    ----------
    runs : sequence of Path
        Folders written by `serlib.training.write_run`; one without ``run.json`` raises FileNotFoundError.
    predictions_dir, figures_dir : Path
        Receive ``<notebook>.parquet``, ``<notebook>_history.parquet``, ``runs.csv``, in place of all parquet files
        there; and ``<notebook>/<figure>``.
    """
    predictions_dir.mkdir(parents=True, exist_ok=True)
    for stale in predictions_dir.glob("*.parquet"):  # of notebooks that are no longer in the plan
        stale.unlink()
    records: list[dict] = []
    drawn: set[tuple[str, str]] = set()
    tables: dict[str, list[pd.DataFrame]] = {}
    histories: dict[str, list[pd.DataFrame]] = {}
    for folder in sorted(runs):
        record = json.loads((folder / "run.json").read_text())
        stem, corpus = record["notebook"], record["corpus"]["name"]
        about = {key: record["parameters"].get(key) for key in ("protocol", "fold", "seed")}
        records.append(
            {"notebook": stem, "run": folder.name, "corpus": corpus, **about}
            | {key: record[key] for key in ("commit", "backend", "seconds", "python")}
            | {"fingerprint": record["corpus"]["fingerprint"], **record["versions"]}
        )
        if (folder / "predictions.parquet").exists():
            tables.setdefault(stem, []).append(pd.read_parquet(folder / "predictions.parquet"))
        if (folder / "history.csv").exists():
            history = pd.read_csv(folder / "history.csv")
            about.pop("fold")  # a history has its own
            histories.setdefault(stem, []).append(history.assign(notebook=stem, corpus=corpus, **about))
        published = [f for f in (folder / "figures").glob("*") if corpus == "mini" or f.with_suffix(".csv").exists()]
        for figure in published:  # of runs that draw the same one, the first: protocol random before unseen speakers
            (figures_dir / stem).mkdir(parents=True, exist_ok=True)
            if (stem, figure.name) not in drawn:
                shutil.copyfile(figure, figures_dir / stem / figure.name)
        drawn |= {(stem, figure.name) for figure in published}
    for suffix, gathered in (("", tables), ("_history", histories)):
        for stem, parts in gathered.items():
            target = predictions_dir / f"{stem}{suffix}.parquet"
            pd.concat(parts, ignore_index=True).to_parquet(target, compression="zstd", index=False)
    pd.DataFrame(records).to_csv(predictions_dir / "runs.csv", index=False)


def read(predictions_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and histories of every notebook.

    Returns
    -------
    predictions : DataFrame
        As written by `serlib.training.predictions`, with the column ``predicted``: the most probable class, of
        equally probable ones the first by name.
    histories : DataFrame

    Raises
    ------
    FileNotFoundError
        No predictions there; says what makes them.
    """
    files = sorted(predictions_dir.glob("*.parquet"))
    tables = [pd.read_parquet(path) for path in files if not path.stem.endswith("_history")]
    if not tables:
        raise FileNotFoundError(f"no predictions in {predictions_dir}; `make report` makes them")
    predictions = pd.concat(tables, ignore_index=True)
    probabilities = predictions.filter(like="p_").sort_index(axis=1)  # of two equal ones the first, whatever the files
    predictions["predicted"] = probabilities.idxmax(axis=1).str.removeprefix("p_")
    nothing = pd.DataFrame(
        columns=["notebook", "model", "variant", "corpus", "protocol", "seed", "fold", "epoch"]
    )  # as of trees
    histories = [pd.read_parquet(path) for path in files if path.stem.endswith("_history")]
    return predictions, pd.concat([*histories, nothing], ignore_index=True).fillna({"variant": "default"})


def confusions(predictions: pd.DataFrame, group: str | list[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Confusion matrix of some predictions, or one for each value of the column `group`, and the classes.

    Returns
    -------
    counts : ndarray of int, shape (n_classes, n_classes) or (n_groups, n_classes, n_classes)
    classes : list of str
    """
    classes = sorted(set(predictions.emotion) | set(predictions.predicted))
    parts = [predictions] if group is None else [part for _, part in predictions.groupby(group)]
    counts = np.stack([metrics.confusion(p.emotion.tolist(), p.predicted.tolist(), classes) for p in parts])
    return (counts[0] if group is None else counts), classes


def scores(predictions: pd.DataFrame, by: Sequence[str] = RUN) -> pd.DataFrame:
    """UAR, WA and macro-F1 in per cent, pooled over seeds and folds, with an interval and the spread over seeds.

    The interval is a bootstrap over test speakers; with fewer than three of them, over texts, and then it says nothing
    about other speakers (column ``interval_over``). Where texts are not known either, there is none.

    Parameters
    ----------
    predictions : DataFrame
        From `read`.
    by : sequence of str
        Columns that tell one row of the result from the next.

    Returns
    -------
    DataFrame
        The columns `by`, then `SCORES`; models in the order of the course.
    """
    rows = []
    for key, part in predictions.groupby(list(by), sort=False, dropna=False):
        counts, _ = confusions(part)
        by_seed, _ = confusions(part, "seed")
        spread = {
            f"{name}_seed_{bound.__name__}": 100 * bound(statistic(by_seed))
            for name, statistic in (("uar", metrics.uar), ("wa", metrics.wa))
            for bound in (min, max)
        }
        unit = _interval_over(part)
        low, high = metrics.interval(confusions(part, unit)[0]) if unit else (np.nan, np.nan)
        rows.append(
            dict(zip(by, key, strict=True))
            | {"seeds": part.seed.nunique(), "utterances": part.utterance.nunique()}
            | {"uar": 100 * metrics.uar(counts), "uar_low": 100 * low, "uar_high": 100 * high, "interval_over": unit}
            | {"wa": 100 * metrics.wa(counts)}
            | spread
            | {"macro_f1": 100 * metrics.macro_f1(counts), "constant_wa": 100 * metrics.constant_wa(counts)}
        )
    table = pd.DataFrame(rows, columns=[*by, *SCORES])
    return table.sort_values("model", key=_course_order, kind="stable", ignore_index=True) if "model" in by else table


def _interval_over(predictions: pd.DataFrame) -> str | None:
    """What an interval draws: speakers, texts where they are fewer than three, nothing where texts are not known."""
    if predictions.speaker.nunique() >= 3:
        return "speaker"
    return "text" if predictions.text.notna().all() else None


def _course_order(models: pd.Series) -> pd.Series:
    """Sort key: the order of `MODELS`, then any others."""
    return models.map({model: k for k, model in enumerate(MODELS)}).fillna(len(MODELS))


def results(predictions: pd.DataFrame, corpus: str, variant: str = "default") -> pd.DataFrame:
    """One row a model: the paper's claim, WA and UAR under `random`, UAR on unseen speakers, the constant answer.

    Per cent throughout, of test rows only.

    Parameters
    ----------
    predictions : DataFrame
        From `read`.
    corpus : str
        What the models were trained on, ``train_corpora``.
    variant : one of `VARIANTS`
    """
    chosen = predictions.query("part == 'test' and variant == @variant and train_corpora == @corpus")
    claims = pd.read_csv(REPOSITORY / "data" / "claims.csv").query("corpus == @corpus and variant == @variant")
    claims = claims.set_index("model")
    random = scores(chosen.query("protocol == 'random'"), ["model"]).set_index("model")
    models = chosen.query("protocol in @EVIDENCE").model.drop_duplicates().sort_values(key=_course_order)
    table = pd.DataFrame(index=pd.Index(models, name="model"))
    table["claim_wa"] = claims.wa
    table["source"] = claims.source
    for column in ("wa", "wa_seed_min", "wa_seed_max", "uar"):
        table[f"random_{column}"] = random[column]
    unseen = chosen.query("protocol == 'speaker_independent'")
    across = scores(unseen, ["model"]).set_index("model")
    for column in ("uar", "uar_low", "uar_high", "interval_over"):
        table[f"unseen_{column}"] = across[column]
    few = unseen if unseen.speaker.nunique() <= MOST_SPEAKERS else unseen.head(0)
    for speaker, part in few.groupby("speaker"):
        of_speaker = scores(part, ["model"]).set_index("model")
        for column in ("uar", "uar_seed_min", "uar_seed_max"):
            table[f"unseen_{speaker}_{column}"] = of_speaker[column]
    table["constant_wa"] = random.constant_wa
    table["constant_uar"] = 100 / chosen.emotion.nunique()
    return table.round(2).reset_index()


def _unseen(table: pd.DataFrame) -> dict[str, str]:
    """Columns of a results table that hold UAR on unseen speakers: on each where they are few, else on all."""
    matches = [match for match in (re.fullmatch(r"unseen_(.+)_uar", str(column)) for column in table) if match]
    if matches:
        return {f"unseen speaker {match[1]}": match[0] for match in matches}
    return {"unseen speakers": "unseen_uar"}


def markdown(table: pd.DataFrame) -> str:
    """The results table as Markdown, as the README shows it: per cent, one decimal.

    In brackets: the lowest and highest seed; where unseen speakers share one column, the 95 % interval over them.
    """
    unseen = _unseen(table)
    head = ["model", "paper's claim (WA)", "`random`: WA", "`random`: UAR", *(f"{name}: UAR" for name in unseen)]

    def bounded(row: dict, name: str, low: str, high: str) -> str:
        if pd.isna(row[name]):
            return "–"
        return f"{row[name]:.1f}" + (f" ({row[low]:.1f} to {row[high]:.1f})" if row[low] < row[high] else "")

    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in table.to_dict("records"):
        claim = "–" if pd.isna(row["claim_wa"]) else f"{row['claim_wa']:.2f} `{row['source']}`"
        cells = [MODELS.get(row["model"], row["model"]), claim]
        cells += [bounded(row, "random_wa", "random_wa_seed_min", "random_wa_seed_max")]
        cells += ["–" if pd.isna(row["random_uar"]) else f"{row['random_uar']:.1f}"]
        for column in unseen.values():
            bounds = ("low", "high") if column == "unseen_uar" else ("seed_min", "seed_max")
            stem = column.removesuffix("_uar") + "_uar_"
            cells.append(bounded(row, column, *(stem + bound for bound in bounds)))
        lines.append(cells)
    constant_wa = table.constant_wa.max()  # missing where nothing was run under `random`
    constant = ["–" if pd.isna(constant_wa) else f"{constant_wa:.1f}"]
    constant += [f"{table.constant_uar.iloc[0]:.1f}"] * (1 + len(unseen))
    lines.append(["*constant answer*", "–", *constant])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def update_readme(predictions: pd.DataFrame, readme: Path = REPOSITORY / "README.md") -> None:
    """Put results tables between the README's pairs of ``<!-- results tess -->`` marks, named by `label`.

    Raises
    ------
    ValueError
        A mark has no second one, or names no results.
    """
    tables = {label(corpus, variant): (corpus, variant) for corpus, variant in trained(predictions)}
    text = readme.read_text()
    marks = re.findall(r"<!-- results (\S+) -->", text)
    wrong = [mark for mark in marks if marks.count(mark) != 2 or mark not in tables]
    if wrong or not marks:
        raise ValueError(
            f"{readme} needs pairs of marks <!-- results NAME --> to put tables between; NAME may be "
            f"{', '.join(tables)}. It has {', '.join(marks) or 'none'}"
        )
    for name in dict.fromkeys(marks):
        mark = f"<!-- results {name} -->"
        before, _, after = text.split(mark)
        text = f"{before}{mark}\n{markdown(results(predictions, *tables[name]))}\n{mark}{after}"
    readme.write_text(text)


def trained(predictions: pd.DataFrame) -> list[tuple[str, str]]:
    """What models were trained on: every pair of train_corpora and variant that has results."""
    chosen = predictions.query("variant in @VARIANTS and protocol in @EVIDENCE")
    return list(chosen[["train_corpora", "variant"]].drop_duplicates().itertuples(index=False, name=None))


def label(corpus: str, variant: str) -> str:
    """Name of what models were trained on, in files and headings: ``tess``, ``ravdess+savee_paper_600``."""
    return corpus if variant == "default" else f"{corpus}_{variant}"


def draw_gap(table: pd.DataFrame) -> plt.Figure:
    """UAR under `random` beside UAR on each unseen speaker and its range over seeds, and the paper's claim.

    One row a model; `table` is from `results`. Many speakers share one mark, with the 95 % interval over them.
    """
    fig, ax = plt.subplots(figsize=(8.5, 0.55 * len(table) + 1.8))
    y = np.arange(len(table))[::-1]
    ax.hlines(y, table.unseen_uar, table.random_uar, color="#BBBBBB", linewidth=3, zorder=1)
    ax.scatter(table.random_uar, y, s=60, color="#332288", label="random split", zorder=3)
    unseen = _unseen(table)
    shifts = np.linspace(0.15, -0.15, len(unseen)) if len(unseen) > 1 else [0]
    for marker, shift, (name, column) in zip("^vDPX<>*hp", shifts, unseen.items(), strict=False):
        bounds = ("low", "high") if column == "unseen_uar" else ("seed_min", "seed_max")
        low, high = (table[f"{column}_{bound}"] for bound in bounds)
        ax.hlines(y + shift, low, high, color="#CC6677", linewidth=1, zorder=2)
        ax.scatter(table[column], y + shift, s=50, marker=marker, color="#CC6677", label=name, zorder=3)
    if table.claim_wa.notna().any():
        ax.scatter(table.claim_wa, y, s=110, marker="|", color="black", label="paper's claim (WA)", zorder=4)
    chance = table.constant_uar.iloc[0]
    ax.axvline(chance, color="black", linestyle=":", linewidth=1)
    ax.text(chance + 0.5, len(table) - 0.45, "constant answer", fontsize="small", va="bottom")
    ax.set_yticks(y, [MODELS.get(m, m) for m in table.model])
    ax.set(xlabel="UAR (%)", xlim=(0, 102), ylim=(-0.6, len(table) - 0.1))
    fig.legend(loc="outside lower center", ncols=4, fontsize="small")
    return fig


def draw_confusions(predictions: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """Confusion matrices of one model and corpus, one panel a protocol; the figure and its counts."""
    parts = [(p, predictions.query("protocol == @p")) for p in EVIDENCE if p in set(predictions.protocol)]
    fig, axes = plt.subplots(1, len(parts), figsize=(5.2 * len(parts), 4.9), squeeze=False)
    counts = []
    for ax, (protocol, part) in zip(axes[0], parts, strict=True):
        matrix, classes = confusions(part)
        plots.confusion(ax, matrix, classes)
        ax.set_title(f"{protocol}: UAR {100 * metrics.uar(matrix):.1f} %")
        long = pd.DataFrame(matrix, index=pd.Index(classes, name="true"), columns=classes)
        long = long.reset_index().melt("true", var_name="predicted", value_name="utterances")
        counts.append(long.assign(protocol=protocol))
    return fig, pd.concat(counts, ignore_index=True)


def label_shares(predictions: pd.DataFrame) -> pd.DataFrame:
    """What pre-training was worth: UAR with and without, for each share of the labels, and the difference.

    Parameters
    ----------
    predictions : DataFrame
        From `read`. Variants hold ``scratch`` where a model was not pre-trained and ``labels_10`` where it had 10 % of
        the labels; both starts of a share answered about the same clips.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample (``default`` or such as ``paper_600``), protocol, share (per cent of the labels),
        seeds, uar_pretrained, uar_scratch, gain (points), gain_low, gain_high, interval_over, gain_seed_min,
        gain_seed_max. The interval draws as that of `scores`, for both starts at once.

    Raises
    ------
    ValueError
        The two starts of a share were not tested on the same clips, each clip once.
    """
    on = ["train_corpora", "sample", "protocol", "share"]
    told = predictions.variant.str.extract(r"^(paper_\d+|)_?(scratch|)_?(?:labels_(\d+)|)(?:default|)$")
    table = predictions.assign(
        sample=told[0].replace("", "default"),
        start=told[1].replace("", "pretrained"),
        share=told[2].fillna("100").where(told[0].notna()),
    )
    table = table.query("part == 'test'").dropna(subset="share").astype({"share": int})
    rows = []
    for key, part in table.groupby(on, sort=True):
        starts = [part[part.start == start] for start in ("pretrained", "scratch")]
        clips = [set(zip(one.seed, one.utterance, strict=True)) for one in starts]
        if not clips[1]:
            continue
        if clips[0] != clips[1] or any(one.duplicated(["seed", "utterance"]).any() for one in starts):
            raise ValueError(f"{key}: the two starts were not tested on the same clips, each once")

        def of_starts(group):
            counts, _ = confusions(part, ["start", group])  # noqa: B023  used within this turn of the loop
            return counts.reshape(2, -1, *counts.shape[1:]).swapaxes(0, 1)  # (n_groups, 2, n_classes, n_classes)

        def gain(counts):
            return 100 * (metrics.uar(counts[..., 0, :, :]) - metrics.uar(counts[..., 1, :, :]))

        unit = _interval_over(part)
        by_seed = of_starts("seed")
        whole, gains = 100 * metrics.uar(by_seed.sum(axis=0)), gain(by_seed)
        low, high = metrics.interval(of_starts(unit), gain) if unit else (np.nan, np.nan)
        found = {"seeds": part.seed.nunique(), "uar_pretrained": whole[0], "uar_scratch": whole[1]}
        found |= {"gain": whole[0] - whole[1], "gain_low": low, "gain_high": high, "interval_over": unit}
        found |= {"gain_seed_min": gains.min(), "gain_seed_max": gains.max()}
        rows.append(dict(zip(on, key, strict=True)) | found)
    columns = ["seeds", "uar_pretrained", "uar_scratch", "gain", "gain_low", "gain_high", "interval_over"]
    return pd.DataFrame(rows, columns=[*on, *columns, "gain_seed_min", "gain_seed_max"])


def draw_label_shares(table: pd.DataFrame) -> plt.Figure:
    """UAR over the share of labels with and without pre-training, and below it the gain; a column a protocol.

    `table` is from `label_shares`, of one corpus and sample.
    """
    protocols = [p for p in dict.fromkeys([*EVIDENCE, *table.protocol]) if p in set(table.protocol)]
    fig, axes = plt.subplots(
        2, len(protocols), figsize=(4.6 * len(protocols), 5), sharex=True, sharey="row", squeeze=False
    )
    for (top, bottom), protocol in zip(axes.T, protocols, strict=True):
        part = table[table.protocol == protocol].sort_values("share")
        places = np.arange(len(part))
        top.plot(places, part.uar_pretrained, "o-", color="#332288", label="pre-trained")
        top.plot(places, part.uar_scratch, "s--", color="#CC6677", label="from scratch")
        bottom.vlines(places, part.gain_low, part.gain_high, color="#332288", linewidth=2)
        bottom.plot(places, part.gain, "o", color="#332288")
        for bound in (part.gain_seed_min, part.gain_seed_max):
            bottom.plot(places + 0.08, bound, "x", color="#CC6677", markersize=5)
        bottom.axhline(0, color="black", linewidth=0.8)
        bottom.set_xticks(places, [f"{share} %" for share in part.share])
        bottom.set(xlabel="share of the labels", xlim=(-0.4, len(part) - 0.6))
        top.set_title(protocol)
    axes[0, 0].set_ylabel("UAR (%)")
    axes[1, 0].set_ylabel("gain (points)\nline: 95 %, ×: extreme seeds")
    axes[0, 0].legend()
    return fig


def draw_by_corpus(predictions: pd.DataFrame) -> tuple[plt.Figure, pd.DataFrame]:
    """UAR of models trained on a pool, for the clips of each of its corpora, one panel a protocol; figure and table.

    A corpus's UAR is over its own emotions; the dotted line in its row is one over their number.
    """
    table = scores(predictions, ["protocol", "model", "corpus"])
    corpora = sorted(set(table.corpus), reverse=True)
    n_emotions = predictions.groupby("corpus").emotion.nunique()
    protocols = [p for p in EVIDENCE if p in set(table.protocol)]
    fig, axes = plt.subplots(1, len(protocols), figsize=(4.5 * len(protocols), 1.6 + 0.5 * len(corpora)), squeeze=False)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        for y, corpus in enumerate(corpora):
            ax.plot([100 / n_emotions[corpus]] * 2, [y - 0.4, y + 0.4], color="black", linestyle=":", linewidth=1)
        by_model = table.query("protocol == @protocol").groupby("model", sort=False)
        shifts = np.linspace(0.25, -0.25, by_model.ngroups) if by_model.ngroups > 1 else [0]
        for (model, part), shift, marker, colour in zip(
            by_model, shifts, itertools.cycle("sov^DX"), itertools.cycle(PALETTE), strict=False
        ):
            rows = part.corpus.map(corpora.index) + shift
            ax.scatter(part.uar, rows, s=40, marker=marker, color=colour, label=MODELS.get(model, model), zorder=3)
        ax.set_yticks(range(len(corpora)), corpora)
        ax.set(title=protocol, xlabel="UAR (%)", xlim=(0, 102), ylim=(-0.5, len(corpora) - 0.5))
        ax.label_outer()
    handles = {text: handle for ax in axes[0] for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")
    return fig, table


def draw_learning_curves(history: pd.DataFrame) -> plt.Figure:
    """Loss and accuracy by epoch of one model and corpus, one row of panels a protocol."""
    protocols = [p for p in EVIDENCE if p in set(history.protocol)]
    fig, axes = plt.subplots(len(protocols), 2, figsize=(9, 3 * len(protocols)), squeeze=False)
    for row, protocol in zip(axes, protocols, strict=True):
        plots.learning_curves(row, history.query("protocol == @protocol"))
        row[0].set_title(protocol)
    return fig


def provenance(predictions_dir: Path, notebook: str | None = None) -> str:
    """Which commits and seeds a notebook's predictions come from (all notebooks by default), in one line."""
    runs = pd.read_csv(predictions_dir / "runs.csv")
    runs = runs if notebook is None else runs[runs.notebook == notebook]
    seeds = ", ".join(str(int(seed)) for seed in sorted(runs.seed.dropna().unique()))
    commits = ", ".join(sorted(runs.commit.dropna().unique())) or "none"
    corpora = ", ".join(sorted(runs.corpus.unique()))
    return f"{notebook or 'all notebooks'}; corpora {corpora}; seeds {seeds}; commit {commits}"


def to_html(executed: dict[str, Path], folder: Path) -> None:
    """Executed notebooks, and the README as their index, as HTML pages that link to each other.

    Parameters
    ----------
    executed : dict of str to Path
        Page name (the notebook's stem) -> executed notebook.
    folder : Path
        Receives ``<name>.html`` and ``index.html``, images embedded.

    Notes
    -----
    Players of recordings other than the synthetic corpus's are replaced by a line that says so: pages may be passed
    on, the recordings may not. TensorFlow's greetings are left out.
    """
    import nbformat
    from nbconvert import HTMLExporter

    folder.mkdir(parents=True, exist_ok=True)
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    readme = nbformat.v4.new_markdown_cell((REPOSITORY / "README.md").read_text())
    pages = {"index": (nbformat.v4.new_notebook(cells=[readme]), REPOSITORY)}
    for name, path in executed.items():
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            _tidy(cell, notebook.metadata.get("papermill", {}).get("parameters", {}).get("corpus") == "mini")
        pages[name] = (notebook, REPOSITORY / "notebooks")
    for name, (notebook, home) in pages.items():
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": name, "path": str(home)}})
        body = re.sub(r'src="(?!data:|https?:)([^"]+)"', functools.partial(_embed, home=home), body)
        link = functools.partial(_link, home=home, folder=folder, pages=set(pages))
        (folder / f"{name}.html").write_text(re.sub(r'href="([^"#:]+)(#[^"]*)?"', link, body))


def _tidy(cell, may_play: bool) -> None:
    """Take players of licensed recordings and TensorFlow's log lines out of one executed cell."""
    for output in cell.get("outputs", []):
        if "<audio" in str(output.get("data", {}).get("text/html", "")) and not may_play:
            output["data"] = {"text/plain": "(an audio player, in the notebook itself: the recording is licensed)"}
        if output.get("name") == "stderr":
            output["text"] = re.sub(r"(?m)^(WARNING: All log messages before absl|I0000 ).*\n?", "", output["text"])
    if "outputs" in cell:
        cell["outputs"] = [output for output in cell["outputs"] if output.get("text", True)]


def _embed(match: re.Match[str], home: Path) -> str:
    """An image file as part of the page; nbconvert's own embedding refuses ``../`` and breaks folded answers."""
    path = home / match[1]
    if not path.is_file():
        return match[0]
    return f'src="data:{mimetypes.guess_type(path)[0]};base64,{base64.b64encode(path.read_bytes()).decode()}"'


def _link(match: re.Match[str], home: Path, folder: Path, pages: set[str]) -> str:
    """A relative link of a file in `home`, as a page in `folder` needs it."""
    path = (home / match[1]).resolve()
    name = {"README": "index"}.get(path.stem, path.stem)
    if path.suffix in {".ipynb", ".md"} and name in pages:
        anchor = "#The-course" if match[2] == "#the-course" else match[2] or ""  # nbconvert keeps the heading's case
        return f'href="{name}.html{anchor}"'
    return f'href="{os.path.relpath(path, folder.resolve())}"'
