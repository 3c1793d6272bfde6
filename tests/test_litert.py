import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from serlib import corpora, features, litert, models, predict, records, transformer

WANTED = features.FeatureSet(("log_mel",), n_mels=16, n_frames=32)
CLASSES = ["anger", "fear", "sadness"]
RNG = np.random.default_rng(0)
X = (RNG.normal(-50, 20, size=(7, 1, 16)) + RNG.normal(0, 10, size=(7, 32, 16))).astype("float32")  # unlike clips
VIT = transformer.Config((32, 16), (8, 8), hidden_dim=16, num_layers=2, num_heads=2, mlp_dim=32, dropout=0.1)


def network(kind):
    """A small one of each kind that notebooks train; its weights are drawn wide enough that its answers differ."""
    normalise = layers.Normalization(axis=-1)
    normalise.adapt(X)
    image = keras.Input((32, 16))
    if kind == "cnn_lstm":
        model = models.cnn_lstm(X, 3)
    elif kind in ("vit", "beit"):
        config = VIT if kind == "vit" else replace(VIT, drop_path=0.1, **transformer.BEIT)
        model = transformer.classifier(config, 3, normalise)
    else:
        h = normalise(image)
        if kind == "cnn":
            h = layers.Conv2D(4, 3, activation="relu")(layers.Reshape((32, 16, 1))(h))
            h = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(layers.BatchNormalization()(h)))
        elif kind == "lstm":
            h = layers.GlobalAveragePooling1D()(layers.LSTM(8, return_sequences=True)(h))
        elif kind == "cnn1d_lstm":
            h = layers.SpatialDropout1D(0.2)(layers.MaxPooling1D(2)(layers.Conv1D(8, 5, activation="relu")(h)))
            h = layers.LSTM(8)(h)
        elif kind == "unknown":
            h = ops.erfinv(layers.Flatten()(h) / 1000)
        model = keras.Model(image, layers.Dense(3)(layers.Dropout(0.3)(h)), name=kind)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * rng.standard_normal(weight.shape))
    return model


def written(folder, kind):
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini"), "classes": CLASSES}
    records.write_run(folder, model=network(kind), features=WANTED, **about)
    return folder


@pytest.fixture
def no_process(monkeypatch):
    monkeypatch.setattr(litert, "EXPORT", "raise AssertionError('a process was started')")


@pytest.mark.parametrize("kind", ["cnn", "lstm", "cnn_lstm", "cnn1d_lstm", "vit", "beit"])
def test_every_kind_of_network_answers_as_keras_does(kind, tmp_path, no_process):
    run = written(tmp_path, kind)
    litert.export(run)
    by_keras, light = predict.load(run), litert.load(run)
    assert light.model.name == by_keras.model.name and not isinstance(light.model, keras.Model)
    for n in (1, 3, 7):
        p = by_keras.probabilities(X[:n])
        np.testing.assert_allclose(light.probabilities(X[:n]), p, atol=litert.CLOSE)
    assert np.ptp(p, axis=0).max() > 0.05, "answers that hardly differ would prove nothing"


def test_a_network_is_exported_once_and_again_when_it_has_changed(tmp_path):
    run = written(tmp_path, "cnn")
    litert.export(run)
    made = (run / "model.tflite").stat().st_mtime_ns
    litert.load(run)
    assert (run / "model.tflite").stat().st_mtime_ns == made
    written(run, "cnn_lstm")
    again = litert.load(run)
    assert again.model.name == "cnn_lstm"
    np.testing.assert_allclose(again.probabilities(X), predict.load(run).probabilities(X), atol=litert.CLOSE)
    assert {path.name for path in run.iterdir()} == {"model.keras", "model.tflite", "model.tflite.json", "run.json"}


def test_nothing_is_loaded_that_takes_seconds(tmp_path):
    run = written(tmp_path, "cnn")
    litert.export(run)
    heavy = {"keras", "tensorflow", "sklearn", "matplotlib"}
    ask = "import sys, numpy, serlib.cli; from serlib import litert, predict; r = litert.load(sys.argv[1]);"
    ask += f"predict.answer(r, numpy.ones(9000, 'float32')); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", ask, run], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_answers_otherwise_than_keras_is_refused(tmp_path, monkeypatch, no_process):
    run = written(tmp_path, "cnn")
    monkeypatch.setattr(litert, "CLOSE", -1)
    litert.export(run)
    with pytest.raises(litert.LiteRTError, match=r"its probabilities are up to \S+ from those of Keras"):
        litert.load(run)


def test_what_cannot_be_exported_is_refused(tmp_path, no_process):
    run = written(tmp_path, "unknown")
    litert.export(run)
    with pytest.raises(litert.LiteRTError, match=r"model\.keras does not run by LiteRT: .*Erfinv"):
        litert.load(run)


def test_a_damaged_file_and_a_missing_package_are_named(tmp_path, monkeypatch, no_process):
    run = written(tmp_path, "cnn")
    litert.export(run)
    (run / "model.tflite").write_bytes(b"no network")
    with pytest.raises(litert.LiteRTError, match=r"model\.tflite cannot be run .* delete model\.tflite\.json"):
        litert.load(run)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(litert.LiteRTError, match="ai-edge-litert, is not installed"):
        litert.load(run)


def test_a_process_that_fails_is_quoted(tmp_path, monkeypatch):
    run = written(tmp_path, "cnn")
    monkeypatch.setattr(litert, "EXPORT", "raise OSError('no space left')")
    with pytest.raises(litert.LiteRTError, match=r"model\.tflite could not be made \(OSError: no space left\)"):
        litert.load(run)
    assert {path.name for path in run.iterdir()} == {"model.keras", "run.json"}
