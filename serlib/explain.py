"""Relevance maps of a trained classifier, and the measures that test whether a map may be believed.

`maps` goes through tf-keras-vis, which fails in silence on several kinds of models; each is refused here with what to
do about it. The measures are functions of arrays and, where the network has to be asked again, of a callable.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd
from scipy import special, stats

from serlib import transformer

METHODS = ("grad_cam", "grad_cam_plus_plus", "score_cam", "smooth_grad")
ATTENTION = ("attention_rollout",)  # of a ViT or BEiT; it does not know which class is asked about
BASELINES = ("random", "energy")  # maps that know nothing of the model
N_NOISY, NOISE = 16, 0.1  # SmoothGrad: noisy copies of a clip, and their noise as a share of the clip's range
CONVOLUTIONS = (
    *(keras.layers.Conv1D, keras.layers.SeparableConv1D, keras.layers.DepthwiseConv1D),
    *(keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D),
)


class ExplainError(ValueError):
    """A model that cannot be explained as it is; the message says why, and what to do."""


def maps(
    model: keras.Model,
    x: np.ndarray,
    target: np.ndarray | Sequence[int] | int,
    method: str = "grad_cam",
    *,
    layer: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> np.ndarray:
    """How much each place of the input raised the score of a class, by the method's own account.

    Attention rollout alone knows no class: it tells what was gathered for any answer.

    ======================  ==========================================================================================
    grad_cam                filters of a convolution, weighted by the mean gradient of the score [1]_
    grad_cam_plus_plus      the same, the gradient weighted place by place [2]_
    score_cam               filters weighted by the probability that is left when only what they see is kept [3]_
    smooth_grad             size of the gradient at the input, averaged over noisy copies of the clip [4]_
    attention_rollout       how much of each patch reaches the answer of a ViT or BEiT, see `rollout`; of any class
    random                  uniform noise, other noise for each clip: a baseline
    energy                  the input itself, dB above the clip's lowest value: a baseline
    ======================  ==========================================================================================

    Parameters
    ----------
    model : keras.Model
        Flat, functional, float32, one input, one output: scores before the softmax.
    x : ndarray, shape (n_clips, n_frames, n_mels)
        Log-mel spectrograms, dB.
    target : int or sequence of int, shape (n_clips,)
        Class whose score is explained, for each clip.
    method : one of `METHODS`, `ATTENTION` or `BASELINES`
    layer : str, optional
        Name of the convolution that the first three methods look at; by default the model's last one.
    batch_size : int
        Clips explained at a time; it does not change the result.
    seed : int
        Of SmoothGrad's noise, which is the same for every clip, and of `random`.

    Returns
    -------
    ndarray of float32, shape (n_clips, n_frames, n_mels)
        Zero or more, not scaled: maps of two clips are comparable in shape only. Maps of a coarse layer are
        interpolated between the centres of its cells, so that a place on the map is the same place in the input.

    Raises
    ------
    ExplainError
        See `check` and `convolution`.
    ValueError
        Unknown method, or shapes that do not fit.

    Notes
    -----
    Score-CAM is computed here and not by tf-keras-vis, which multiplies the input by a mask: what is masked becomes 0,
    and 0 dB is not silence but loud. Masked places take the clip's lowest value instead. (It also wants an axis of
    colours, which a spectrogram has not.)

    References
    ----------
    .. [1] Selvaraju, R. R. et al. (2017). Grad-CAM: Visual explanations from deep networks via gradient-based
       localization. Proc. ICCV. arXiv:1610.02391
    .. [2] Chattopadhay, A. et al. (2018). Grad-CAM++. Proc. WACV. arXiv:1710.11063
    .. [3] Wang, H. et al. (2020). Score-CAM. Proc. CVPR Workshops. arXiv:1910.01279
    .. [4] Smilkov, D. et al. (2017). SmoothGrad: removing noise by adding noise. arXiv:1706.03825
    """
    x = np.asarray(x, np.float32)
    known = (*METHODS, *ATTENTION, *BASELINES)
    if method not in known:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(known)}")
    if x.ndim != 3:
        raise ValueError(f"x must have shape (n_clips, n_frames, n_mels), not {x.shape}")
    target = np.broadcast_to(np.asarray(target, int), len(x))
    if not len(x):
        return x
    if method == "random":
        of_clip = [np.random.default_rng([seed, zlib.crc32(clip.tobytes())]) for clip in x]
        return np.stack([rng.random(x.shape[1:], dtype=np.float32) for rng in of_clip])
    if method == "energy":
        return x - x.min(axis=(1, 2), keepdims=True)
    if method == "attention_rollout":
        return np.concatenate([_rolled_out(model, x[k : k + batch_size]) for k in range(0, len(x), batch_size)])
    check(model, x[:2])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The structure of `inputs`")  # tf-keras-vis wraps one input in a list
        if method == "smooth_grad":
            noise = np.random.default_rng(seed).standard_normal((N_NOISY, *x.shape[1:]), dtype=np.float32)
            return np.stack([_smooth_grad(model, clip, which, noise) for clip, which in zip(x, target, strict=True)])
        of_batch = _score_cam if method == "score_cam" else _grad_cam
        conv = convolution(model, layer)
        batches = [slice(k, k + batch_size) for k in range(0, len(x), batch_size)]
        return np.concatenate([of_batch(model, x[b], target[b], conv, method) for b in batches])


def check(model: keras.Model, x: np.ndarray) -> None:
    """Refuse what tf-keras-vis cannot explain, or explains wrongly without a word.

    Parameters
    ----------
    model : keras.Model
    x : ndarray, shape (n_clips, ...)
        A clip or two, to see whether the output is a softmax.

    Raises
    ------
    ExplainError
        Another backend than TensorFlow, legacy Keras, a Sequential or subclassed model, a model inside the model,
        another precision than float32, more than one input or output, or an output that is not a plain score.
    """
    if keras.backend.backend() != "tensorflow":
        raise ExplainError(
            f"explaining needs the TensorFlow backend, and Keras runs on {keras.backend.backend()}; set"
            " KERAS_BACKEND=tensorflow before Python starts (a saved model loads on any backend)"
        )
    if os.environ.get("TF_USE_LEGACY_KERAS", "0").lower() not in ("", "0", "false"):
        raise ExplainError(
            "TF_USE_LEGACY_KERAS is set, and tf-keras-vis breaks under it; unset it and start Python anew"
        )
    if isinstance(model, keras.Sequential):
        raise ExplainError(
            "a Sequential model; use keras.Model(model.inputs[0], model.outputs[0]), which shares its weights"
        )
    if not hasattr(model, "operations"):
        raise ExplainError("a subclassed model has no graph to look into; build it with the functional interface")
    nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if nested:
        raise ExplainError(
            f"{', '.join(nested)} is a model used as one layer, and its convolutions cannot be reached; call its layers"
            " one by one when building the model"
        )
    types = {layer.name: layer.compute_dtype for layer in model.layers if layer.compute_dtype != "float32"}
    if types:
        raise ExplainError(
            f"layers compute in {', '.join(sorted(set(types.values())))} ({', '.join(types)}); gradients there vanish."
            ' Build the model under keras.config.set_dtype_policy("float32") and set the trained weights'
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ExplainError(
            f"{len(model.inputs)} inputs and {len(model.outputs)} outputs; only one of each can be explained"
        )
    if _is_squashed(model, x):
        raise ExplainError(
            "the output is a softmax or another activation, whose gradient vanishes where the model is sure; explain"
            " the scores before it: keras.Model(model.inputs[0], <the last Dense layer without activation>.output)"
        )


def _is_squashed(model: keras.Model, x: np.ndarray) -> bool:
    """By the last layer, or by what comes out: rows of positive numbers that sum to 1 are a softmax, wherever it is."""
    last = model.outputs[0]._keras_history.operation
    activation = getattr(last, "activation", keras.activations.linear)
    if activation not in (None, keras.activations.linear) or isinstance(last, keras.layers.Softmax):
        return True
    scores = _scores(model, x)
    return bool(len(x)) and scores.min() >= 0 and np.allclose(scores.sum(axis=-1), 1, atol=1e-4)


def convolution(model: keras.Model, name: str | None = None) -> keras.layers.Layer:
    """The convolution of a name, or the model's last one.

    Raises
    ------
    ExplainError
        There is no convolution at all, no layer has the name, or it is not a convolution: tf-keras-vis would quietly
        take the convolution before it.
    """
    found = [layer for layer in model.layers if isinstance(layer, CONVOLUTIONS)]
    known = f"the model's convolutions: {', '.join(layer.name for layer in found) or 'none'}"
    if name is None and found:
        return found[-1]
    if name is None:
        raise ExplainError(
            "the model has no convolution that this method could look at; smooth_grad needs none (in the shell,"
            " --method smooth_grad)"
        )
    layer = next((layer for layer in model.layers if layer.name == name), None)
    if layer is None:
        raise ExplainError(f"there is no layer {name!r}; {known}")
    if layer not in found:
        raise ExplainError(f"{name!r} is a {type(layer).__name__} and not a convolution; {known}")
    return layer


def _scores(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Called, not `predict`: on a model that was never compiled, `predict` would compile it with XLA first."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def _of_target(target: np.ndarray):
    """The score of each clip's target, less its own value: same gradient, and Grad-CAM++'s exponential is 1."""
    import tensorflow as tf

    return lambda scores: tf.gather(scores - tf.stop_gradient(scores), target, axis=1, batch_dims=1)


def _grad_cam(model, x, target, conv, method) -> np.ndarray:
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

    cam = (GradcamPlusPlus if method == "grad_cam_plus_plus" else Gradcam)(model)(
        _of_target(target),
        x,
        penultimate_layer=conv,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )
    return _expand(np.asarray(cam), x.shape[1:])


def _score_cam(model, x, target, conv, method) -> np.ndarray:
    seen = keras.ops.convert_to_numpy(keras.Model(model.input, conv.output)(x, training=False))  # filters last
    cams = []
    for clip, which, filters in zip(x, target, np.moveaxis(seen, -1, 1), strict=True):
        masks = _expand(filters, clip.shape)
        low, high = (bound(masks, axis=(1, 2), keepdims=True) for bound in (np.min, np.max))
        masks = (masks - low) / np.maximum(high - low, 1e-7)
        kept = special.softmax(_scores(model, clip.min() + masks * (clip - clip.min())), axis=1)[:, which]
        cams.append(np.maximum(np.tensordot(kept, filters, axes=1), 0))
    return _expand(np.stack(cams), x.shape[1:])


def _smooth_grad(model, clip, target, noise) -> np.ndarray:
    from tf_keras_vis.saliency import Saliency

    noisy = clip + NOISE * np.ptp(clip) * noise
    gradient = Saliency(model)(
        _of_target(np.full(len(noisy), target)), noisy, keepdims=True, normalize_map=False
    )  # keepdims: else the last axis, here frequency, is taken for colours and lost
    return np.asarray(gradient).mean(axis=0)


def rollout(attention: np.ndarray, *, mean_pooling: bool = False) -> np.ndarray:
    """Follow attention through all blocks: how much of each patch is in what the answer is made from.

    Parameters
    ----------
    attention : ndarray, shape (n_clips, n_blocks, n_heads, n, n)
        From `serlib.transformer.attention`; the class token is the first of the n.
    mean_pooling : bool
        The answer is made from the mean of the patches' tokens (BEiT), not from the class token (ViT).

    Returns
    -------
    ndarray, shape (n_clips, n - 1)
        Shares, from 0 to 1.

    Notes
    -----
    Heads are averaged, and half of what a block puts out is taken to be what went in, whatever the residual connection
    really carries: in a BEiT, whose layer scale begins at 0.1, it is more. What the MLPs do, and which class is asked
    about, does not enter. The shares of the patches sum to less than 1, since the class token keeps some.

    References
    ----------
    Abnar, S. and Zuidema, W. (2020). Quantifying attention flow in transformers. Proc. ACL. arXiv:2005.00928
    """
    steps = (attention.mean(axis=2) + np.eye(attention.shape[-1])) / 2
    flow = steps[:, 0]
    for k in range(1, steps.shape[1]):
        flow = steps[:, k] @ flow
    return flow[:, 1:, 1:].mean(axis=1) if mean_pooling else flow[:, 0, 1:]


def _rolled_out(model, x) -> np.ndarray:
    try:
        attention = transformer.attention(model, x)
    except ValueError as error:
        raise ExplainError(f"{error}; attention_rollout is for the networks of notebooks 08 and 09") from error
    patches = model.get_layer("patches")
    mean_pooling = len(model.get_layer("norm").output.shape) == 2
    cells = rollout(attention, mean_pooling=mean_pooling).reshape(len(x), *patches.output.shape[1:3])
    centres = [
        np.arange(n_cells) * step + (size - 1) / 2  # patches may overlap
        for n_cells, step, size in zip(cells.shape[1:], patches.strides, patches.kernel_size, strict=True)
    ]
    return _between(cells, centres, x.shape[1:])


def _expand(cam: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """From the cells of a layer, which cover the input without gap or overlap, to its places.

    tf-keras-vis stretches the map so that the first and last *centres* meet the input's edges, which moves everything
    by up to half a cell. A convolution over time alone says the same of all bands.
    """
    cells = cam.reshape(*cam.shape[:2], -1)
    centres = [
        (np.arange(n_cells) + 0.5) * n / n_cells - 0.5 for n_cells, n in zip(cells.shape[1:], shape, strict=True)
    ]
    return _between(cells, centres, shape)


def _between(cells: np.ndarray, centres: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """From (n, cells in time, cells in frequency) to (n, n_frames, n_mels), linearly between the cells' centres."""
    in_time, in_frequency = (
        np.stack([np.interp(np.arange(n), at, cell) for cell in np.eye(len(at))], axis=1)
        for at, n in zip(centres, shape, strict=True)
    )
    return (in_time @ cells @ in_frequency.T).astype(np.float32)


# Measures. `relevance` is always what `maps` returns, shape (n_clips, n_frames, n_mels); results are one number a clip.


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
