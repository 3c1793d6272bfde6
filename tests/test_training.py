import keras
import numpy as np
import pandas as pd
import pytest

from serlib import records, splits, training
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
    parts = ((x[rows], y[rows]) for rows in (SPLIT.train, SPLIT.validation))
    history = training.fit(model, *parts, **{"n_epochs": 6, "learning_rate": 0.02} | options)
    return model, history


def test_the_same_seed_gives_the_same_model():
    x, y = problem()
    first, second = (training.probabilities(fitted(x, y)[0], x) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first.sum(axis=1), 1, rtol=1e-5)


def test_it_learns_and_says_how():
    x, y = problem()
    model, history = fitted(x, y, n_epochs=40)
    assert history.columns.tolist() == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch.iloc[0] == 1 and history.loss.iloc[-1] < history.loss.iloc[0]
    assert (training.probabilities(model, x[80:]).argmax(axis=1) == y[80:]).mean() > 0.8


def test_the_best_validation_epoch_is_kept():
    x, y = problem()
    y = y.copy()
    y[SPLIT.validation] = 1 - y[SPLIT.validation]  # whatever training learns makes validation worse
    model, history = fitted(x, y, n_epochs=30, patience=5)
    assert len(history) < 30, "training stops when validation has stalled"
    p = training.probabilities(model, x[SPLIT.validation])
    loss = -np.log(p[np.arange(len(p)), y[SPLIT.validation]]).mean()
    assert loss == pytest.approx(history.val_loss.min(), rel=1e-3)


def two_inputs():
    training.set_seed(1)
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    h = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()([a, b]))
    return keras.Model({"a": a, "b": b}, keras.layers.Dense(2, name="logits")(h))


def test_a_tree_of_arrays_trains_a_model_of_several_inputs():
    x, y = problem()
    data = ({"a": x[:, :2], "b": x[:, 2:]}, y)
    model, plain = two_inputs(), small_model()
    train, validation = training.take(data, SPLIT.train), training.take(data, SPLIT.validation)
    assert train[0]["a"].shape == (60, 2) and train[1].shape == (60,)
    history = training.fit(model, train, validation, n_epochs=3)
    same = training.fit(plain, (x[:60], y[:60]), (x[60:80], y[60:80]), n_epochs=3)
    pd.testing.assert_frame_equal(history, same, check_exact=False, rtol=1e-5)
    assert training.probabilities(model, data[0]).shape == (100, 2)


def test_a_dataset_trains_too():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, k):
            x, y = problem()
            return x[20 * k : 20 * k + 20], y[20 * k : 20 * k + 20]

    x, y = problem()
    history = training.fit(small_model(), Batches(), (x[60:80], y[60:80]), n_epochs=2)
    assert len(history) == 2 and history.val_loss.notna().all()


def test_outputs_beyond_the_classes_are_cut_off():
    x, _ = problem()
    whole, cut = (training.probabilities(small_model(), x, n_classes=n) for n in (None, 1))
    assert whole.shape == (100, 2)
    np.testing.assert_allclose(cut, np.ones((100, 1)), rtol=1e-6)


def folds(x, y, clips, **options):
    def build(x_train, n_classes):
        assert x_train.shape == (60, 4) and n_classes == 2
        return small_model()

    about = records.About("04_cnn", "cnn", "mini", "random", fold=9, seed=3, features="log_mel")
    parts = [SPLIT, splits.Split(1, SPLIT.train, SPLIT.test, SPLIT.validation)]
    return training.each_fold(build, (x, y), clips, parts, about, ["anger", "fear"], n_epochs=2, **options)


def clips():
    table = pd.DataFrame({"utterance": [f"u{k}" for k in range(100)], "speaker": "F1", "text": "home"})
    return table.assign(corpus="mini", sha256="0" * 64, emotion=np.where(problem()[1], "fear", "anger"))


def test_each_fold_gives_what_a_run_writes():
    x, y = problem()
    result = folds(x, y, clips())
    first, second = ([f"u{k}" for k in range(start, start + 20)] for start in (60, 80))
    asked = result.predictions.groupby(["fold", "part"]).utterance.agg(list)
    assert asked.to_dict() == {
        (0, "validation"): first,
        (0, "test"): second,
        (1, "validation"): second,
        (1, "test"): first,
    }
    assert set(result.predictions.seed) == {3} and set(result.history.fold) == {0, 1} == set(result.models)
    assert len(result.membership) == 200
    p = training.probabilities(result.models[1], x[60:80])
    np.testing.assert_allclose(result.predictions.query("fold == 1 and part == 'test'").p_fear, p[:, 1], atol=1e-4)


def test_test_clips_choose_nothing():
    x, y = problem()
    spoilt = x.copy()
    spoilt[80:] += 100
    weights = [folds(data, y, clips()).models[0].get_weights() for data in (x, spoilt)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_train_and_are_not_predicted():
    x, y = problem()
    result = folds(x, y, clips().assign(augmented=np.arange(100) % 2 == 0), parts=("train", "test"))
    asked = result.predictions.query("fold == 0").groupby("part").utterance.agg(list)
    assert asked["train"] == [f"u{k}" for k in range(1, 60, 2)] and len(asked["test"]) == 10
