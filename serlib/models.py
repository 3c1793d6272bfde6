"""Networks that more than one notebook trains. The notebook that introduces one builds it by hand and compares."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def cnn_lstm(x_train: np.ndarray, n_classes: int) -> keras.Model:
    """The 2-D CNN-LSTM of notebook 06: three convolution blocks halve time and frequency, an LSTM reads what is left.

    Parameters
    ----------
    x_train : ndarray, shape (n_clips, n_frames, n_mels)
        Log-mel spectrograms of the training clips, dB: the mean and variance of each band are taken from them.
        `n_frames` and `n_mels` are multiples of 8.
    n_classes : int

    Returns
    -------
    keras.Model
        (n_frames, n_mels) -> ``logits``, (n_classes,); its last convolution is named ``last_conv``.
    """
    n_frames, n_mels = x_train.shape[1:]
    normalise = layers.Normalization(axis=-1)
    normalise.adapt(x_train)
    log_mel = keras.Input((n_frames, n_mels), name="log_mel")
    h = layers.Reshape((n_frames, n_mels, 1))(normalise(log_mel))
    for n_filters, name in ((16, "first_conv"), (32, "middle_conv"), (64, "last_conv")):
        h = layers.Conv2D(n_filters, 3, padding="same", activation="relu", name=name)(h)
        h = layers.BatchNormalization(momentum=0.9)(h)
        h = layers.MaxPooling2D(2)(h)
    h = layers.Reshape((n_frames // 8, n_mels // 8 * 64))(h)
    h = layers.LSTM(64)(h)
    h = layers.Dropout(0.3)(h)
    return keras.Model(log_mel, layers.Dense(n_classes, name="logits")(h), name="cnn_lstm")
