"""Relevance maps of a trained classifier.

`maps` goes through tf-keras-vis, which fails in silence on several kinds of models; each is refused here with what to
do about it. `serlib.faithfulness` tests whether a map may be believed.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Sequence

import keras
import numpy as np
from scipy import special

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
