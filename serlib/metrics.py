"""Scores of predictions: every one is a function of the confusion matrix, which notebook 03 derives by hand.

A confusion matrix here has true classes in rows and predicted classes in columns. All functions take stacks of them,
shape (..., n_classes, n_classes), and ignore classes that never occur.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd


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
    level: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval that draws whole groups (speakers, words), never single clips.

    Clips of one speaker err together; drawing clips would pretend that they are independent and give intervals that
    are far too short.

    Parameters
    ----------
    groups : ndarray of int, shape (n_groups, n_classes, n_classes)
        One confusion matrix for each group.
    statistic : callable
        `uar`, `wa` or `macro_f1`.
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
    """
    if len(groups) < 2:
        return np.nan, np.nan
    drawn = statistic(_resampled(groups, n_draws, seed))
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
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
