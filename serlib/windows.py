"""Overlapping sliding windows over clips, and one answer a clip from those of its windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cut(features: Sequence[np.ndarray], length: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping sliding windows over every clip, all of one length.

    The last window of a clip ends with the clip, or later: what is missing there, or in a clip shorter than one
    window, repeats the last frame.

    Parameters
    ----------
    features : sequence of ndarray, shape (n_rows, n_frames)
        One array a clip.
    length, hop : int
        In frames; ``frames.n_frames(seconds)`` turns seconds into them.

    Returns
    -------
    windows : ndarray, shape (n_windows, n_rows, length)
    clip : ndarray of int, shape (n_windows,)
        Position of the clip in `features` that each window is cut from. Split utterances, then choose windows by
        ``np.isin(clip, split.train)``: no split separates windows of one clip.

    Raises
    ------
    ValueError
        `length` or `hop` is less than 1.
    """
    if length < 1 or hop < 1:
        raise ValueError(f"length and hop of windows must be at least 1 frame, not {length} and {hop}")
    pieces, clip = [], []
    for k, feature in enumerate(features):
        n_windows = 1 + max(0, -(-(feature.shape[-1] - length) // hop))
        missing = (n_windows - 1) * hop + length - feature.shape[-1]
        padded = np.pad(feature, ((0, 0), (0, max(0, missing))), mode="edge")
        pieces.append(np.lib.stride_tricks.sliding_window_view(padded, length, axis=-1)[:, ::hop][:, :n_windows])
        clip += [k] * n_windows
    return np.concatenate(pieces, axis=1).swapaxes(0, 1).copy(), np.array(clip)


def sequences(features: Sequence[np.ndarray], length: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of every clip in their order, as a recurrent layer reads them, and which of them exist.

    Parameters
    ----------
    features : sequence of ndarray, shape (n_rows, n_frames)
        One array a clip.
    length, hop : int
        See `cut`.

    Returns
    -------
    windows : ndarray, shape (n_clips, most, n_rows, length)
        As many as the longest clip has; where a clip has fewer, zeros follow.
    present : ndarray of bool, shape (n_clips, most)
        False where zeros stand in for a window: the mask of a recurrent layer.

    Raises
    ------
    ValueError
        See `cut`.
    """
    windows, clip = cut(features, length, hop)
    n_windows = np.bincount(clip)
    present = np.arange(n_windows.max()) < n_windows[:, None]
    filled = np.zeros((*present.shape, *windows.shape[1:]), windows.dtype)
    filled[present] = windows  # both run clip by clip
    return filled, present


def fuse(probabilities: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """One answer a clip: the mean of its windows' probabilities.

    Parameters
    ----------
    probabilities : ndarray, shape (n_windows, n_classes)
    clip : ndarray of int, shape (n_windows,)
        From `cut`.

    Returns
    -------
    ndarray, shape (n_clips, n_classes)
        In ascending order of the clips that occur in `clip`.
    """
    _, position = np.unique(clip, return_inverse=True)
    total = np.zeros((position.max() + 1, probabilities.shape[1]))
    np.add.at(total, position, probabilities)
    return total / np.bincount(position)[:, None]
