import numpy as np

from serlib import models


def test_cnn_lstm_has_the_shapes_that_its_notebook_draws():
    x = np.random.default_rng(0).normal(-40, 10, size=(3, 128, 64)).astype("float32")
    model = models.cnn_lstm(x, 7)
    assert model.input_shape == (None, 128, 64) and model.output_shape == (None, 7)
    assert model.layers[-1].name == "logits" and model.get_layer("last_conv").output.shape == (None, 32, 16, 64)
    normalised = model.layers[1](x)
    np.testing.assert_allclose(np.mean(normalised, axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(np.std(normalised, axis=(0, 1)), 1, atol=1e-2)
