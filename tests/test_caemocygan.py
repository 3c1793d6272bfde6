import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from serlib import caemocygan
from serlib.caemocygan import CAEmoCyGAN, Settings

SMALL = {"width": 8, "batch_size": 16, "n_critic": 1}


def clouds(n=200, shift=0.0, seed=0):
    """Two emotions, two apart in the first of four features; all of it shifted."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, 4)) + shift
    x[:, 0] += 2 * y
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def adapted():
    x, y = clouds()
    target, _ = clouds(shift=3, seed=1)
    return caemocygan.adapt(x, y, [f"u{k}" for k in range(200)], target, n_steps=150, learning_rate=2e-3)


def test_a_source_moves_to_the_target_and_keeps_its_emotions(adapted):
    (x, y), (target, _) = clouds(), clouds(shift=3, seed=1)
    before, after = (np.linalg.norm(rows.mean(axis=0) - target.mean(axis=0)) for rows in (x, adapted.x))
    assert before > 5.5 and after < 1.2
    assert caemocygan.frechet(adapted.x, target) < 0.1 * caemocygan.frechet(x, target)
    np.testing.assert_array_equal(adapted.y, y)
    low, high = (adapted.x[y == label, 0].mean() for label in (0, 1))
    assert high - low > 1, "emotions stay apart, though no label of the target was given"
    assert adapted.parent[7] == "u7" and adapted.weights.shape == (200, 1)


def test_the_penalty_pulls_the_critics_gradient_towards_one(adapted):
    history = adapted.history
    assert history.step.tolist() == list(range(1, 151)) and history.notna().all(axis=None)
    free = CAEmoCyGAN((4,), 2, settings=Settings(**SMALL, penalty=0, learning_rate=5e-3), labelled=False)
    without = free.fit((*clouds(), None), (clouds(shift=3, seed=1)[0], None), n_steps=40)
    held, unheld = (abs(table.gradient.tail(20) - 1).mean() for table in (history, without))
    assert held < 0.15 < 0.5 < unheld


def test_the_gradient_norm_is_that_of_each_row():
    x = keras.ops.convert_to_tensor(clouds(5)[0])
    norm = caemocygan.gradient_norm(lambda rows: 3 * rows[:, 0] + 4 * rows[:, 1], x)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm), np.full(5, 5.0), rtol=1e-5)


def test_rows_of_the_emotions_asked_for_from_parents_of_others():
    x, y = clouds()
    made = caemocygan.synthesise(x, y, np.arange(200) + 1000, n=[30, 50], n_steps=150, learning_rate=2e-3)
    assert np.bincount(made.y).tolist() == [30, 50] and made.x.shape == (80, 4)
    assert (y[made.parent - 1000] != made.y).all()
    means = [made.x[made.y == label, 0].mean() for label in (0, 1)]
    assert means[0] < 0.8 and means[1] > 1.2, "parents lay at 2 and 0"
    assert made.x.std(axis=0).min() > 0.5, "and they are no single point"


def two_corpora(seed=0):
    x, y = clouds(60, seed=seed)
    return x, y, np.arange(60) % 3 % 2


def small(**settings):
    return CAEmoCyGAN((4,), 2, 2, settings=Settings(**SMALL | settings))


def weights(gan):
    return [keras.ops.convert_to_numpy(v) for v in gan._variables]


def test_what_stopped_goes_on_as_if_it_had_not(tmp_path):
    x, y, corpus = two_corpora()
    whole = small()
    whole.fit((x, y, corpus), (x, y), n_steps=3, checkpoint=tmp_path / "gan.npz")
    whole.fit((x, y, corpus), (x, y), n_steps=2)
    resumed = CAEmoCyGAN.load(tmp_path / "gan.npz")
    assert resumed.n_steps == 3
    resumed.fit((x, y, corpus), (x, y), n_steps=2)
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.history.equals(resumed.history) and len(whole.history) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["gan.npz"]
    with pytest.raises(ValueError, match="trained on other rows"):
        resumed.fit((x[:50], y[:50], corpus[:50]), (x, y), n_steps=1)
    kept = {"checkpoint": tmp_path / "gan.npz", "corpus": corpus, "n": 4, "n_steps": 3}
    made = caemocygan.synthesise(x, y, range(60), **kept, **SMALL)
    assert len(made.history) == 3 and made.sources == [0, 1], "nothing was left to train"
    with pytest.raises(ValueError, match="was trained under other settings"):
        caemocygan.synthesise(x, y, range(60), **kept)
    np.savez(tmp_path / "other.npz", told="{}")
    with pytest.raises(ValueError, match=r"other\.npz holds no network"):
        CAEmoCyGAN.load(tmp_path / "other.npz")


def test_another_seed_is_another_network_and_leaves_global_seeds_alone():
    keras.utils.set_random_seed(3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (weights(small(seed=seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_attention_weighs_the_corpora_of_a_mixture():
    x, y, _ = two_corpora()
    gan = small()
    for k, network in enumerate(gan.forward):  # what a generator adds: 1 for the first corpus, 2 for the second
        network.trainable_variables[-1].assign(np.full(4, k + 1.0))
    made, share = gan.transfer(x, y)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    assert share.std(axis=0).min() > 0.01, "it hangs on the row"
    np.testing.assert_allclose(made - x, np.repeat(share @ [[1], [2]], 4, axis=1), rtol=1e-4)
    np.testing.assert_allclose(gan.attention(x), share, rtol=1e-5)


def test_images_of_any_size_go_through_and_begin_as_they_are():
    x = np.random.default_rng(0).normal(-40, 10, size=(12, 13, 10)).astype(np.float32)
    y = np.arange(12) % 3
    gan = CAEmoCyGAN((13, 10), 3, settings=Settings(**SMALL))
    np.testing.assert_allclose(gan.transfer(x, y)[0], x, rtol=1e-5)
    history = gan.fit((x, y, None), (x, y), n_steps=2)
    made, _ = gan.transfer(x, (y + 1) % 3)
    assert made.shape == x.shape and not np.allclose(made, x) and np.isfinite(history.to_numpy()).all()


def test_jax_takes_the_same_steps(tmp_path):
    x, y, corpus = two_corpora()
    gan = small()
    gan.fit((x, y, corpus), (x, y), n_steps=4)  # away from the zeros that generators begin with
    gan.save(tmp_path / "gan.npz")
    np.savez(tmp_path / "rows.npz", x=x, y=y, corpus=corpus)
    code = (
        "import sys, numpy as np; from pathlib import Path; from serlib.caemocygan import CAEmoCyGAN;"
        "here = Path(sys.argv[1]); rows = np.load(here / 'rows.npz'); gan = CAEmoCyGAN.load(here / 'gan.npz');"
        "gan.fit((rows['x'], rows['y'], rows['corpus']), (rows['x'], rows['y']), n_steps=3);"
        "gan.save(here / 'gan.npz')"
    )
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True, capture_output=True)
    history = gan.fit((x, y, corpus), (x, y), n_steps=3)
    other = CAEmoCyGAN.load(tmp_path / "gan.npz")
    np.testing.assert_allclose(other.history[list(history)], history, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other.transfer(x, y)[0], gan.transfer(x, y)[0], rtol=1e-3, atol=1e-4)
    assert np.abs(gan.transfer(x, y)[0] - x).max() > 1e-3


def test_what_cannot_work_is_refused(monkeypatch):
    x, y = clouds(20)
    with pytest.raises(ValueError, match="all rows have one emotion"):
        caemocygan.synthesise(x, np.zeros(20, int), range(20), n=4)
    with pytest.raises(ValueError, match=r"vectors \(n_features,\) and images"):
        CAEmoCyGAN((4, 4, 3), 2)
    gan = CAEmoCyGAN((4,), 2, settings=Settings(**SMALL))
    with pytest.raises(ValueError, match="target labels"):
        gan.fit((x, y, None), (x, None), n_steps=1)
    with pytest.raises(ValueError, match=r"not \(4,\)"):
        gan.fit((x, y, None), (x[:, :3], y), n_steps=1)
    with pytest.raises(ValueError, match="larger numbers occur"):
        gan.fit((x, y + 1, None), (x, y), n_steps=1)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(RuntimeError, match="set KERAS_BACKEND to tensorflow or jax"):
        CAEmoCyGAN((4,), 2)


def test_new_rows_go_to_the_rarest_classes_first():
    assert caemocygan.share_out([5, 2, 0, 4], 4).tolist() == [0, 3, 0, 1]
    assert caemocygan.share_out([3, 3], 5).tolist() == [3, 2]
    positions = caemocygan.drawn(4, 10, np.random.default_rng(0))
    assert sorted(np.bincount(positions)) == [2, 2, 3, 3] and len(caemocygan.drawn(4, 0, np.random.default_rng(0))) == 0


def test_frechet_is_zero_for_equal_rows_and_the_squared_shift_for_shifted_ones():
    x = np.random.default_rng(0).normal(size=(100, 6)) @ np.diag([1, 2, 3, 4, 5, 6])
    assert caemocygan.frechet(x, x) == pytest.approx(0, abs=1e-8)
    assert caemocygan.frechet(x, x + np.array([3, 0, 4, 0, 0, 0])) == pytest.approx(25)
    centred = x - x.mean(axis=0)
    assert caemocygan.frechet(centred, 2 * centred) == pytest.approx(np.cov(x, rowvar=False).trace()), "twice as wide"


def test_copies_are_told_from_new_rows():
    rng = np.random.default_rng(0)
    real, new = rng.normal(size=(2, 300, 8))
    copied = caemocygan.nearest_copies(real[:100] + rng.normal(scale=0.02, size=(100, 8)), real)
    assert copied > 0.95 > 0.7 > caemocygan.nearest_copies(new, real) > 0.2
    assert caemocygan.nearest_copies(new + 3, real) < 0.05
