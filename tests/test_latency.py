"""The benchmark of response times times what the notebooks build, and its answers are theirs."""

import importlib.util

import keras
import numpy as np
import pytest

from serlib import features
from serlib.corpora import REPOSITORY


@pytest.fixture(scope="module")
def latency():
    spec = importlib.util.spec_from_file_location("latency", REPOSITORY / "benchmarks" / "latency.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sounds(n):
    return np.random.default_rng(0).normal(0, 0.1, (n, 2 * 16_000)).astype(np.float32)


def test_networks_are_those_of_the_notebooks(latency):
    waveforms = sounds(3)
    pictures, cut = (np.concatenate([make(w) for w in waveforms]) for make in (latency.picture, latency.pieces))
    assert pictures.shape == (3, 128, 64) and cut.shape == (12, 50, 40), "101 frames begin four windows"
    made = latency.networks(pictures, cut, [f"class {k}" for k in range(7)])
    trainable = {name: sum(int(np.prod(w.shape)) for w in model.trainable_weights) for name, (_, model) in made.items()}
    assert trainable["CNN"] == 23_975, "as notebook 04 counts"
    assert trainable["LSTM over frames"] == 4 * 128 * (64 + 128 + 1) + (128 + 1) * 7, "as notebook 05 counts"
    for prepare, model in made.values():
        assert model.input_shape[1:] == prepare(waveforms[0]).shape[1:] and model.output_shape == (None, 7)


def test_what_a_notebook_does_not_define_is_named(latency):
    with pytest.raises(KeyError, match="build_rnn"):
        latency.of_notebook("04_cnn", "build_rnn")


def test_clips_asked_at_once_are_answered_as_one_by_one(latency):
    short, long = sounds(2)[:, :20_000][0], sounds(2)[1]
    together = latency.answer(lambda x: x.mean(axis=1), latency.pieces, [short, long])
    alone = [latency.pieces(sound).mean(axis=(0, 1)) for sound in (short, long)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_functionals_are_those_of_notebook_07(latency):
    (waveform,) = sounds(1)
    clip = features.extract(waveform, latency.STATISTICS)
    by_hand = [features.functionals(clip[rows]) for rows in (slice(20), slice(20, None))]
    np.testing.assert_array_equal(latency.functionals(waveform)[0], np.hstack(by_hand))


def test_litert_answers_as_keras(latency):
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, name="logits")])
    ask, far = latency.by_litert(model, np.random.default_rng(1).normal(size=(5, 4, 3)).astype("float32"))
    assert far < 1e-6 and ask(np.zeros((2, 4, 3), "float32")).shape == (2, 2)
