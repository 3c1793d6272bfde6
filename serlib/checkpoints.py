"""Published weights: ViT and BEiT as Hugging Face lays them out, into `serlib.transformer`; DenseNet as Keras does."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from serlib.corpora import REPOSITORY
from serlib.transformer import Config, classifier, masked

FILES = ("config.json", "model.safetensors")


class WeightsError(ValueError):
    """A published checkpoint that is not at hand, or is not what this module can read."""


def from_pretrained(
    where: str | Path,
    image_shape: tuple[int, ...] | None = None,
    n_classes: int | None = None,
    *,
    normalise: keras.Layer | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> keras.Model:
    """A published ViT or BEiT, for pictures of any shape; neither torch nor transformers is needed.

    Every size and epsilon is read from the checkpoint's ``config.json``. Position tables are interpolated to the new
    number of patches, the patch kernel is averaged over colours for a picture of one channel.

    Parameters
    ----------
    where : str or Path
        A folder that holds ``config.json`` and ``model.safetensors`` as Hugging Face lays them out, else a name on its
        hub, such as ``google/vit-base-patch16-224-in21k`` or ``microsoft/beit-base-patch16-224-pt22k``; a name is
        fetched once and then taken from the hub's own cache.
    image_shape : tuple of int, optional
        Multiples of the checkpoint's patches; by default its own pictures.
    n_classes : int, optional
        Gives a new, untrained ``logits`` layer. By default the checkpoint's own head: classes, or visual tokens.
    normalise, dropout, drop_path
        As for `classifier` and `Config`.

    Returns
    -------
    keras.Model
        See `classifier`; `masked` for a checkpoint of masked-image modelling without `n_classes`.

    Raises
    ------
    WeightsError
        The checkpoint is not at hand (says which files to put where), is of another architecture, or lacks a weight or
        has one that would be dropped.
    """
    folder = _folder(where)
    try:
        told = json.loads((folder / FILES[0]).read_text())
        from safetensors.numpy import load_file

        weights = load_file(folder / FILES[1])
    except Exception as error:  # safetensors has an exception of its own; whatever it is, the file is named
        raise WeightsError(f"{folder} does not hold a readable {' and '.join(FILES)}: {error}") from error
    try:
        config = replace(_config(told, folder), dropout=dropout, drop_path=drop_path)
    except KeyError as error:
        raise WeightsError(f"{folder / FILES[0]} does not say {error}, or is not of a ViT or BEiT") from error
    plain = {re.sub(r"^(vit|beit)\.", "", name): value for name, value in weights.items()}
    if len(plain) < len(weights):
        raise WeightsError(f"{folder / FILES[1]} normalises twice before its head: that is not known here")
    weights = plain
    old_grid = config.grid
    config = replace(config, image_shape=tuple(image_shape or config.image_shape))
    if n_classes is None and "lm_head.weight" in weights:
        model = masked(config, len(weights["lm_head.weight"]), normalise)
    elif n_classes is None and "classifier.weight" not in weights:
        raise WeightsError(f"{folder} has no classes of its own: say how many there are, n_classes=…")
    else:
        model = classifier(config, n_classes or len(weights["classifier.weight"]), normalise)
    fresh = ("logits/", "norm/")[: 1 + config.mean_pooling] if n_classes else ()  # BEiT normalises in its head
    of_normalise = {id(variable) for variable in normalise.variables} if normalise else set()
    used = set()
    for variable in model.variables:
        if id(variable) in of_normalise or "seed_generator" in variable.path:
            continue
        name = _published_name(variable.path, config)
        if name not in weights or (n_classes and name.startswith("classifier.")):
            if variable.path.startswith(fresh):
                continue
            raise WeightsError(f"{folder / FILES[1]} has no weight {name}, which {FILES[0]} leads to expect")
        value = _fitted(weights[name], variable, old_grid, config.grid)
        if value.shape != tuple(variable.shape):
            raise WeightsError(f"{folder / FILES[1]}: {name} has shape {value.shape}, not {tuple(variable.shape)}")
        variable.assign(value)
        used.add(name)
    heads = r"pooler\.dense\.|.*relative_position_index$" + (
        r"|classifier\.|lm_head\.|layernorm\.|embeddings\.mask_token" if n_classes else ""
    )
    dropped = sorted(name for name in weights if name not in used and not re.match(heads, name))
    if dropped:
        raise WeightsError(
            f"{folder / FILES[1]}: nothing here takes {', '.join(dropped[:5])}; is it a plain ViT or BEiT?"
        )
    return model


def _folder(where: str | Path) -> Path:
    if Path(where).is_dir():
        return Path(where)
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(where)):
        raise WeightsError(f"there is no folder {where}; it is to hold {' and '.join(FILES)}")
    import huggingface_hub

    try:
        config, _ = (huggingface_hub.hf_hub_download(str(where), name) for name in FILES)
        return Path(config).parent
    except Exception as error:  # no network, no such name, no such file: whatever it is, the remedy is one
        raise WeightsError(
            f"{where} is not in the cache and could not be fetched ({type(error).__name__}). Where there is a network, "
            f"save {' and '.join(FILES)} from https://huggingface.co/{where}/tree/main into a folder, and give that "
            "folder in place of the name. Weights that are published as pytorch_model.bin alone have to be saved with "
            "transformers first: AutoModel.from_pretrained(…).save_pretrained(folder)"
        ) from error


def _config(told: dict, folder: Path) -> Config:
    """Hugging Face's config.json in our words."""
    kind = told.get("model_type")
    if kind not in ("vit", "beit"):
        raise WeightsError(f"{folder / FILES[0]}: model_type is {kind!r}; only vit and beit are read")
    if told.get("hidden_act", "gelu") not in ("gelu", "relu"):
        raise WeightsError(f"{folder / FILES[0]}: hidden_act {told['hidden_act']!r} is not known here")

    def pair(size):
        return tuple(size) if isinstance(size, list) else (size, size)

    bias = told.get("qkv_bias", True)
    config = Config(
        image_shape=(*pair(told["image_size"]), told.get("num_channels", 3)),
        patch_size=pair(told["patch_size"]),
        hidden_dim=told["hidden_size"],
        num_layers=told["num_hidden_layers"],
        num_heads=told["num_attention_heads"],
        mlp_dim=told["intermediate_size"],
        query_bias=bias,
        key_bias=bias,
        value_bias=bias,
        activation=told.get("hidden_act", "gelu"),
        layer_norm_epsilon=told.get("layer_norm_eps", 1e-12),
    )
    if kind == "vit":
        return config
    kinds = {"relative": "use_relative_position_bias", "shared": "use_shared_relative_position_bias"}
    kinds |= {"absolute": "use_absolute_position_embeddings"}
    found = [name for name, key in kinds.items() if told.get(key)] or ["none"]
    if len(found) > 1:
        raise WeightsError(f"{folder / FILES[0]}: positions that are {' and '.join(found)} at once are not known here")
    return replace(
        config,
        positions=found[0],
        key_bias=False,
        layer_scale=told.get("layer_scale_init_value", 0.1),
        mean_pooling=told.get("use_mean_pooling", True),
    )


#: Our names of weights -> those of Hugging Face, applied one after the other.
_NAMES = {
    r"^patches/": "embeddings.patch_embeddings.projection.",
    r"^class_token/token": "embeddings.cls_token",
    r"^masking/token": "embeddings.mask_token",
    r"^position_(\d+)/table": r"encoder.layer.\1.attention.attention.relative_position_bias."
    "relative_position_bias_table",
    r"^(token_)?norm/": "layernorm.",
    r"^logits/": "classifier.",
    r"^visual_tokens/": "lm_head.",
    r"^block_(\d+)/": r"encoder.layer.\1.",
    r"attention/(query|key|value)/": r"attention.attention.\1.",
    r"attention/out/": "attention.output.dense.",
    r"attention_norm/": "layernorm_before.",
    r"mlp_norm/": "layernorm_after.",
    r"mlp_in/": "intermediate.dense.",
    r"mlp_out/": "output.dense.",
    r"attention_scale/factor": "lambda_1",
    r"mlp_scale/factor": "lambda_2",
    r"(kernel|gamma)$": "weight",
    r"beta$": "bias",
}


def _published_name(path: str, config: Config) -> str:
    if path == "position/table":
        shared = "encoder.relative_position_bias.relative_position_bias_table"
        return shared if config.positions == "shared" else "embeddings.position_embeddings"
    if path.startswith("norm/") and config.mean_pooling:
        path = "pooler.layer" + path.replace("/", ".")
    for ours, theirs in _NAMES.items():
        path = re.sub(ours, theirs, path)
    return path


def _fitted(value: np.ndarray, variable, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """A published weight in Keras's layout and for this grid of patches."""
    value = value.astype(np.float32)
    if variable.path.startswith("patches/kernel"):
        value = value.transpose(2, 3, 1, 0)  # from (d, channels, height, width)
        return value.mean(axis=2, keepdims=True) if variable.shape[2] == 1 else value
    if variable.path.endswith("kernel"):
        return value.T
    if old == new or not variable.path.startswith("position"):
        return value
    if value.ndim == 3:  # (1, n, d), the class token first
        return np.concatenate([value[:, :1], _resized(value[0, 1:], old, new, _cubic)[None]], axis=1)
    old, new = ((2 * height - 1, 2 * width - 1) for height, width in (old, new))
    return np.concatenate([_resized(value[:-3], old, new, _linear), value[-3:]])


def _resized(table: np.ndarray, old, new, kernel) -> np.ndarray:
    """Interpolate as torch does, the edge repeated: Keras's backends differ from it and from each other in bicubic."""
    picture = table.reshape(*old, -1)
    for before, after in zip(old, new, strict=True):  # down, then across
        place = (np.arange(after)[:, None] + 0.5) * before / after - 0.5
        near = np.floor(place) + np.arange(-1, 3)  # four old places for each new one
        values = picture[near.clip(0, before - 1).astype(int)]
        picture = np.einsum("nk,nk...->n...", kernel(abs(place - near)), values).swapaxes(0, 1)
    return picture.reshape(-1, table.shape[-1]).astype(np.float32)


def _linear(distance):
    return np.maximum(1 - distance, 0)


def _cubic(distance, a=-0.75):  # torch's and OpenCV's a; others take -0.5
    d = distance
    return np.where(d < 1, ((a + 2) * d - (a + 3)) * d**2 + 1, a * (((d - 5) * d + 8) * d - 4))


#: Where Keras fetches the ImageNet weights of a DenseNet121 without its classifier, 29 MB.
DENSENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/densenet/"
    "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
#: The last layer of each dense block of DenseNet121, normalised and rectified.
_BLOCK_ENDS = ("pool2_relu", "pool3_relu", "pool4_relu", "relu")


def densenet121(
    weights: str | Path | None,
    image_shape: tuple[int, int, int] = (64, 64, 3),
    *,
    n_blocks: int = 4,
    patience: float = 120,
) -> keras.Model:
    """DenseNet121 without its classifier: a picture in, the mean of every channel of its last feature map out.

    Parameters
    ----------
    weights : str, Path or None
        ``imagenet``, which Keras fetches once and keeps; a file with such weights (``.h5``), its path taken from the
        repository's top; None starts at random.
    image_shape : tuple of int
        Height and width, 32 pixels or more, and three channels, as `keras.applications.densenet.preprocess_input`
        gives them.
    n_blocks : int
        Dense blocks that are kept, from 1 to all 4: 256, 512, 1024 or 1024 channels.
    patience : float
        Seconds that fetching may take in all.

    Returns
    -------
    keras.Model
        image_shape -> (n_channels,)

    Raises
    ------
    WeightsError
        The weights are not at hand, or are of another network; says which file to put where.
    ValueError
        Another number of blocks; of `image_shape`, see Keras.

    References
    ----------
    Huang, G. et al. (2017). Densely connected convolutional networks. Proc. CVPR, https://arxiv.org/abs/1608.06993
    """
    if n_blocks not in range(1, 5):
        raise ValueError(f"n_blocks is {n_blocks}; DenseNet121 has four dense blocks, of which 1 to 4 may be kept")
    build = functools.partial(keras.applications.DenseNet121, include_top=False, input_shape=image_shape)
    if weights is None:
        whole = build(weights=None)
    else:
        whole = _fetched(build, patience) if weights == "imagenet" else _of_file(build, weights)
    channels = whole.get_layer(_BLOCK_ENDS[n_blocks - 1]).output
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(channels)
    return keras.Model(whole.input, pooled, name="densenet121")


def _of_file(build: Callable[..., keras.Model], weights: str | Path) -> keras.Model:
    wanted = f"`keras.applications.DenseNet121(include_top=False)` saves such a file, and {DENSENET_URL} is one"
    path = REPOSITORY / weights
    if path.suffix != ".h5" or not path.is_file():
        raise WeightsError(f"weights are {weights}, and there is no such .h5 file in the repository. {wanted}")
    try:
        return build(weights=str(path))
    except Exception as error:  # what is raised depends on where the two networks part
        raise WeightsError(
            f"{weights} is not of a DenseNet121 without classifier ({_line(error)}). {wanted}"
        ) from error


def _fetched(build: Callable[..., keras.Model], patience: float) -> keras.Model:
    """From Keras' cache or the network; Keras itself would wait for a silent server for ever."""
    made: list[keras.Model | Exception] = []

    def make() -> None:
        try:
            made.append(build(weights="imagenet"))
        except Exception as error:  # no network, no such address, a damaged file: the remedy is one
            made.append(error)

    thread = threading.Thread(target=make, daemon=True)  # a process that ends does not wait for it
    thread.start()
    thread.join(patience)
    (outcome,) = made or [TimeoutError(f"{patience:g} seconds were not enough")]
    if isinstance(outcome, Exception):
        why = _line(outcome).removeprefix(f"URL fetch failure on {DENSENET_URL}: ")
        raise WeightsError(
            f"ImageNet weights of DenseNet121 are not in Keras' cache and could not be fetched ({why}). "
            f"Where there is a network, save {DENSENET_URL} in the repository and give its path there as weights"
        ) from outcome
    return outcome


def _line(error: Exception) -> str:
    """An error's message on one line, not too long."""
    return " ".join(str(error).split())[:200]
