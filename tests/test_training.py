import json

import keras
import numpy as np
import pandas as pd
import pytest

from serlib import corpora, training
from serlib.splits import Split

SPLIT = Split(0, np.arange(60), np.arange(60, 80), np.arange(80, 100))


def problem(seed=0):
    """Two classes that a straight line tells apart."""
    x = np.random.default_rng(seed).normal(size=(100, 4)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


def small_model():
    training.set_seed(1)
    image = keras.Input((4,))
    h = keras.layers.Dense(8, activation="relu")(image)
    return keras.Model(image, keras.layers.Dense(2, name="logits")(h))


def fitted(x, y, **options):
    model = small_model()
    history = training.fit(model, x, y, SPLIT, **{"n_epochs": 6, "learning_rate": 0.02} | options)
    return model, history


def test_the_same_seed_gives_the_same_model():
    x, y = problem()
    first, second = (training.probabilities(fitted(x, y)[0], x) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.sum(axis=1), 1, rtol=1e-5)


def test_it_learns_and_says_how():
    x, y = problem()
    model, history = fitted(x, y, n_epochs=40)
    assert history.columns.tolist() == ["fold", "epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch.iloc[0] == 1 and history.loss.iloc[-1] < history.loss.iloc[0]
    assert (training.probabilities(model, x[80:]).argmax(axis=1) == y[80:]).mean() > 0.8


def test_the_test_part_is_never_read():
    x, y = problem()
    spoilt = x.copy()
    spoilt[SPLIT.test] = np.nan
    clean, other = fitted(x, y)[0], fitted(spoilt, y)[0]
    np.testing.assert_array_equal(training.probabilities(clean, x), training.probabilities(other, x))


def test_the_best_validation_epoch_is_kept():
    x, y = problem()
    y = y.copy()
    y[SPLIT.validation] = 1 - y[SPLIT.validation]  # whatever training learns makes validation worse
    model, history = fitted(x, y, n_epochs=30, patience=5)
    assert len(history) < 30, "training stops when validation has stalled"
    p = training.probabilities(model, x[SPLIT.validation])
    loss = -np.log(p[np.arange(len(p)), y[SPLIT.validation]]).mean()
    assert loss == pytest.approx(history.val_loss.min(), rel=1e-3)


def utterances():
    rows = [(f"u{k}", "mini", "F1", "home", "anger") for k in range(3)]
    return pd.DataFrame(rows, columns=["utterance", "corpus", "speaker", "text", "emotion"], index=[7, 3, 5])


ABOUT = {"notebook": "04_cnn", "model": "cnn", "protocol": "random", "fold": 0, "seed": 1}


def test_predictions_hold_one_row_an_utterance():
    p = np.array([[0.123456, 0.876544]] * 3)
    table = training.predictions(utterances(), p, ["anger", "fear"], **ABOUT)
    expected = "notebook model variant corpus train_corpora protocol fold seed part utterance speaker text emotion"
    assert table.columns.tolist() == [*expected.split(), "p_anger", "p_fear"]
    assert table.utterance.tolist() == ["u0", "u1", "u2"]
    assert table.p_anger.tolist() == [0.1235] * 3 and set(table.variant) == {"default"} and set(table.part) == {"test"}
    assert table.train_corpora.equals(table.corpus)
    pool = training.predictions(utterances(), p, ["anger", "fear"], train_corpora="mini+tess", **ABOUT)
    assert set(pool.train_corpora) == {"mini+tess"} and set(pool.corpus) == {"mini"}
    joint = training.predictions(utterances(), p, ["x", "y"], emotion=utterances().emotion + "_female", **ABOUT)
    assert set(joint.emotion) == {"anger_female"}


def test_a_run_is_written_and_marked_last(tmp_path):
    table = training.predictions(utterances(), np.full((3, 2), 0.5), ["anger", "fear"], **ABOUT)
    history = pd.DataFrame({"fold": [0], "epoch": [1], "loss": [1.0]})
    model = small_model()
    corpus = corpora.load("mini")
    training.write_run(
        tmp_path,
        notebook="04_cnn",
        parameters={"seed": 1},
        corpus=corpus,
        predictions=table,
        history=history,
        model=model,
    )
    names = {"predictions.parquet", "history.csv", "model.keras", "run.json"}
    assert {path.name for path in tmp_path.iterdir()} == names, "nothing half-written is left"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), table)
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(np.ones((1, 4)), verbose=0), model.predict(np.ones((1, 4)), verbose=0))
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["parameters"] == {"seed": 1} and record["corpus"]["fingerprint"] == corpus.fingerprint
    assert record["versions"]["keras"] == keras.__version__


def test_half_a_run_is_no_run(tmp_path):
    training.write_run(tmp_path, notebook="04_cnn", parameters={})
    table = pd.DataFrame({"mixed": [1, "text", object()]})  # parquet cannot hold this
    with pytest.raises(Exception, match=r"mixed|object"):
        training.write_run(tmp_path, notebook="04_cnn", parameters={}, predictions=table)
    assert not (tmp_path / "run.json").exists(), "an older mark would vouch for a run that failed"
    assert not (tmp_path / "predictions.parquet").exists()


def test_output_folder_starts_at_the_repository(tmp_path):
    assert training.output_folder(tmp_path / "a" / "b", "04_cnn") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
