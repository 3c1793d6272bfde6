"""Training conventions that every notebook shares: seeds, fitting, predicting, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from serlib import records
from serlib.records import About
from serlib.splits import Split

if TYPE_CHECKING:
    import keras


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and Keras, and ask TensorFlow for deterministic kernels: same machine, same labels."""
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def compile(
    model: keras.Model, *, learning_rate: float = 1e-3, loss: keras.Loss | None = None, weighted_metrics=None
) -> keras.Model:
    """Compile a classifier that ends in ``logits``: Adam, sparse categorical cross-entropy, accuracy.

    XLA is off: on a CPU it costs seconds of compilation for a model with an LSTM and gains nothing.

    Parameters
    ----------
    model : keras.Model
        Its output has shape (n_clips, n_classes) and is not yet passed through a softmax.
    learning_rate : float
    loss : keras.Loss, optional
        In place of cross-entropy.
    weighted_metrics : list, optional
        In place of accuracy, where outputs weigh differently.

    Returns
    -------
    keras.Model
        The same model.
    """
    import keras

    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=None if weighted_metrics else ["accuracy"],
        weighted_metrics=weighted_metrics,
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return model


def take(data: Any, rows: np.ndarray) -> Any:
    """Rows of an array, or of every array of a tree (a tuple, a list or a dict of them), such as ``((a, b), y)``."""
    import keras

    return keras.tree.map_structure(lambda array: array[rows], data)


def fit(
    model: keras.Model,
    train: Any,
    validation: Any,
    *,
    n_epochs: int,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    patience: int | None = 10,
    verbose: int | str = 0,
) -> pd.DataFrame:
    """Train; keep the weights of the epoch with the lowest validation loss.

    The learning rate halves after `patience` / 2 epochs without a lower validation loss, and training stops after
    `patience` of them. Without `patience`, validation chooses nothing: all epochs are trained at one learning rate, and
    the last weights stay. Test clips are not given, so they choose nothing either.

    Parameters
    ----------
    model : keras.Model
        See `compile`.
    train, validation : tuple (x, y), or a dataset that gives batches of them
        `x` is an array of shape (n_clips, ...), or a tuple, list or dict of them for a model of several inputs; `y` is
        an ndarray of int, shape (n_clips,).
    n_epochs : int
        At most this many.
    batch_size : int
        Of no use where `train` is a dataset, which makes its own batches.
    learning_rate, patience, verbose
        As in Keras.

    Returns
    -------
    DataFrame
        Columns epoch (from 1), loss, accuracy, val_loss, val_accuracy.
    """
    import keras

    compile(model, learning_rate=learning_rate)
    arrays = isinstance(train, tuple)
    history = model.fit(
        *(train if arrays else (train,)),
        validation_data=validation,
        epochs=n_epochs,
        batch_size=batch_size if arrays else None,
        callbacks=patience
        and [
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=max(1, patience // 2)),
            keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True),
        ],
        verbose=verbose,
    )
    table = pd.DataFrame(history.history).drop(columns="learning_rate", errors="ignore")
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    return table


def probabilities(model: keras.Model, x: Any, *, n_classes: int | None = None, batch_size: int = 128) -> np.ndarray:
    """Softmax of a model's logits, shape (n_clips, n_classes).

    With `n_classes`, outputs beyond these are cut off and the others scaled to sum to one.
    """
    import keras

    logits = model.predict(x, batch_size=batch_size, verbose=0)
    p = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    if n_classes is None or n_classes == p.shape[1]:
        return p
    return p[:, :n_classes] / p[:, :n_classes].sum(axis=1, keepdims=True)


@dataclass
class Folds:
    """What `each_fold` gives.

    Attributes
    ----------
    predictions, history, membership : DataFrame
        For `serlib.records.write_run`.
    models : dict of int to keras.Model
        The trained network of each fold.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    membership: pd.DataFrame
    models: dict[int, keras.Model]


def each_fold(
    build: Callable[[Any, int], keras.Model],
    data: tuple[Any, np.ndarray],
    utterances: pd.DataFrame,
    splits: Sequence[Split],
    about: About,
    classes: Sequence[str],
    *,
    parts: Sequence[str] = ("validation", "test"),
    **options,
) -> Folds:
    """Train a fresh network on every fold and predict its test clips: the loop that notebook 04 shows in full.

    Parameters
    ----------
    build : callable
        (training rows of x, number of classes) -> a network that ends in ``logits``.
    data : tuple (x, y)
        All rows, see `fit`.
    utterances : DataFrame
        The same rows.
    splits : sequence of Split
    about : About
        Its fold is replaced by the split's; its seed is set before each network is built.
    classes : sequence of str
        What the values of y stand for.
    parts : sequence of str
        Parts that are predicted; copies of clips are not. Validation is, since thresholds and calibration are chosen
        on it.
    options
        Of `fit`.

    Returns
    -------
    Folds
    """
    tables, histories, members, models = [], [], [], {}
    for split in splits:
        told = replace(about, fold=split.fold)
        set_seed(told.seed)
        train, validation = (take(data, rows) for rows in (split.train, split.validation))
        model = models[split.fold] = build(train[0], len(classes))
        history = fit(model, train, validation, **options)
        for part in parts:
            rows = getattr(split, part)
            if "augmented" in utterances:
                rows = rows[~utterances.augmented.iloc[rows].eq(True).to_numpy()]
            p = probabilities(model, take(data[0], rows), n_classes=len(classes))
            tables.append(records.predictions(told, utterances.iloc[rows], p, classes, part=part))
        histories.append(records.history(told, history))
        members.append(records.membership(told, utterances, split))
        best = history.loc[history.val_loss.idxmin()]
        print(
            f"{told.model}, fold {split.fold}: {len(history)} epochs, best {best.epoch:.0f}"
            f" with val_accuracy {best.val_accuracy:.3f}"
        )
    predictions, history, membership = (pd.concat(t, ignore_index=True) for t in (tables, histories, members))
    return Folds(predictions, history, membership, models)
