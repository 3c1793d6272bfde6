import json

import keras
import numpy as np
import pytest

from serlib import audio, corpora, explain, features, models, predict, records, training

WANTED = features.FeatureSet(("log_mel",), n_mels=16, n_frames=32)
CLASSES = ["anger", "fear", "sadness"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as notebooks 04 and 06 leave it, of a network that was never trained."""
    folder = tmp_path_factory.mktemp("run")
    training.set_seed(0)
    model = models.cnn_lstm(np.random.default_rng(0).normal(size=(4, 32, 16)).astype("float32"), 3)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini")}
    records.write_run(folder, model=model, classes=CLASSES, features=WANTED, **about)
    return folder


def test_a_saved_run_answers_as_its_model_did(run, tmp_path, tone):
    paths = [tone(tmp_path / "a.wav", seconds=0.4), tone(tmp_path / "b.flac", seconds=2, sr=44_100, channels=2)]
    recogniser = predict.load(run)
    assert recogniser.features == WANTED and recogniser.corpus == "mini" and recogniser.seconds == pytest.approx(0.62)
    table = predict.predict(recogniser, paths)
    assert table.columns.tolist() == ["path", "emotion", *(f"p_{c}" for c in CLASSES)]
    x = np.stack([features.extract(audio.load(path), WANTED).T for path in paths])
    expected = training.probabilities(recogniser.model, x)
    np.testing.assert_allclose(table.filter(like="p_"), expected, atol=1e-6)
    assert table.emotion.tolist() == [CLASSES[k] for k in expected.argmax(axis=1)]


def test_relevance_is_the_map_of_the_emotion_asked_for(run):
    recogniser = predict.load(run)
    x = predict.inputs(recogniser, corpora.load("mini").utterances.path[:2])
    for method in ("grad_cam", "smooth_grad"):
        ours = predict.relevance(recogniser, x, ["sadness", "anger"], method)
        np.testing.assert_allclose(ours, explain.maps(recogniser.model, x, [2, 0], method), atol=1e-6)
        assert ours.shape == x.shape and ours.max() > 0
    assert len(recogniser.hertz) == 16
    tone = np.sin(2 * np.pi * recogniser.hertz[9] * np.arange(9920) / audio.SR)
    assert features.extract(tone, WANTED)[:, 16].argmax() == 9, "hertz are those of the band that hears them"


def test_an_lstm_alone_has_maps_without_a_convolution(run):
    frames = keras.Input((32, 4))
    lstm = keras.Model(frames, keras.layers.Dense(3)(keras.layers.LSTM(4)(frames)))
    wanted = features.FeatureSet(("mfcc",), n_mfcc=4, n_frames=32)
    recogniser = predict.Recogniser(lstm, CLASSES, wanted, "mini")
    assert recogniser.hertz is None, "coefficients have no frequency"
    x = predict.inputs(recogniser, corpora.load("mini").utterances.path[:1]) / 100
    with pytest.raises(explain.ExplainError, match=r"no convolution .* smooth_grad needs none"):
        predict.relevance(recogniser, x, ["fear"])
    assert predict.relevance(recogniser, x, ["fear"], "smooth_grad").max() > 0


def test_what_is_no_finished_run_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"with a model: run notebook {predict.USABLE}"):
        predict.load(tmp_path)
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"features": None}))
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(ValueError, match=r"run\.json does not say what its model is fed"):
        predict.load(tmp_path)


@pytest.mark.parametrize("change", [{"loudness": 1}, {"names": ["smell"]}, {"frames": {"step": 3}}])
def test_a_run_of_another_version_says_what_to_do(run, tmp_path, change):
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"features": record["features"] | change}))
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(ValueError, match=r"run\.json describes features that this version does not know .* again"):
        predict.load(tmp_path)
