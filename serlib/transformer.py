"""Vision transformers on Keras alone: ViT, BEiT, and masked-image modelling.

One encoder makes them all. `Config` describes a ViT; ``replace(config, **BEIT)`` makes it a BEiT, and `BEIT` lists all
that this changes. Shapes in comments: n tokens (one class token, then the patches row by row), d = hidden_dim.

After Dosovitskiy, A. et al. (2021), An image is worth 16x16 words, Proc. ICLR, arXiv:2010.11929, and Bao, H., Dong, L.,
Piao, S. and Wei, F. (2022), BEiT: BERT pre-training of image transformers, Proc. ICLR, arXiv:2106.08254.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

#: What BEiT changes in a ViT. Stochastic depth and the mask token come with training, see `Config` and `masked`.
BEIT: dict[str, Any] = {"positions": "relative", "key_bias": False, "layer_scale": 0.1, "mean_pooling": True}
POSITIONS = ("absolute", "relative", "shared", "none")


@dataclass(frozen=True)
class Config:
    """The shape of a transformer over pictures; names as in KerasHub. The defaults are those of a ViT.

    Attributes
    ----------
    image_shape : tuple of int
        (height, width) or (height, width, channels); a spectrogram is (n_frames, n_mels).
    patch_size : tuple of int
        Height and width of a patch.
    stride : tuple of int, optional
        From one patch to the next; by default patches touch. A smaller stride makes them overlap (AST).
    hidden_dim, num_layers, num_heads, mlp_dim : int
    dropout : float
        On the first tokens and on what each half of a block adds.
    drop_path : float
        Stochastic depth: how often the last block's additions are left out for a clip in training; the first block's
        never are, those between linearly more often.
    positions : {"absolute", "relative", "shared", "none"}
        A vector added to each token; a bias of attention for each distance, in every block its own or one for all; or
        no positions at all.
    query_bias, key_bias, value_bias : bool
    layer_scale : float, optional
        Initial factor on what each half of a block adds, learned for each dimension.
    mean_pooling : bool
        Classify the mean of the patches' tokens and not the class token.
    activation : str
        In the middle of the MLP; ``gelu`` is the exact one.
    layer_norm_epsilon : float
        Published checkpoints need their own: 1e-12 in Hugging Face's ViT.

    Raises
    ------
    ValueError
        Patches do not cover the picture exactly, or heads do not share `hidden_dim` evenly.
    """

    image_shape: tuple[int, ...]
    patch_size: tuple[int, int]
    stride: tuple[int, int] | None = None
    hidden_dim: int = 96
    num_layers: int = 4
    num_heads: int = 4
    mlp_dim: int = 192
    dropout: float = 0.0
    drop_path: float = 0.0
    positions: str = "absolute"
    query_bias: bool = True
    key_bias: bool = True
    value_bias: bool = True
    layer_scale: float | None = None
    mean_pooling: bool = False
    activation: str = "gelu"
    layer_norm_epsilon: float = 1e-6

    def __post_init__(self):
        for size, patch, step in zip(self.image_shape[:2], self.patch_size, self.step, strict=True):
            if size < patch or (size - patch) % step:
                raise ValueError(
                    f"patches of {patch}, {step} apart, do not cover {size} exactly: crop or pad the picture, or "
                    "choose another patch_size or stride"
                )
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}")
        if self.positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, not {self.positions!r}")

    @property
    def step(self) -> tuple[int, int]:
        """From one patch to the next, down and across."""
        return self.stride or self.patch_size

    @property
    def grid(self) -> tuple[int, int]:
        """Number of patches, down and across."""
        sizes = zip(self.image_shape[:2], self.patch_size, self.step, strict=True)
        rows, columns = ((size - patch) // step + 1 for size, patch, step in sizes)
        return rows, columns


def classifier(config: Config, n_classes: int, normalise: keras.Layer | None = None) -> keras.Model:
    """ViT or BEiT with a linear layer on top.

    Parameters
    ----------
    config : Config
    n_classes : int
    normalise : keras.Layer, optional
        First layer, such as an adapted ``keras.layers.Normalization``.

    Returns
    -------
    keras.Model
        image_shape -> ``logits``, (n_classes,). Layers: ``patches``, ``class_token``, ``block_0`` and so on, ``norm``.
    """
    image = keras.Input(config.image_shape, name="image")
    h = _encode(config, _patches(config, image, normalise))
    norm = layers.LayerNormalization(epsilon=config.layer_norm_epsilon, name="norm")
    h = norm(ops.mean(h[:, 1:], axis=1)) if config.mean_pooling else norm(h)[:, 0]
    return keras.Model(image, layers.Dense(n_classes, name="logits")(h), name="beit" if config.mean_pooling else "vit")


def masked(config: Config, n_visual_tokens: int, normalise: keras.Layer | None = None) -> keras.Model:
    """Masked-image modelling: hidden patches are replaced by a learned token, and their visual tokens predicted.

    Parameters
    ----------
    config, normalise
        As for `classifier`.
    n_visual_tokens : int
        Size of the codebook.

    Returns
    -------
    keras.Model
        [image_shape, (n_patches,) bool: hidden or not] -> ``visual_tokens``, (n_patches, n_visual_tokens), logits.
    """
    image = keras.Input(config.image_shape, name="image")
    hidden = keras.Input((int(np.prod(config.grid)),), dtype="bool", name="hidden")
    h = MaskToken(name="masking")(_patches(config, image, normalise), hidden)
    h = layers.LayerNormalization(epsilon=config.layer_norm_epsilon, name="token_norm")(_encode(config, h)[:, 1:])
    return keras.Model([image, hidden], layers.Dense(n_visual_tokens, name="visual_tokens")(h), name="masked")


def _patches(config, image, normalise):
    """Each patch a vector: a convolution that moves a whole stride at a time. (n_patches, d)"""
    h = normalise(image) if normalise else image
    if len(config.image_shape) == 2:
        h = layers.Reshape((*config.image_shape, 1))(h)
    h = layers.Conv2D(config.hidden_dim, config.patch_size, config.step, name="patches")(h)
    return layers.Reshape((-1, config.hidden_dim))(h)


def _encode(config, h):
    """Patches -> tokens behind the last block, (n, d)."""
    h = ClassToken(name="class_token")(h)
    if config.positions == "absolute":
        h = PositionEmbedding(name="position")(h)
    h = layers.Dropout(config.dropout)(h)
    bias = None
    if config.positions == "shared":
        bias = RelativePositionBias(config.grid, config.num_heads, name="position")(h)
    for k in range(config.num_layers):
        if config.positions == "relative":
            bias = RelativePositionBias(config.grid, config.num_heads, name=f"position_{k}")(h)
        block = Block(
            num_heads=config.num_heads,
            mlp_dim=config.mlp_dim,
            dropout=config.dropout,
            drop_path=config.drop_path * k / max(config.num_layers - 1, 1),
            biases=(config.query_bias, config.key_bias, config.value_bias),
            layer_scale=config.layer_scale,
            activation=config.activation,
            epsilon=config.layer_norm_epsilon,
            name=f"block_{k}",
        )
        h, _ = block(h) if bias is None else block(h, bias)
    return h


_saved = keras.saving.register_keras_serializable(package="serlib")


def _small():
    """Made anew for each weight: an initializer draws its seed when it is made, and the same numbers ever after."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


@_saved
class ClassToken(layers.Layer):
    """Put a learned token before the others."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer=_small(), name="token")

    def call(self, h):
        return ops.concatenate([ops.repeat(self.token, ops.shape(h)[0], axis=0), h], axis=1)


@_saved
class MaskToken(layers.Layer):
    """Replace hidden tokens by a learned one."""

    def build(self, h_shape, hidden_shape):
        self.token = self.add_weight(shape=(1, 1, h_shape[-1]), initializer=_small(), name="token")

    def call(self, h, hidden):
        return ops.where(hidden[..., None], ops.convert_to_tensor(self.token), h)


@_saved
class PositionEmbedding(layers.Layer):
    """Add a learned vector to each token."""

    def build(self, shape):
        self.table = self.add_weight(shape=(1, *shape[1:]), initializer=_small(), name="table")

    def call(self, h):
        return h + self.table


@_saved
class RelativePositionBias(layers.Layer):
    """A bias of attention for each step down and across, and three of the class token's: to, from, and with itself."""

    def __init__(self, grid, num_heads, **options):
        super().__init__(**options)
        self.grid, self.num_heads = tuple(grid), num_heads

    def get_config(self):
        return super().get_config() | {"grid": self.grid, "num_heads": self.num_heads}

    def build(self, shape):
        height, width = self.grid
        n_steps = (2 * height - 1) * (2 * width - 1)
        self.table = self.add_weight(shape=(n_steps + 3, self.num_heads), initializer="zeros", name="table")
        row, column = (place.ravel() for place in np.indices(self.grid))
        down = row[:, None] - row + height - 1
        across = column[:, None] - column + width - 1
        self.index = np.full((row.size + 1, row.size + 1), n_steps)  # from the class token to a patch
        self.index[1:, 1:] = down * (2 * width - 1) + across
        self.index[1:, 0] = n_steps + 1  # from a patch to the class token
        self.index[0, 0] = n_steps + 2

    def call(self, h):  # what the tokens hold does not matter here
        return ops.transpose(ops.take(self.table, self.index, axis=0), (2, 0, 1))[None]  # (1, heads, n, n)


@_saved
class LayerScale(layers.Layer):
    """A learned factor for each dimension."""

    def __init__(self, initial, **options):
        super().__init__(**options)
        self.initial = initial

    def get_config(self):
        return super().get_config() | {"initial": self.initial}

    def build(self, shape):
        start = keras.initializers.Constant(self.initial)
        self.factor = self.add_weight(shape=(shape[-1],), initializer=start, name="factor")

    def call(self, h):
        return h * self.factor


@_saved
class Attention(layers.Layer):
    """Every token asks every token: (n, d) -> (n, d), and how much each listened to each, (heads, n, n)."""

    def __init__(self, num_heads, biases=(True, True, True), **options):
        super().__init__(**options)
        self.num_heads, self.biases = num_heads, tuple(biases)

    def get_config(self):
        return super().get_config() | {"num_heads": self.num_heads, "biases": self.biases}

    def build(self, h_shape, bias_shape=None):
        names = zip(("query", "key", "value"), self.biases, strict=True)
        self.query, self.key, self.value = (layers.Dense(h_shape[-1], use_bias=b, name=name) for name, b in names)
        self.out = layers.Dense(h_shape[-1], name="out")
        for dense in (self.query, self.key, self.value, self.out):
            dense.build(h_shape)

    def call(self, h, bias=None):
        n, d = h.shape[1:]

        def heads(vectors):  # (n, d) -> (heads, n, d / heads)
            return ops.transpose(ops.reshape(vectors, (-1, n, self.num_heads, d // self.num_heads)), (0, 2, 1, 3))

        query, key, value = heads(self.query(h)), heads(self.key(h)), heads(self.value(h))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * (d // self.num_heads) ** -0.5
        attention = ops.softmax(scores if bias is None else scores + bias)
        answers = ops.reshape(ops.transpose(ops.matmul(attention, value), (0, 2, 1, 3)), (-1, n, d))
        return self.out(answers), attention


@_saved
class Block(layers.Layer):
    """Attention, then an MLP; each reads normalised tokens and adds to them. Returns tokens and attention."""

    def __init__(self, num_heads, mlp_dim, dropout, drop_path, biases, layer_scale, activation, epsilon, **options):
        super().__init__(**options)
        self.settings = dict(num_heads=num_heads, mlp_dim=mlp_dim, dropout=dropout, drop_path=drop_path, biases=biases)
        self.settings |= dict(layer_scale=layer_scale, activation=activation, epsilon=epsilon)
        self.attention = Attention(num_heads, biases, name="attention")
        self.mlp_in = layers.Dense(mlp_dim, activation, name="mlp_in")
        self.attention_norm, self.mlp_norm = (
            layers.LayerNormalization(epsilon=epsilon, name=name) for name in ("attention_norm", "mlp_norm")
        )
        self.attention_scale, self.mlp_scale = (
            LayerScale(layer_scale, name=name) if layer_scale else None for name in ("attention_scale", "mlp_scale")
        )
        self.dropout = layers.Dropout(dropout)
        self.drop_path = layers.Dropout(drop_path, noise_shape=(None, 1, 1))  # all of a clip's tokens or none

    def get_config(self):
        return super().get_config() | self.settings

    def build(self, h_shape, bias_shape=None):
        self.mlp_out = layers.Dense(h_shape[-1], name="mlp_out")
        for layer in (self.attention_norm, self.attention, self.mlp_norm, self.mlp_in):
            layer.build(h_shape)
        self.mlp_out.build((*h_shape[:-1], self.settings["mlp_dim"]))
        for layer in (self.attention_scale, self.mlp_scale):
            if layer:
                layer.build(h_shape)

    def call(self, h, bias=None, training=None):
        def added(change, scale):
            change = self.dropout(change, training=training)
            return self.drop_path(scale(change) if scale else change, training=training)

        answers, attention = self.attention(self.attention_norm(h), bias)
        h = h + added(answers, self.attention_scale)
        h = h + added(self.mlp_out(self.mlp_in(self.mlp_norm(h))), self.mlp_scale)
        return h, attention


def attention(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Ask a classifier how much each token listened to each.

    Parameters
    ----------
    model : keras.Model
        See `classifier`.
    x : ndarray, shape (n_clips, ...)
        Images of the model's shape.

    Returns
    -------
    ndarray, shape (n_clips, num_layers, num_heads, n, n)
        Row: who listens; column: to whom; the class token is the first. Rows sum to 1.

    Raises
    ------
    ValueError
        The model has no `Block`.
    """
    asked = [layer.output[1] for layer in model.layers if isinstance(layer, Block)]
    if not asked:
        raise ValueError(f"{model.name} is no transformer of serlib: it has no attention to show")
    answers = keras.Model(model.input, asked)(x, training=False)
    answers = answers if len(asked) > 1 else [answers]  # one output comes without its list
    return np.stack([ops.convert_to_numpy(answer) for answer in answers], axis=1)


def transfer(source: keras.Model, target: keras.Model) -> list[str]:
    """Copy the weights of every layer that both models name alike, in place; returns the names, ValueError if none."""
    known = {layer.name: layer for layer in source.layers if layer.weights}
    names = [layer.name for layer in target.layers if layer.weights and layer.name in known]
    if not names:
        raise ValueError(f"no layer of {source.name} has the name of one of {target.name}")
    for name in names:
        target.get_layer(name).set_weights(known[name].get_weights())
    return names


def patches(x: np.ndarray, config: Config) -> np.ndarray:
    """Cut pictures, (n_clips, height, width), into touching patches, (n_clips, n_patches, pixels), row by row."""
    (rows, columns), (height, width) = config.grid, config.patch_size
    cut = x.reshape(len(x), rows, height, columns, width).swapaxes(2, 3)
    return cut.reshape(len(x), rows * columns, height * width)


def block_mask(rng: np.random.Generator, n_clips: int, grid: tuple[int, int], share: float = 0.4) -> np.ndarray:
    """Hide rectangles of patches until at least `share` of each picture is hidden (Bao et al. 2022, algorithm 1).

    Parameters
    ----------
    rng : Generator
    n_clips : int
    grid : tuple of int
        Patches down and across.
    share : float
        Their algorithm's 0.4.

    Returns
    -------
    ndarray of bool, shape (n_clips, n_patches)
        True is hidden.

    Notes
    -----
    A rectangle has at least 1/12 of the patches (their 16 of 196) and an aspect between 0.3 and 1 / 0.3, before its
    sides are rounded and cut to the picture.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is to be between 0 and 1, not {share}")
    rows, columns = grid
    total, least = rows * columns, max(1, rows * columns // 12)
    masks = np.zeros((n_clips, rows, columns), bool)
    for mask in masks:
        while mask.sum() < share * total:
            area = rng.uniform(least, max(least, share * total - mask.sum()))
            aspect = np.exp(rng.uniform(np.log(0.3), -np.log(0.3)))
            height, width = (int(np.clip(round(side), 1, most)) for side, most in (
                (np.sqrt(area * aspect), rows), (np.sqrt(area / aspect), columns)
            ))  # fmt: skip
            top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
            mask[top : top + height, left : left + width] = True
    return masks.reshape(n_clips, total)


# Published checkpoints
