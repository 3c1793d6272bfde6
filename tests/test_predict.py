import json

import numpy as np
import pytest

from serlib import audio, corpora, features, models, predict, training

WANTED = features.FeatureSet(("log_mel",), n_mels=16, n_frames=32)
CLASSES = ["anger", "fear", "sadness"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as notebooks 04 and 06 leave it, of a network that was never trained."""
    folder = tmp_path_factory.mktemp("run")
    training.set_seed(0)
    model = models.cnn_lstm(np.random.default_rng(0).normal(size=(4, 32, 16)).astype("float32"), 3)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini")}
    training.write_run(folder, model=model, classes=CLASSES, features=WANTED, **about)
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


def test_what_is_no_finished_run_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run with a model: run notebook 04 or 06"):
        predict.load(tmp_path)
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"features": None}))
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(ValueError, match=r"run\.json does not say what its model is fed"):
        predict.load(tmp_path)
