"""Maps against gradients written by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import ndimage

from serlib import explain, models, transformer

N_FRAMES, N_MELS, N_CLASSES = 32, 16, 3


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(-40, 15, size=(5, N_FRAMES, N_MELS)).astype("float32")


@pytest.fixture(scope="module")
def model(x):
    keras.utils.set_random_seed(0)
    return models.cnn_lstm(x, N_CLASSES)


TARGET = np.array([0, 2, 1, 1, 0])


def tiny(*tail, dtype=None, colours=()):
    """A convolution, what follows it, and a dense layer."""
    image = keras.Input((N_FRAMES, N_MELS, *colours), name="log_mel", dtype="float32")
    h = layers.Reshape((N_FRAMES, N_MELS, 1))(image)
    h = layers.Conv2D(4, 3, padding="same", name="conv", dtype=dtype)(h)
    h = layers.BatchNormalization(name="norm")(h)
    h = layers.Activation("relu", name="relu")(h)
    h = layers.MaxPooling2D(2, name="pool")(h)
    h = layers.Dense(N_CLASSES, name="logits")(layers.GlobalAveragePooling2D()(h))
    for layer in tail:
        h = layer(h)
    return keras.Model(image, h)


# Maps


def test_grad_cam_is_the_gradient_written_by_hand(model, x):
    both = keras.Model(model.input, [model.get_layer("last_conv").output, model.output])
    with tf.GradientTape() as tape:
        seen, scores = both(x, training=False)
        chosen = tf.gather(scores, TARGET, axis=1, batch_dims=1)
    gradient = tape.gradient(chosen, seen).numpy()
    cells = np.maximum(np.einsum("nhwc,nc->nhw", seen.numpy(), gradient.mean(axis=(1, 2))), 0)
    by_hand = ndimage.zoom(cells, (1, 4, 4), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(explain.maps(model, x, TARGET), by_hand, atol=1e-6)
    assert by_hand.max() > 1e-3, "else everything would pass"


def test_grad_cam_plus_plus_is_its_papers_formula(model, x):
    both = keras.Model(model.input, [model.get_layer("middle_conv").output, model.output])
    with tf.GradientTape() as tape:
        seen, scores = both(x, training=False)
        chosen = tf.gather(scores, TARGET, axis=1, batch_dims=1)
    g, seen = tape.gradient(chosen, seen).numpy(), seen.numpy()
    below = 2 * g**2 + g**3 * seen.sum(axis=(1, 2), keepdims=True)
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=g != 0)
    total = alpha.sum(axis=(1, 2), keepdims=True)
    weight = (np.maximum(g, 0) * alpha / np.where(total == 0, 1, total)).sum(axis=(1, 2), keepdims=True)
    cells = np.maximum((weight * seen).sum(axis=-1), 0)
    ours = explain.maps(model, x, TARGET, "grad_cam_plus_plus", layer="middle_conv")
    by_hand = ndimage.zoom(cells, (1, 2, 2), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-3, atol=1e-6)


def test_score_cam_is_the_librarys_where_silence_is_zero(x):
    """Over a layer at the input's own resolution, where the two ways of interpolating agree."""
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

    loud = (x - x.min(axis=(1, 2), keepdims=True)) / 30
    ours, theirs = tiny(), tiny(colours=(1,))
    theirs.set_weights(ours.get_weights())
    map_of_theirs = Scorecam(theirs)(
        CategoricalScore(TARGET.tolist()), loud[..., None], penultimate_layer="conv", normalize_cam=False
    )
    np.testing.assert_allclose(explain.maps(ours, loud, TARGET, "score_cam"), map_of_theirs, rtol=1e-3, atol=1e-5)


def test_smooth_grad_is_the_mean_of_gradients_by_hand(model, x):
    noise = np.random.default_rng(3).standard_normal((explain.N_NOISY, N_FRAMES, N_MELS), dtype=np.float32)
    noisy = tf.constant(x[1] + 0.1 * np.ptp(x[1]) * noise)
    with tf.GradientTape() as tape:
        tape.watch(noisy)
        score = model(noisy, training=False)[:, 2]
    by_hand = np.abs(tape.gradient(score, noisy).numpy()).mean(axis=0)
    np.testing.assert_allclose(explain.maps(model, x[1:2], 2, "smooth_grad", seed=3)[0], by_hand, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", [*explain.METHODS, *explain.BASELINES])
def test_maps_have_the_inputs_shape_are_not_negative_and_repeat(method, model, x):
    first = explain.maps(model, x, TARGET, method)
    assert first.shape == x.shape and first.dtype == np.float32
    assert first.min() >= 0 and np.isfinite(first).all()
    np.testing.assert_array_equal(first, explain.maps(model, x, TARGET, method))
    np.testing.assert_allclose(first, explain.maps(model, x, TARGET, method, batch_size=2), rtol=1e-4, atol=1e-6)
    alone = explain.maps(model, x[2:3], TARGET[2:3], method)[0]
    np.testing.assert_allclose(alone, first[2], rtol=1e-4, atol=1e-6)
    assert np.abs(first[0] - first[2]).max() > 1e-6


def test_no_clips_give_no_maps(model, x):
    assert explain.maps(model, x[:0], TARGET[:0]).shape == (0, N_FRAMES, N_MELS)


def test_a_place_on_the_map_is_that_place_in_the_input():
    """Cells are put at their centres: one hot cell of 4 x 4 values has its peak and its centre of mass there."""
    cell = np.zeros((1, 8, 4))
    cell[0, 2, 1] = 1
    wide = explain._expand(cell, (32, 16))[0]
    time, band = np.indices(wide.shape)
    assert (wide * time).sum() / wide.sum() == pytest.approx(4 * 2 + 1.5)
    assert (wide * band).sum() / wide.sum() == pytest.approx(4 * 1 + 1.5)


def test_a_convolution_over_time_says_the_same_of_all_bands(x):
    image = keras.Input((N_FRAMES, N_MELS))
    h = layers.LSTM(4)(layers.MaxPooling1D(2)(layers.Conv1D(6, 3, padding="same", activation="relu")(image)))
    found = explain.maps(keras.Model(image, layers.Dense(N_CLASSES)(h)), x / 40, 1)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, np.repeat(found[:, :, :1], N_MELS, axis=2))


def test_energy_is_decibels_above_the_lowest(x, model):
    energy = explain.maps(model, x, 0, "energy")
    assert (energy.min(axis=(1, 2)) == 0).all()
    np.testing.assert_allclose(np.ptp(energy[2]), np.ptp(x[2]), rtol=1e-5)


# What cannot be explained is refused


def sequential():
    return keras.Sequential([keras.Input((N_FRAMES, N_MELS)), layers.Flatten(), layers.Dense(N_CLASSES)])


def subclassed():
    class Mine(keras.Model):
        def call(self, x):
            return x

    return Mine()


def nested():
    image = keras.Input((N_FRAMES, N_MELS))
    return keras.Model(image, layers.Dense(N_CLASSES, name="again")(tiny()(image)))


def two_outputs():
    one = tiny()
    return keras.Model(one.input, [one.output, one.output])


def by_an_operation():
    one = tiny()
    return keras.Model(one.input, keras.ops.softmax(one.output))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (sequential, r"use keras\.Model\(model\.inputs\[0\], model\.outputs\[0\]\)"),
        (subclassed, "functional interface"),
        (nested, "a model used as one layer"),
        (two_outputs, "2 outputs"),
        (lambda: tiny(dtype="mixed_float16"), r"float16 \(conv\).*set_dtype_policy"),
        (lambda: tiny(dtype="mixed_bfloat16"), "bfloat16"),
        (lambda: tiny(layers.Softmax()), "scores before it"),
        (lambda: tiny(layers.Activation("softmax")), "scores before it"),
        (lambda: tiny(layers.Dense(N_CLASSES, "softmax")), "scores before it"),
        (lambda: tiny(layers.Dense(N_CLASSES, "sigmoid")), "scores before it"),
        (lambda: tiny(layers.Softmax(), layers.Dropout(0.1)), "scores before it"),
        (by_an_operation, "scores before it"),
    ],
)
def test_models_that_cannot_be_explained(build, message, x):
    for method in ("grad_cam", "smooth_grad"):
        with pytest.raises(explain.ExplainError, match=message):
            explain.maps(build(), x, 0, method)


def test_remedies_work(x):
    rows = [keras.Input((N_FRAMES, N_MELS)), layers.Conv1D(4, 3), layers.Flatten(), layers.Dense(N_CLASSES)]
    model = keras.Sequential(rows)
    assert explain.maps(keras.Model(model.inputs[0], model.outputs[0]), x, 1).shape == x.shape
    squashed = tiny(layers.Softmax())
    before = keras.Model(squashed.input, squashed.get_layer("logits").output)
    assert explain.maps(before, x, 1).shape == x.shape


@pytest.mark.parametrize("name", ["norm", "relu", "pool", "logits"])
def test_a_layer_that_is_no_convolution(name, x):
    with pytest.raises(explain.ExplainError, match=f"'{name}' is a .* not a convolution; .*: conv$"):
        explain.maps(tiny(), x, 0, layer=name)


def test_a_layer_that_is_not_there(model, x):
    with pytest.raises(explain.ExplainError, match=r"no layer 'last'; .*first_conv, middle_conv, last_conv"):
        explain.maps(model, x, 0, layer="last")
    with pytest.raises(explain.ExplainError, match="none"):
        image = keras.Input((N_FRAMES, N_MELS))
        explain.maps(keras.Model(image, layers.Dense(2)(layers.Flatten()(image))), x, 0)


def test_another_backend_and_legacy_keras(monkeypatch, model, x):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    with pytest.raises(explain.ExplainError, match="unset it"):
        explain.maps(model, x, 0)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(explain.ExplainError, match="KERAS_BACKEND=tensorflow"):
        explain.maps(model, x, 0)


def test_what_does_not_fit_is_said(model, x):
    with pytest.raises(ValueError, match="'lime'"):
        explain.maps(model, x, 0, "lime")
    with pytest.raises(ValueError, match="n_mels"):
        explain.maps(model, x[0], 0)


def test_rollout_by_hand():
    """Two blocks, two heads, a class token and two patches."""
    rng = np.random.default_rng(0)
    attention = rng.dirichlet(np.ones(3), size=(1, 2, 2, 3))
    first, second = (0.5 * attention[0, k].mean(axis=0) + 0.5 * np.eye(3) for k in range(2))
    np.testing.assert_allclose(explain.rollout(attention)[0], (second @ first)[0, 1:])
    np.testing.assert_allclose(explain.rollout(attention, mean_pooling=True)[0], (second @ first)[1:, 1:].mean(axis=0))


@pytest.mark.parametrize("changes", [{}, transformer.BEIT], ids=["vit", "beit"])
def test_rollout_of_a_network_that_listens_evenly_is_flat_and_knows_no_class(changes):
    config = transformer.Config((16, 8), (4, 4), hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=8, **changes)
    model = transformer.classifier(config, 3)
    x = np.random.default_rng(0).normal(size=(2, 16, 8)).astype("float32")
    trained = explain.maps(model, x, 0, "attention_rollout")
    assert trained.shape == x.shape and np.ptp(trained, axis=(1, 2)).min() > 0
    np.testing.assert_array_equal(trained, explain.maps(model, x, 2, "attention_rollout"))
    for layer in model.layers:
        if layer.name.startswith("block"):
            layer.attention.query.kernel.assign(np.zeros((8, 8)))  # nothing is asked, so all are heard alike
            layer.attention.query.bias.assign(np.zeros(8))
    np.testing.assert_allclose(np.ptp(explain.maps(model, x, 0, "attention_rollout"), axis=(1, 2)), 0, atol=1e-7)


def test_rollout_of_overlapping_patches_lies_where_they_do():
    """Only the patch in the middle is listened to: the map peaks at its centre."""
    config = transformer.Config((24, 8), (8, 8), stride=(4, 8), hidden_dim=8, num_layers=1, num_heads=1)
    model = transformer.classifier(config, 2)
    patch = config.grid[0] // 2
    listened = np.zeros((1, 1, 1, 6, 6))
    listened[..., 1 + patch] = 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transformer, "attention", lambda model, x: listened)
        (heat,) = explain.maps(model, np.zeros((1, 24, 8), "float32"), 0, "attention_rollout")
    assert abs(heat[:, 0].argmax() - (patch * 4 + 3.5)) <= 0.5


def test_rollout_wants_a_transformer(model, x):
    with pytest.raises(explain.ExplainError, match="notebooks 08 and 09"):
        explain.maps(model, x, 0, "attention_rollout")
