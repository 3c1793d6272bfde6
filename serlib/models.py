"""Networks that more than one notebook trains. The notebook that introduces one builds it by hand and compares."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def cnn_lstm(x_train: np.ndarray, n_classes: int) -> keras.Model:
    """The 2-D CNN-LSTM of notebook 06: three convolution blocks halve time and frequency, an LSTM reads what is left.

    Parameters
    ----------
    x_train : ndarray, shape (n_clips, n_frames, n_rows)
        Log-mel spectrograms of the training clips, dB, or other features in rows: the mean and variance of each row are
        taken from them.
    n_classes : int

    Returns
    -------
    keras.Model
        (n_frames, n_rows) -> ``logits``, (n_classes,); its last convolution is named ``last_conv``.
    """
    normalise = layers.Normalization(axis=-1)
    normalise.adapt(x_train)
    image = keras.Input(x_train.shape[1:], name="features")
    h = layers.Reshape((*x_train.shape[1:], 1))(normalise(image))
    for n_filters, name in ((16, "first_conv"), (32, "middle_conv"), (64, "last_conv")):
        h = layers.Conv2D(n_filters, 3, padding="same", activation="relu", name=name)(h)
        h = layers.BatchNormalization(momentum=0.9)(h)
        h = layers.MaxPooling2D(2, padding="same")(h)
    h = layers.Reshape((h.shape[1], h.shape[2] * h.shape[3]))(h)
    h = layers.LSTM(64)(h)
    h = layers.Dropout(0.3)(h)
    return keras.Model(image, layers.Dense(n_classes, name="logits")(h), name="cnn_lstm")
