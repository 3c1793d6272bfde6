"""Measures that test whether a relevance map may be believed: functions of arrays and, where the network has to be
asked again, of a callable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd
from scipy import stats

from serlib.explain import maps


def insertion(
    predict: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    relevance: np.ndarray,
    target: np.ndarray,
    *,
    n_steps: int = 16,
    empty: str = "min",
) -> np.ndarray:
    """Area under the target's probability while the most relevant places are put into an empty picture first.

    Parameters
    ----------
    predict : callable
        (n, n_frames, n_mels) -> probabilities, (n, n_classes).
    x : ndarray, shape (n_clips, n_frames, n_mels)
    relevance : ndarray, same shape
        Ties are put in an order drawn at random, the same for all clips.
    target : ndarray of int, shape (n_clips,)
    n_steps : int
        Equal shares of the picture, put in one after the other. All steps of all clips are held in memory at once.
    empty : {"min", "mean"}
        What an empty place holds: the clip's lowest value (silence) or its mean.

    Returns
    -------
    ndarray, shape (n_clips,)
        From 0 to 1; the more faithful the map, the higher.

    Notes
    -----
    Half-filled spectrograms are pictures that the network was never trained on; what it says of them is no proof.

    References
    ----------
    Petsiuk, V., Das, A. and Saenko, K. (2018). RISE: Randomized input sampling for explanation of black-box models.
    Proc. BMVC. arXiv:1806.07421
    """
    return _area(predict, x, relevance, target, n_steps, empty, insert=True)


def deletion(
    predict: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    relevance: np.ndarray,
    target: np.ndarray,
    *,
    n_steps: int = 16,
    empty: str = "min",
) -> np.ndarray:
    """Area under the target's probability while the most relevant places are emptied first; lower is more faithful.

    Parameters, notes and source: see `insertion`.
    """
    return _area(predict, x, relevance, target, n_steps, empty, insert=False)


def _area(predict, x, relevance, target, n_steps, empty, *, insert) -> np.ndarray:
    if empty not in ("min", "mean"):
        raise ValueError(f"empty must be 'min' or 'mean', not {empty!r}")
    tie_break = np.random.default_rng(0).permutation(x[0].size)
    order = np.stack([np.lexsort((tie_break, -important.ravel())) for important in relevance])
    rank = np.argsort(order, axis=1)[:, None]  # of every place: (n_clips, 1, n_frames * n_mels)
    n_done = np.linspace(0, x[0].size, n_steps + 1).round()[:, None]
    flat = x.reshape(len(x), 1, -1)
    pictures = np.where((rank < n_done) == insert, flat, getattr(flat, empty)(axis=-1, keepdims=True))
    p = predict(pictures.reshape(-1, *x.shape[1:])).reshape(len(x), n_steps + 1, -1)
    return np.trapezoid(p[np.arange(len(x)), :, target], dx=1 / n_steps, axis=1)


def max_sensitivity(
    explain: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    *,
    radius: float = 1.0,
    n_draws: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """How far the map moves at most, relative to its own length, when the input is moved a little.

    Parameters
    ----------
    explain : callable
        x -> maps of the same shape.
    x : ndarray, shape (n_clips, n_frames, n_mels)
    radius : float
        Every value is moved by up to this much, dB, uniformly. 1 dB is about what an ear can just tell.
    n_draws, seed : int

    Returns
    -------
    ndarray, shape (n_clips,)
        0 is a map that does not move; NaN for a map of zeros.

    References
    ----------
    Yeh, C.-K. et al. (2019). On the (in)fidelity and sensitivity of explanations. Proc. NeurIPS. arXiv:1901.09392.
    The division by the map's length, which makes methods of different scale comparable, is ours.
    """
    rng = np.random.default_rng(seed)
    original = explain(x)
    moved = [explain(x + rng.uniform(-radius, radius, x.shape).astype(np.float32)) for _ in range(n_draws)]
    distance = np.max([_length(other - original) for other in moved], axis=0)
    length = _length(original)
    return np.divide(distance, length, out=np.full(len(x), np.nan), where=length > 0)


def _length(array: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(array, dtype=float).sum(axis=(1, 2)))


def sparseness(relevance: np.ndarray) -> np.ndarray:
    """Gini index of a map: 0 where everything is equally relevant (or nothing is), near 1 where one place is.

    References
    ----------
    Chalasani, P. et al. (2020). Concise explanations of neural networks using adversarial training. Proc. ICML.
    arXiv:1810.06583
    """
    values = np.sort(np.abs(relevance.reshape(len(relevance), -1)).astype(float), axis=1)
    n = values.shape[1]
    total = values.sum(axis=1)
    weighted = values @ ((n - np.arange(1, n + 1) + 0.5) / n)
    return np.where(total > 0, 1 - 2 * weighted / np.where(total > 0, total, 1), 0.0)


def rank_correlation(relevance: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's correlation of two maps of each clip, shape (n_clips,); 0 where one of them is constant."""
    ranks = [stats.rankdata(m.reshape(len(m), -1), axis=1) for m in (relevance, other)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    norm = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), norm, out=np.zeros(len(a)), where=norm > 0)


def randomisation(
    model: keras.Model, x: np.ndarray, target: np.ndarray, method: str = "grad_cam", *, seed: int = 0, **options
) -> pd.DataFrame:
    """What is left of the maps when the network forgets, layer by layer from the top, and stays forgotten.

    A layer forgets when its weights are shuffled among themselves: same values, no arrangement. A map that survives
    shows the input, not what the network learned.

    Parameters
    ----------
    model : keras.Model
        It forgets, and gets its weights back at the end.
    x, target, method
        As for `maps`.
    seed : int
    **options
        Passed to `maps`.

    Returns
    -------
    DataFrame
        Columns layer (``none`` first, then from the top down), depth (0, 1, …), clip (position in `x`), correlation
        (Spearman's, with the trained network's map).

    References
    ----------
    Adebayo, J. et al. (2018). Sanity checks for saliency maps. Proc. NeurIPS. arXiv:1810.03292 (their cascading test;
    they draw initial weights anew, shuffling keeps the scale of each layer).
    """
    rng = np.random.default_rng(seed)
    trained = model.get_weights()
    original = maps(model, x, target, method, **options)
    layers = [None, *(layer for layer in reversed(model.layers) if layer.trainable_weights)]
    tables = []
    try:  # on the model itself: a clone of one with a Normalization layer, given its weights, is not the same model
        for depth, layer in enumerate(layers):
            if layer is not None:
                layer.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()])
            correlation = rank_correlation(original, maps(model, x, target, method, **options))
            about = {"layer": layer.name if layer is not None else "none", "depth": depth, "clip": np.arange(len(x))}
            tables.append(pd.DataFrame(about | {"correlation": correlation}))
    finally:
        model.set_weights(trained)
    return pd.concat(tables, ignore_index=True)


def cue_masks(cues: pd.DataFrame, clips: Sequence[str], times: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Where the cues of each clip lie on its spectrogram.

    Parameters
    ----------
    cues : DataFrame
        ``cues.csv`` of the synthetic corpus: columns path, start, end (s), low, high (Hz); one row a box.
    clips : sequence of str
        File names, as in column path.
    times : ndarray, shape (n_frames,)
        Centres of frames, s.
    frequencies : ndarray, shape (n_mels,)
        Centres of mel bands, Hz.

    Returns
    -------
    ndarray of bool, shape (n_clips, n_frames, n_mels)
        True where a centre lies inside one of the boxes; nowhere for a clip without cues.
    """
    masks = np.zeros((len(clips), len(times), len(frequencies)), bool)
    for mask, (_, boxes) in zip(masks, ((c, cues[cues.path == c]) for c in clips), strict=True):
        for box in boxes.itertuples():
            mask |= np.outer(
                (times >= box.start) & (times <= box.end), (frequencies >= box.low) & (frequencies <= box.high)
            )
    return masks


def pointing_game(relevance: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the most relevant place lies on the cue: 1 or 0, the share of them where several are equally relevant.

    Parameters
    ----------
    relevance : ndarray, shape (n_clips, n_frames, n_mels)
    masks : ndarray of bool, same shape

    Returns
    -------
    ndarray, shape (n_clips,)
        NaN for a clip without cue; 0 for a map of zeros, which points nowhere.

    References
    ----------
    Zhang, J. et al. (2018). Top-down neural attention by excitation backprop. IJCV 126, 1084-1102. arXiv:1608.00507
    """
    peaks = (relevance == relevance.max(axis=(1, 2), keepdims=True)) & (relevance > 0)
    return _share(peaks.astype(float), masks)


def relevance_mass(relevance: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of a map's relevance that lies on the cue; same arguments, NaN and 0 as `pointing_game`.

    References
    ----------
    Arras, L., Osman, A. and Samek, W. (2022). CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural
    network explanations. Information Fusion 81, 14-40. arXiv:2003.07258
    """
    return _share(relevance.astype(float), masks)


def _share(amount: np.ndarray, masks: np.ndarray) -> np.ndarray:
    total = amount.sum(axis=(1, 2))
    inside = np.where(masks, amount, 0).sum(axis=(1, 2)) / np.where(total > 0, total, 1)
    return np.where(masks.any(axis=(1, 2)), inside, np.nan)


def preference(relevance: np.ndarray, masks: np.ndarray, energy: np.ndarray, *, n_levels: int = 20) -> np.ndarray:
    """Whether a map prefers the cue to other places that are as loud: 1 always, 0.5 not at all, 0 avoids it.

    Cues of speech lie where the voice is, and so does energy: a map may score in the pointing game and in relevance
    mass by liking what is loud. Here the places of a clip that sound are sorted into levels of energy, mean relevance
    on and off the cue is compared within each level, and levels weigh by their places on the cue. The measure is ours.

    Parameters
    ----------
    relevance : ndarray, shape (n_clips, n_frames, n_mels)
    masks : ndarray of bool, same shape
    energy : ndarray, same shape
        As `maps` gives it; places of zero energy do not count.
    n_levels : int
        Each holds as many places as the next.

    Returns
    -------
    ndarray, shape (n_clips,)
        On / (on + off); 0.5 for a map of zeros. NaN for a clip without cue, or where no level has places of both kinds.
    """
    found = []
    for heat, mask, loud in zip(relevance, masks, energy, strict=True):
        sounds = loud > 0
        heat, mask, loud = heat[sounds].astype(float), mask[sounds], loud[sounds]
        edges = np.quantile(loud, np.linspace(0, 1, n_levels + 1)[1:-1]) if loud.size else []
        level = np.searchsorted(edges, loud)
        n_on, n_off = (np.bincount(level[side], minlength=n_levels) for side in (mask, ~mask))
        on, off = (np.bincount(level[side], heat[side], minlength=n_levels) for side in (mask, ~mask))
        both = (n_on > 0) & (n_off > 0)
        on, off = on[both].sum(), (off[both] / n_off[both] * n_on[both]).sum()
        found.append(np.nan if not both.any() else on / (on + off) if on + off > 0 else 0.5)
    return np.array(found)
