"""Scores of predictions: every one is a function of the confusion matrix, which notebook 03 derives by hand.

A confusion matrix here has true classes in rows and predicted classes in columns. All functions take stacks of them,
shape (..., n_classes, n_classes), and ignore classes that never occur.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest


def confusion(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Count utterances by true class (rows) and predicted class (columns).

    Parameters
    ----------
    truth, predicted : sequences of str, same length
    classes : sequence of str
        Order of rows and columns.

    Returns
    -------
    ndarray of int, shape (n_classes, n_classes)

    Raises
    ------
    ValueError
        A label is not among `classes`, or the lengths differ.
    """
    if len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} true labels and {len(predicted)} predicted ones")
    unknown = (set(truth) | set(predicted)) - set(classes)
    if unknown:
        raise ValueError(f"labels {sorted(unknown)} are not among the classes {list(classes)}")
    index = pd.Index(classes)
    counts = np.zeros((len(index), len(index)), dtype=int)
    np.add.at(counts, (index.get_indexer(pd.Index(truth)), index.get_indexer(pd.Index(predicted))), 1)
    return counts


def recall(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class that is found, shape (..., n_classes); NaN for a class that never occurs."""
    return _ratio(_diagonal(confusion), confusion.sum(axis=-1))


def precision(confusion: np.ndarray) -> np.ndarray:
    """Share of each predicted class that is right, shape (..., n_classes); NaN for a class never predicted."""
    return _ratio(_diagonal(confusion), confusion.sum(axis=-2))


def f1(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, shape (..., n_classes); NaN for a class neither true nor predicted."""
    return _ratio(2 * _diagonal(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall: the mean of the recalls of the classes that occur. Chance is 1 / n_classes."""
    return np.nanmean(recall(confusion), axis=-1)


def wa(confusion: np.ndarray) -> np.ndarray:
    """Weighted accuracy, the plain accuracy: each class weighs as much as it has utterances."""
    return _ratio(_diagonal(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean of the classes' F1."""
    return np.nanmean(f1(confusion), axis=-1)


def constant_wa(confusion: np.ndarray) -> np.ndarray:
    """Accuracy of the best constant answer on these utterances; its UAR is 1 / n_classes."""
    return _ratio(confusion.sum(axis=-1).max(axis=-1), confusion.sum(axis=(-2, -1)))


def per_class(confusion: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class: one row a class, in the order given."""
    columns = {"precision": precision(confusion), "recall": recall(confusion), "f1": f1(confusion)}
    return pd.DataFrame(columns | {"support": confusion.sum(axis=-1)}, index=pd.Index(classes, name="emotion"))


def interval(
    groups: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] = uar,
    *,
    seeds: bool = False,
    level: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval that draws whole groups (speakers, words), never single clips.

    Clips of one speaker err together; drawing clips would pretend that they are independent and give intervals that
    are far too short. Where a model was trained several times, its seeds are drawn anew too, whatever group they meet
    (Owen's pigeonhole bootstrap): the interval then holds both how far another group and how far another training may
    lie away.

    Parameters
    ----------
    groups : ndarray of int, shape (n_groups, n_classes, n_classes)
        One confusion matrix for each group; with `seeds`, shape (n_groups, n_seeds, n_classes, n_classes).
    statistic : callable
        `uar`, `wa` or `macro_f1`.
    seeds : bool
        Whether the second axis of `groups` are seeds, to be drawn as well. One seed says nothing about others.
    level : float
        Coverage wanted.
    n_draws, seed : int

    Returns
    -------
    low, high : float
        (NaN, NaN) with fewer than two groups: one speaker says nothing about the next.

    References
    ----------
    Ferrer, L. and Riera, P. Confidence intervals for evaluation in machine learning,
    https://github.com/luferrer/ConfidenceIntervals.
    Owen, A. B. (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1(2), 386-411.
    """
    if len(groups) < 2:
        return np.nan, np.nan
    drawn = _resampled(groups, n_draws, seed)
    if seeds:
        n = groups.shape[1]
        times = np.random.default_rng([seed, 1]).multinomial(n, np.full(n, 1 / n), size=n_draws)
        drawn = np.einsum("ds,ds...->d...", times, drawn)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # a draw of groups that none of the drawn seeds tested is left out
        low, high = np.nanquantile(statistic(drawn), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(
    values: np.ndarray,
    groups: Sequence,
    *,
    level: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over clips that draws whole groups (speakers, words), as `interval` does.

    Parameters
    ----------
    values : ndarray, shape (n_clips,)
        One number a clip; NaN is left out.
    groups : sequence, shape (n_clips,)
        Group of each clip.
    level : float
        Coverage wanted.
    n_draws, seed : int

    Returns
    -------
    low, high : float
        (NaN, NaN) with fewer than two groups that have a value.

    Raises
    ------
    ValueError
        The lengths differ.
    """
    if len(values) != len(groups):
        raise ValueError(f"{len(values)} values and {len(groups)} groups")
    table = pd.DataFrame({"value": np.asarray(values, float), "group": list(groups)}).dropna(subset="value")
    sums = table.groupby("group").value.agg(["sum", "size"]).to_numpy()
    if len(sums) < 2:
        return np.nan, np.nan
    total, n_clips = _resampled(sums, n_draws, seed).T
    low, high = np.quantile(total / n_clips, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permutation_test(
    a: np.ndarray,
    b: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] = uar,
    *,
    n_draws: int = 10_000,
    seed: int = 0,
) -> float:
    """How often chance alone would put two models at least this far apart: paired, two-sided, over whole groups.

    Were the two models alike, it would not matter whose answers are called whose, speaker by speaker. So the answers of
    the two are exchanged for a random half of the groups, many times over.

    Parameters
    ----------
    a, b : ndarray of int, shape (n_groups, n_classes, n_classes)
        Confusion matrices of two models on the same clips, one for each group (speaker, or word).
    statistic : callable
        `uar`, `wa` or `macro_f1`.
    n_draws, seed : int

    Returns
    -------
    float
        p, never below 1 / (n_draws + 1). With few groups it cannot be small: five speakers give 1 / 16 at the least.

    Raises
    ------
    ValueError
        The two were not asked about the same clips.

    References
    ----------
    Good, P. (2005). Permutation, parametric and bootstrap tests of hypotheses. Springer.
    """
    if a.shape != b.shape or not np.array_equal(a.sum(axis=-1), b.sum(axis=-1)):
        raise ValueError("a paired test needs the answers of both models about the same clips")
    swapped = np.random.default_rng(seed).random((n_draws, len(a))) < 0.5
    moved = np.tensordot(swapped, b - a, axes=1)
    drawn = np.abs(statistic(a.sum(axis=0) + moved) - statistic(b.sum(axis=0) - moved))
    measured = np.abs(statistic(a.sum(axis=0)) - statistic(b.sum(axis=0)))
    return float((1 + np.sum(drawn >= measured - 1e-12)) / (n_draws + 1))


def mcnemar(a_right: np.ndarray, b_right: np.ndarray) -> float:
    """Exact McNemar test of two models on the same clips: p, two-sided.

    Of the clips on which only one is right, each is right on half, were they alike. Clips count as independent, which
    those of one speaker are not: where speakers are known, prefer `permutation_test`.

    Parameters
    ----------
    a_right, b_right : ndarray of bool, shape (n_clips,)

    References
    ----------
    McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or percentages.
    Psychometrika 12, 153-157.
    """
    only_a, only_b = int(np.sum(a_right & ~b_right)), int(np.sum(~a_right & b_right))
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p: Sequence[float]) -> np.ndarray:
    """p values of several tests, adjusted so that the chance of any false finding stays at the level of one.

    Parameters
    ----------
    p : sequence of float

    Returns
    -------
    ndarray, shape (n_tests,)
        In the order given.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scand. J. Statistics 6(2), 65-70.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(order), 0, -1)))
    return adjusted


def reliability(p: np.ndarray, right: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """How often answers of a given confidence are right.

    Parameters
    ----------
    p : ndarray, shape (n_clips,)
        Probability of the answer given.
    right : ndarray of bool, shape (n_clips,)
    n_bins : int
        Equal steps of confidence; empty ones are left out.

    Returns
    -------
    DataFrame
        Columns confidence and accuracy (means), clips.
    """
    step = np.minimum((np.asarray(p) * n_bins).astype(int), n_bins - 1)
    table = pd.DataFrame({"confidence": p, "accuracy": np.asarray(right, float)}).groupby(step)
    return table.mean().assign(clips=table.size()).reset_index(drop=True)


def ece(p: np.ndarray, right: np.ndarray, n_bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: the mean distance of confidence and accuracy over the steps of `reliability`.

    References
    ----------
    Guo, C. et al. (2017). On calibration of modern neural networks. Proc. ICML.
    """
    table = reliability(p, right, n_bins)
    return float(np.average(np.abs(table.confidence - table.accuracy), weights=table.clips))


def risk_coverage(p: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """What is wrong among the answers that are given, if only the surest share is given.

    Returns
    -------
    DataFrame
        One row a clip, surest first: coverage (share answered so far) and risk (share of these that is wrong).
        Its mean risk is the area under the curve.

    References
    ----------
    Geifman, Y. and El-Yaniv, R. (2017). Selective classification for deep neural networks. Proc. NeurIPS.
    """
    order, n = np.argsort(-np.asarray(p), kind="stable"), np.arange(1, len(p) + 1)
    return pd.DataFrame({"coverage": n / len(p), "risk": np.cumsum(~np.asarray(right, bool)[order]) / n})


def _resampled(groups: np.ndarray, n_draws: int, seed: int) -> np.ndarray:
    """Sums over as many groups as there are, drawn with replacement, shape (n_draws, *groups.shape[1:])."""
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=n_draws)
    return np.tensordot(times_drawn, groups, axes=1)


def _diagonal(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part, whole) -> np.ndarray:
    whole = np.asarray(whole, dtype=float)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
