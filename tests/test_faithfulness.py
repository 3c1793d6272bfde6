"""Measures against cases whose answer is known."""

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from serlib import explain, faithfulness, features, models, synthetic

TARGET = np.array([0, 2, 1, 1, 0])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(-40, 15, size=(5, 32, 16)).astype("float32")


@pytest.fixture(scope="module")
def model(x):
    keras.utils.set_random_seed(0)
    return models.cnn_lstm(x, 3)


def bright_spot():
    """A "network" that hears one place of the spectrogram, and a map that knows it."""
    x = np.zeros((2, 8, 8), np.float32)
    x[:, 3, 4] = 1

    def predict(pictures):
        p = pictures[:, 3, 4]
        return np.stack([1 - p, p], axis=1)

    return x, predict


def test_insertion_and_deletion_tell_a_true_map_from_a_false_one():
    x, predict = bright_spot()
    true, false = x, 1 - x
    target = np.array([1, 1])
    np.testing.assert_allclose(faithfulness.insertion(predict, x, true, target, n_steps=64), 1 - 0.5 / 64)
    np.testing.assert_allclose(faithfulness.deletion(predict, x, true, target, n_steps=64), 0.5 / 64)
    np.testing.assert_allclose(faithfulness.insertion(predict, x, false, target, n_steps=64), 0.5 / 64)
    np.testing.assert_allclose(faithfulness.deletion(predict, x, false, target, n_steps=64), 1 - 0.5 / 64)


def test_an_empty_picture_holds_what_was_asked_for():
    x, _ = bright_spot()
    seen = []
    faithfulness.insertion(
        lambda p: (seen.append(p), p[:, 0])[1], x[:1] - 3, x[:1], np.array([0]), n_steps=1, empty="mean"
    )
    np.testing.assert_allclose(seen[0][0], x[0].mean() - 3, rtol=1e-5)
    np.testing.assert_array_equal(seen[0][1], x[0] - 3)


def test_ties_are_not_put_in_the_order_of_time():
    x, predict = bright_spot()
    area = faithfulness.insertion(predict, x, np.zeros_like(x), np.array([1, 1]), n_steps=64)
    in_order = 1 - (3 * 8 + 4 + 0.5) / 64
    assert abs(area[0] - in_order) > 0.02


def test_max_sensitivity():
    x = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(faithfulness.max_sensitivity(np.ones_like, x), 0)
    small, large = (faithfulness.max_sensitivity(lambda v: v, x, radius=r) for r in (0.1, 0.2))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-5)
    assert np.isnan(faithfulness.max_sensitivity(np.zeros_like, x)).all()


def test_sparseness_is_the_gini_index():
    even, one, none = np.ones((3, 4, 5))
    one = np.zeros((4, 5))
    one[2, 3] = 7
    found = faithfulness.sparseness(np.stack([even, one, 0 * none]))
    np.testing.assert_allclose(found, [0, 1 - 1 / 20, 0], atol=1e-12)
    v = np.random.default_rng(0).random((1, 4, 5))
    by_pairs = np.abs(v.ravel()[:, None] - v.ravel()).sum() / (2 * 20 * v.sum())
    np.testing.assert_allclose(faithfulness.sparseness(v), by_pairs)


def test_rank_correlation_is_spearmans():
    a, b = np.random.default_rng(0).random((2, 3, 4, 5)).round(1)
    theirs = [stats.spearmanr(p.ravel(), q.ravel()).statistic for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(faithfulness.rank_correlation(a, b), theirs)
    np.testing.assert_allclose(faithfulness.rank_correlation(a, 2 * a + 1), 1)
    np.testing.assert_array_equal(faithfulness.rank_correlation(a, 0 * b), 0)


def test_randomisation_forgets_from_the_top_and_leaves_the_model_alone(model, x):
    before = model.get_weights()
    table = faithfulness.randomisation(model, x, TARGET, "grad_cam", layer="last_conv")
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    order = table.drop_duplicates("depth").layer.tolist()
    assert order[:3] == ["none", "logits", order[2]] and order[2].startswith("lstm") and order[-1] == "first_conv"
    assert (table.groupby("depth").clip.count() == len(x)).all()
    speaks = explain.maps(model, x, TARGET, layer="last_conv").max(axis=(1, 2)) > 0  # a map of zeros has no order
    np.testing.assert_allclose(table.query("depth == 0").correlation, speaks, atol=1e-6)
    assert speaks.any() and table.query("depth > 0").correlation.max() < 0.999
    pd.testing.assert_frame_equal(table, faithfulness.randomisation(model, x, TARGET, "grad_cam", layer="last_conv"))
    energy = faithfulness.randomisation(model, x, TARGET, "energy")
    np.testing.assert_allclose(energy.correlation, 1, atol=1e-6)


def test_cue_measures():
    masks = np.zeros((3, 4, 5), bool)
    masks[:2, 1:3, 2:4] = True
    relevance = np.ones((3, 4, 5))
    relevance[0, 1, 2] = 9
    relevance[1, 0, 0] = relevance[1, 1, 2] = 9
    np.testing.assert_allclose(faithfulness.pointing_game(relevance, masks), [1, 0.5, np.nan])
    np.testing.assert_allclose(faithfulness.relevance_mass(relevance, masks), [12 / 28, 12 / 36, np.nan])
    for measure in (faithfulness.pointing_game, faithfulness.relevance_mass):
        np.testing.assert_array_equal(measure(0 * relevance, masks), [0, 0, np.nan])


def test_preference_is_at_equal_energy():
    """What is loud gains nothing by it; what knows the cue does, though the cue is quiet."""
    rng = np.random.default_rng(0)
    energy = rng.uniform(0, 80, size=(3, 60, 40))
    masks = rng.random(energy.shape) < energy / 160  # cues prefer loud places
    masks[2] = False
    assert faithfulness.relevance_mass(energy, masks)[0] > 1.2 * masks[0].mean()
    np.testing.assert_allclose(faithfulness.preference(energy, masks, energy)[:2], 0.5, atol=0.01)
    np.testing.assert_allclose(faithfulness.preference(rng.random(energy.shape), masks, energy)[:2], 0.5, atol=0.02)
    np.testing.assert_allclose(faithfulness.preference(1 + 2.0 * masks, masks, energy)[:2], 0.75)
    np.testing.assert_array_equal(faithfulness.preference(masks, masks, energy), [1, 1, np.nan])
    np.testing.assert_array_equal(faithfulness.preference(0 * energy, masks, energy), [0.5, 0.5, np.nan])


def test_cue_masks_are_the_boxes_in_seconds_and_hertz():
    clip = synthetic.utterance("F1", "anger", "moon")
    frames = features.Frames()
    times, hertz = frames.times(128), np.linspace(50, 7900, 64)
    cues = pd.DataFrame([("a.wav", *cue) for cue in clip.cues], columns=["path", *synthetic.Cue._fields])
    mask, nothing = faithfulness.cue_masks(cues, ["a.wav", "b.wav"], times, hertz)
    assert not nothing.any() and mask.any()
    frame, band = np.nonzero(mask)
    assert cues.start.min() <= times[frame.min()] and times[frame.max()] <= cues.end.max()
    assert cues.low.min() <= hertz[band.min()] and hertz[band.max()] <= cues.high.max()
    box = cues.iloc[0]
    middle = np.argmin(abs(times - (box.start + box.end) / 2)), np.argmin(abs(hertz - (box.low + box.high) / 2))
    assert mask[middle]


def test_first_and_last_picture_are_the_empty_and_the_whole_clip(model, x):
    def predict(pictures):
        return special.softmax(np.asarray(model(pictures, training=False)), axis=1)

    ends = [predict(pictures)[np.arange(len(x)), TARGET] for pictures in (0 * x + x.min(axis=(1, 2), keepdims=True), x)]
    for measure in (faithfulness.insertion, faithfulness.deletion):
        area = measure(predict, x, explain.maps(model, x, TARGET), TARGET, n_steps=1)
        np.testing.assert_allclose(area, np.mean(ends, axis=0), rtol=1e-5)


def test_an_empty_picture_of_another_kind_is_refused(x):
    with pytest.raises(ValueError, match="'zero'"):
        faithfulness.insertion(None, x, x, TARGET, empty="zero")
