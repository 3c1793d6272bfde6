"""What the reproduced papers print, as data, and checks that recompute what follows from it.

``data/claims`` holds every printed table that carries a claim, one CSV each, named ``<paper>_<place>.csv``;
``systems.csv`` lists the claimed systems and ``tables.csv`` says where each table stands and what is said about it. A
check gives a `Finding` where something printed does not agree with something else that is printed, or with the number
of clips that a corpus has. It states a calculation and no reason: a misprint looks like any other disagreement.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from serlib.corpora import REPOSITORY
from serlib.sources import HARMONISED, plain_name

FOLDER = REPOSITORY / "data" / "claims"
TOTALS = ("accuracy", "macro avg", "weighted avg")  # last rows of a classification report
ROUNDED = 0.005  # what a number with two decimals may be off by

#: What disagrees where a finding has this code.
CODES = {
    "C1": "clips tested, and the sample that they are said to be a part of",
    "C2": "clips in a report, and the share of the corpus that is said to be tested",
    "C3": "accuracy and averages, and the recalls and supports above them",
    "C4": "F1 of a row, and its precision and recall",
    "C5": "accuracies quoted for one model in one paper",
    "C6": "outputs that a parameter count implies, and the classes; accuracies that fit the size of another corpus",
    "C7": "an accuracy quoted, and the mean of the recalls",
    "C8": "a precision printed, and the one that follows where all misses can only land in one class",
}

#: Units of the one LSTM and of the dense layers after it: the reconstruction that notebook 05 builds.
LSTM_LAYERS = {"lstm_traditional": (128, (64, 32)), "lstm_modified": (256, (128, 64))}


@dataclass(frozen=True)
class Finding:
    """A disagreement.

    Attributes
    ----------
    code : str
        ``C1`` to ``C8``: which kind, see `CODES`.
    source : str
        The paper's key.
    where : str
        What is printed where, such as *Figure 5*.
    printed : str
    calculation : str
        With its numbers.
    follows : str
    """

    code: str
    source: str
    where: str
    printed: str
    calculation: str
    follows: str


@dataclass(frozen=True)
class Table:
    """A printed table and what its paper says about it.

    Attributes
    ----------
    rows : DataFrame
    source, where : str
    corpora : str
        What was recorded for it, such as ``tess+savee`` or ``ravdess:speech+ravdess:song``; empty where not said.
    test_share : float
        Share of the clips that the paper says it tests on; NaN where not said.
    per_emotion : float
        Clips an emotion that the paper says it used; NaN where not said.
    wa : float
        Accuracy in per cent that the paper quotes from it; NaN where not said.
    """

    rows: pd.DataFrame
    source: str
    where: str
    corpora: str = ""
    test_share: float = np.nan
    per_emotion: float = np.nan
    wa: float = np.nan

    def finding(self, code: str, printed: str, calculation: str, follows: str) -> Finding:
        return Finding(code, self.source, self.where, printed, calculation, follows)


def systems() -> pd.DataFrame:
    """Claimed systems: what each is in the words of `serlib.records.About`, its accuracy, and where it is run.

    Columns source, model, start, task, corpus, sample, features, recipe, wa (per cent; NaN where none is given),
    notebook, what.
    """
    return pd.read_csv(FOLDER / "systems.csv")


def published() -> pd.DataFrame:
    """Scores on unseen speakers that others have published: columns corpus, kind (``small`` or ``large``), model, uar
    (per cent), source, speakers (``normalised`` over all clips of each, test speakers too, by the source's own scripts;
    else empty), key (of the source, in ``docs/references.bib``)."""
    return pd.read_csv(FOLDER / "published.csv", keep_default_na=False)


def tables(folder: Path = FOLDER) -> dict[str, Table]:
    """Printed tables by the stem of their file.

    Raises
    ------
    ValueError
        A file of the folder is not listed in ``tables.csv``, or a listed one is not there.
    """
    listed = pd.read_csv(folder / "tables.csv", index_col="table")
    there = {path.stem for path in folder.glob("*.csv")} - {"tables", "systems", "corpus_counts", "published"}
    if there != set(listed.index):
        wrong = ", ".join(sorted(there ^ set(listed.index)))
        raise ValueError(f"{folder}: tables.csv must list the files beside it; they differ in {wrong}")
    told = listed.fillna({"corpora": ""}).to_dict("index")
    return {name: Table(pd.read_csv(folder / f"{name}.csv"), **about) for name, about in told.items()}  # type: ignore[arg-type]


def clips_of(corpora: str) -> pd.Series:
    """Official number of clips of each emotion in one corpus or several; speech where no channel is named.

    Parameters
    ----------
    corpora : str
        ``tess+savee`` or ``ravdess:speech+ravdess:song``.
    """
    counts = pd.read_csv(FOLDER / "corpus_counts.csv")
    wanted = [name if ":" in name else f"{name}:speech" for name in corpora.split("+")]
    return counts[(counts.corpus + ":" + counts.channel).isin(wanted)].groupby("emotion").clips.sum()


def audit(folder: Path = FOLDER) -> list[Finding]:
    """Every finding in the folder's tables; `CODES` says what each code stands for."""
    found: list[Finding] = []
    for table in tables(folder).values():
        columns = set(table.rows)
        if {"recall", "support"} <= columns:
            found += [*sample_size(table), *tested_share(table), *averages(table)]
        if {"precision", "recall", "f1"} <= columns:
            found += f1_of_rows(table)
        if {"recall"} <= columns and "support" not in columns:
            found += [*mean_recall(table), *misses(table)]
        if {"where", "model", "wa"} <= columns:
            found += quoted_twice(table)
        if {"model", "parameters"} <= columns:
            found += outputs(table)
        if "epoch" in columns:
            found += fractions(table)
    return sorted(found, key=lambda finding: (finding.code, finding.source, finding.where))


def _classes(table: Table) -> pd.DataFrame:
    return table.rows[~table.rows["class"].isin(TOTALS)].astype({"recall": float})


def sample_size(table: Table) -> Iterator[Finding]:
    """C1: more clips are tested than a fifth (or the share said) of the sample described."""
    if not table.corpora or np.isnan(table.per_emotion):
        return
    there = clips_of(table.corpora)
    sample = int(there.clip(upper=int(table.per_emotion)).sum())
    rows = _classes(table)
    tested, share = int(rows.support.sum()), 0.2 if np.isnan(table.test_share) else table.test_share
    if abs(tested - share * sample) <= 0.1 * share * sample:
        return
    largest = [
        f"{name}: {support:.0f} of the {there[emotion]}"
        for name, support in zip(rows["class"], rows.support, strict=True)
        if there.get(emotion := HARMONISED.get(name, name), np.inf) < 2 * table.per_emotion
    ]
    yield table.finding(
        "C1",
        f"{tested:,} clips tested; about {table.per_emotion:.0f} clips of each emotion used",
        f"at most {table.per_emotion:.0f} of each of {len(there)} emotions that the corpora have are {sample:,} clips, "
        f"and {100 * share:.0f} % of them {share * sample:,.0f}; {'; '.join(largest)} that the corpora have",
        f"the clips tested are {100 * tested / sample:.0f} % of such a sample",
    )


def tested_share(table: Table) -> Iterator[Finding]:
    """C2: a report has as many rows as the share that trains, where another share is said to be tested."""
    if not table.corpora or np.isnan(table.test_share):
        return
    whole = int(clips_of(table.corpora).sum())
    n = int(_classes(table).support.sum())
    if abs(n - table.test_share * whole) <= 1 or abs(n - (1 - table.test_share) * whole) > 1:
        return
    yield table.finding(
        "C2",
        f"{n:,} clips in the report; {100 * table.test_share:.0f} % tested",
        f"{whole:,} clips, of which {100 * (1 - table.test_share):.0f} % are {(1 - table.test_share) * whole:,.1f} "
        f"and {100 * table.test_share:.0f} % {table.test_share * whole:,.1f}",
        "the report has as many clips as the part that trains",
    )


def averages(table: Table) -> Iterator[Finding]:
    """C3: printed accuracy and macro or weighted averages against the rows, as far as rounding allows."""
    rows, printed = _classes(table), table.rows.set_index("class")
    weights = {"macro avg": np.ones(len(rows)), "weighted avg": rows.support.to_numpy(float)}
    asked = [("accuracy", "recall", "f1", weights["weighted avg"])]
    asked += [(name, column, column, w) for name, w in weights.items() for column in ("precision", "recall", "f1")]
    for name, column, cell, w in asked:
        if name not in printed.index or np.isnan(said := float(printed[cell][name])):
            continue
        mean = float(np.average(rows[column].astype(float), weights=w))
        if abs(mean - said) > 2 * ROUNDED + 1e-9:
            how = "mean" if name == "macro avg" else "mean, weighted by support,"
            label = name if name == "accuracy" else f"{name} of {column}"
            yield table.finding(
                "C3",
                f"{label} {said:.2f}",
                f"{how} of the rows' {column}: {mean:.3f}, between {mean - ROUNDED:.3f} and {mean + ROUNDED:.3f}",
                f"not {said:.2f}",
            )


def f1_of_rows(table: Table) -> Iterator[Finding]:
    """C4: F1 = 2PR / (P + R) of each row, as far as rounding allows."""
    for row in _classes(table).itertuples():
        low, high = (
            2 * (row.precision + r) * (row.recall + r) / (row.precision + row.recall + 2 * r) + r
            for r in (-ROUNDED, ROUNDED)
        )
        if not low - 1e-9 <= row.f1 <= high + 1e-9:
            exact = 2 * row.precision * row.recall / (row.precision + row.recall)
            yield table.finding(
                "C4",
                f"{row[1]}: precision {row.precision:.2f}, recall {row.recall:.2f}, F1 {row.f1:.2f}",
                f"2 × {row.precision:.2f} × {row.recall:.2f} / {row.precision + row.recall:.2f} = {exact:.3f}",
                f"F1 between {low:.3f} and {high:.3f}",
            )


def quoted_twice(table: Table) -> Iterator[Finding]:
    """C5: one model, several accuracies (columns where, model, corpus, wa)."""
    for model, quotes in table.rows.groupby("model", sort=True):
        if len(set(quotes.wa)) > 1:
            told = [
                f"{q.wa:g} % ({q.where}{f', {plain_name(q.corpus)}' if isinstance(q.corpus, str) and q.corpus else ''})"
                for q in quotes.itertuples()
            ]
            yield table.finding(
                "C5",
                f"{str(model).replace('_', ' ')}: {', '.join(told)}",
                f"{quotes.wa.nunique()} values from {quotes.wa.min():g} to {quotes.wa.max():g} %",
                "the text does not say which experiment each belongs to",
            )


def outputs(table: Table) -> Iterator[Finding]:
    """C6: the number of outputs that makes a network's parameters add up, against the classes of the corpus."""
    classes = len(clips_of(table.corpora))
    for model, parameters in table.rows[["model", "parameters"]].itertuples(index=False):
        units, dense = LSTM_LAYERS[model]
        sizes = [units, *dense]
        hidden = 4 * units * (1 + units + 1) + sum((a + 1) * b for a, b in itertools.pairwise(sizes))
        n, rest = divmod(parameters - hidden, sizes[-1] + 1)
        if rest or n != classes:
            layers = f"LSTM({units}), {', '.join(f'Dense({size})' for size in dense)}"
            yield table.finding(
                "C6",
                f"{model.replace('_', ' ')}: {parameters:,} parameters, on a corpus of {classes} classes",
                f"{layers} have {hidden:,}; ({parameters:,} − {hidden:,}) / ({sizes[-1]} + 1) = "
                f"{(parameters - hidden) / (sizes[-1] + 1):g}",
                f"{n} outputs" if not rest else "no whole number of outputs",
            )


def fractions(table: Table) -> Iterator[Finding]:
    """C6: accuracies by epoch that are whole numbers of the clips in a fifth of another corpus."""
    sizes = pd.read_csv(FOLDER / "corpus_counts.csv").groupby(["corpus", "channel"]).clips.sum()
    for model in table.rows.columns.drop("epoch"):
        values = table.rows[model][table.rows[model] < 1].to_numpy()
        whole = {name: int(multiples(values, round(size / 5))) for name, size in sizes.items()}
        corpus, channel = max(whole, key=lambda name: (whole[name], -sizes[name]))  # of equal ones the smallest
        n = round(sizes[corpus, channel] / 5)
        if len(values) >= 5 and whole[corpus, channel] >= 0.9 * len(values) and corpus != table.corpora:
            by_chance = len(values) * n * 1e-4
            yield table.finding(
                "C6",
                f"{str(model).replace('_', ' ')}: accuracies of {len(values)} epochs, on {plain_name(table.corpora)}",
                f"{whole[corpus, channel]} of {len(values)} are k / {n} to four decimals (by chance about "
                f"{by_chance:.1f} of them); {n} is a fifth of the {sizes[corpus, channel]:,} clips of "
                f"{plain_name(corpus)} {channel}",
                f"they fit a fifth of {plain_name(corpus)}, not of {plain_name(table.corpora)}",
            )


def multiples(values: Sequence[float] | np.ndarray, n: int) -> int:
    """How many of some shares, printed with four decimals, are whole numbers of `n` clips."""
    v = np.asarray(values, float)
    return int(np.sum(np.abs(v - np.round(v * n) / n) <= 0.6e-4))


def mean_recall(table: Table) -> Iterator[Finding]:
    """C7: the accuracy quoted, against the one that the recalls give if classes are equally frequent."""
    mean = _classes(table).recall.mean()
    if not np.isnan(table.wa) and abs(mean - table.wa) > 2 * ROUNDED:
        recalls = ", ".join(f"{value:g}" for value in _classes(table).recall)
        yield table.finding(
            "C7",
            f"accuracy {table.wa:g} %; recalls {recalls}",
            f"mean of the recalls: {mean:.1f} %, which is the accuracy if classes are equally frequent",
            f"{table.wa:g} % would need every recall to be {table.wa:g}",
        )


def misses(table: Table) -> Iterator[Finding]:
    """C8: where one class alone has a precision below 100, every miss landed there, which gives its precision."""
    rows = _classes(table)
    taken = rows[rows.precision < 100]
    if len(taken) != 1:
        return
    lost = (1 - rows.recall / 100).sum() - (1 - taken.recall.iloc[0] / 100)
    right = taken.recall.iloc[0] / 100
    follows = 100 * right / (right + lost)
    if abs(follows - taken.precision.iloc[0]) > 0.1:
        yield table.finding(
            "C8",
            f"precision of {taken['class'].iloc[0]} {taken.precision.iloc[0]:g}, of all others 100",
            f"all misses land there: with equal classes {right:g} / ({right:g} + {lost:.4f}) = {follows:.1f} %",
            "the classes tested were not equally frequent",
        )
