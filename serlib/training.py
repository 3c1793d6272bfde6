"""Training conventions that every notebook shares: seeds, fitting, predicting, and what a run writes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from serlib.corpora import REPOSITORY, Corpus
from serlib.splits import Split

if TYPE_CHECKING:
    import keras

    from serlib.features import FeatureSet

_STARTED = time.perf_counter()  # a notebook imports serlib first, so this is about when its run began


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


def fit(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    split: Split,
    *,
    n_epochs: int,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    patience: int = 10,
    verbose: int | str = 0,
) -> pd.DataFrame:
    """Train on one split; keep the weights of the epoch with the lowest validation loss.

    The learning rate halves after `patience` / 2 epochs without a lower validation loss, and training stops after
    `patience` of them. The test part is not read.

    Parameters
    ----------
    model : keras.Model
        See `compile`.
    x : ndarray, shape (n_clips, ...)
    y : ndarray of int, shape (n_clips,)
    split : Split
    n_epochs : int
        At most this many.
    batch_size, learning_rate, patience, verbose
        As in Keras.

    Returns
    -------
    DataFrame
        Columns fold, epoch (from 1), loss, accuracy, val_loss, val_accuracy.
    """
    import keras

    compile(model, learning_rate=learning_rate)
    history = model.fit(
        x[split.train],
        y[split.train],
        validation_data=(x[split.validation], y[split.validation]),
        epochs=n_epochs,
        batch_size=batch_size,
        callbacks=[
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=max(1, patience // 2)),
            keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True),
        ],
        verbose=verbose,
    )
    table = pd.DataFrame(history.history).drop(columns="learning_rate", errors="ignore")
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    table.insert(0, "fold", split.fold)
    return table


def probabilities(model: keras.Model, x: np.ndarray, *, batch_size: int = 128) -> np.ndarray:
    """Softmax of a model's logits, shape (n_clips, n_classes)."""
    import keras

    logits = model.predict(x, batch_size=batch_size, verbose=0)
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def predictions(
    utterances: pd.DataFrame,
    probabilities: np.ndarray,
    classes: list[str],
    *,
    notebook: str,
    model: str,
    protocol: str,
    fold: int,
    seed: int,
    variant: str = "default",
    part: str = "test",
    train_corpora: str | None = None,
    emotion: pd.Series | None = None,
) -> pd.DataFrame:
    """One row an utterance, as every notebook writes them and the report reads them.

    Parameters
    ----------
    utterances : DataFrame
        Rows of the utterance table, in the order of `probabilities`.
    probabilities : ndarray, shape (n_clips, n_classes)
    classes : list of str
        What the columns of `probabilities` stand for.
    notebook, model, variant, protocol, fold, seed, part
        Written to every row.
    train_corpora : str, optional
        Name of the corpus or corpora (``a+b``) that the model was trained on; by default each utterance's own.
    emotion : Series, optional
        The true class where it is not the utterance's emotion (such as ``anger_female``).

    Returns
    -------
    DataFrame
        Columns notebook, model, variant, corpus, train_corpora, protocol, fold, seed, part, utterance, speaker, text,
        emotion, then ``p_<class>`` to four decimals.
    """
    table = pd.DataFrame(
        {
            "notebook": notebook,
            "model": model,
            "variant": variant,
            "corpus": utterances.corpus,
            "train_corpora": train_corpora or utterances.corpus,
            "protocol": protocol,
            "fold": fold,
            "seed": seed,
            "part": part,
            "utterance": utterances.utterance,
            "speaker": utterances.speaker,
            "text": utterances.text,
            "emotion": utterances.emotion if emotion is None else emotion,
        }
    ).reset_index(drop=True)
    p = pd.DataFrame(np.round(probabilities.astype(float), 4), columns=[f"p_{c}" for c in classes])
    return pd.concat([table, p], axis=1)


def output_folder(out_dir: str | Path | None, notebook: str) -> Path:
    """Where a notebook writes: `out_dir`, taken from the repository's top, or ``build/notebooks/<notebook>``."""
    folder = REPOSITORY / (out_dir or f"build/notebooks/{notebook}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_run(
    folder: Path,
    *,
    notebook: str,
    parameters: dict,
    corpus: Corpus | None = None,
    predictions: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    model: keras.Model | None = None,
    classes: Sequence[str] | None = None,
    features: FeatureSet | None = None,
) -> None:
    """Write what a run leaves behind; ``run.json`` comes last, so a folder without it holds half a run, which is none.

    Parameters
    ----------
    folder : Path
        See `output_folder`.
    notebook : str
        Stem of the notebook's file name.
    parameters : dict
        The notebook's parameters.
    corpus : Corpus, optional
    predictions, history : DataFrame, optional
        Written as ``predictions.parquet`` and ``history.csv``.
    model : keras.Model, optional
        Written as ``model.keras``.
    classes : sequence of str, optional
        What the model's outputs stand for.
    features : FeatureSet, optional
        What the model is fed, as `serlib.features.images` gives it; with it and `classes`, `serlib.predict` can use
        the run.
    """
    (folder / "run.json").unlink(missing_ok=True)
    if predictions is not None:
        _replace(folder / "predictions.parquet", lambda p: predictions.to_parquet(p, compression="zstd", index=False))
    if history is not None:
        _replace(folder / "history.csv", lambda p: history.to_csv(p, index=False, float_format="%.4f"))
    if model is not None:
        _replace(folder / "model.keras", model.save)
    record = {
        "notebook": notebook,
        "parameters": parameters,
        "corpus": corpus and {"name": corpus.name, "fingerprint": corpus.fingerprint, "clips": corpus.n_clips},
        "classes": classes,
        "features": features and asdict(features),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("keras", "librosa", "numpy", "scikit-learn", "tensorflow")},
        "backend": sys.modules["keras"].backend.backend() if "keras" in sys.modules else None,
        "seconds": round(time.perf_counter() - _STARTED, 1),
    }
    _replace(folder / "run.json", lambda p: p.write_text(json.dumps(record, indent=1, default=str) + "\n"))


def _replace(path: Path, write) -> None:
    """Write beside the path, then move there in one step."""
    part = path.with_name(f"part.{os.getpid()}.{path.name}")  # the suffix stays last: Keras asks for .keras
    write(part)
    part.replace(path)


def _commit() -> str | None:
    """The commit the code is at, with ``+`` where tracked files differ from it; None outside a git checkout."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "serlib", "notebooks"], check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.returncode else "")
