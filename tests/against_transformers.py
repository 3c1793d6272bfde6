"""Tiny checkpoints and what transformers answers with them, for the tests of ViT and BEiT."""

from pathlib import Path

import keras
import numpy as np
from keras import ops
from safetensors.numpy import load_file

from serlib.checkpoints import from_pretrained

CHECKPOINTS = Path(__file__).parent / "fixtures" / "transformer"


def run(model, inputs, outputs=None):
    """What a model, or one or more of its tensors, make of inputs, as arrays."""
    asked = model if outputs is None else keras.Model(model.input, outputs)
    return keras.tree.map_structure(ops.convert_to_numpy, asked(inputs, training=False))


def pictures(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def expected(name):
    stored = load_file(CHECKPOINTS / name / "expected.safetensors")
    return stored | {key: value.transpose(0, 2, 3, 1) for key, value in stored.items() if key.endswith("pictures")}


def load(name, image_shape=None):
    """The checkpoint, and the tensor that is to equal transformers' logits: a backbone's is what a head would read."""
    model = from_pretrained(CHECKPOINTS / name, image_shape, n_classes=2 if name == "vit_backbone" else None)
    return model, model.get_layer("logits").input if name == "vit_backbone" else model.output


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)
