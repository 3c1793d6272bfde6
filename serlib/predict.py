"""A saved run -> the emotion of any recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from serlib import audio, training
from serlib.features import FeatureSet, Frames, extract

if TYPE_CHECKING:
    import keras


USABLE = "04, 05, 06, 08, 09 or 10"  # notebooks that leave a model and say what it is fed


@dataclass(frozen=True)
class Recogniser:
    """A trained model with all that is needed to ask it about a recording.

    Attributes
    ----------
    model : keras.Model
    classes : list of str
        What its outputs stand for.
    features : FeatureSet
        What it is fed.
    corpus : str
        What it was trained on.
    """

    model: keras.Model
    classes: list[str]
    features: FeatureSet
    corpus: str

    @property
    def seconds(self) -> float:
        """How much of a recording is heard, from its start."""
        return self.features.frames.n_samples(self.features.n_frames or 1) / self.features.frames.sr

    @property
    def hertz(self) -> np.ndarray | None:
        """Centre of each mel band, shape (n_mels,); None where the model is fed other rows than mel bands."""
        return self.features.hertz if self.features.names == ("log_mel",) else None


def load(run: str | Path) -> Recogniser:
    """Load what a notebook left in its folder.

    Parameters
    ----------
    run : path
        Such as ``build/notebooks/06_cnn_lstm``, or a run of the report below ``build/demo/runs``.

    Raises
    ------
    FileNotFoundError
        There is no finished run with a model; says which notebooks leave one.
    ValueError
        The run does not say what its model is fed: the 1-D network of notebook 13 gets rows that are changed outside
        of it. Or it describes features that this version does not know.
    """
    import keras

    from serlib import transformer  # noqa: F401  Keras finds the layers of a saved ViT by name

    run = Path(run)
    if not (run / "run.json").is_file() or not (run / "model.keras").is_file():
        raise FileNotFoundError(
            f"{run} holds no finished run with a model: run notebook {USABLE}, which leave one in"
            " build/notebooks, or `make report`, which leaves several in build/demo/runs"
        )
    record = json.loads((run / "run.json").read_text())
    if not record.get("features") or not record.get("classes"):
        raise ValueError(f"{run / 'run.json'} does not say what its model is fed: run notebook {USABLE} again")
    try:
        wanted = FeatureSet(**record["features"] | {"frames": Frames(**record["features"]["frames"])})
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{run / 'run.json'} describes features that this version does not know ({error}): "
            f"run notebook {USABLE} again"
        ) from error
    model = keras.saving.load_model(run / "model.keras")
    return Recogniser(model, record["classes"], wanted, record["corpus"]["name"])


def inputs(recogniser: Recogniser, paths: Sequence[str | Path]) -> np.ndarray:
    """What the model is fed for each recording, shape (n_clips, n_frames, n_rows).

    Raises
    ------
    AudioError
        A file cannot be decoded; see `serlib.audio.load`.
    """
    wanted = recogniser.features
    return np.stack([extract(audio.load(path, wanted.frames.sr), wanted).T for path in paths])


def predict(recogniser: Recogniser, paths: Sequence[str | Path]) -> pd.DataFrame:
    """The most probable emotion of each recording, and how probable each is.

    Returns
    -------
    DataFrame
        Columns path, emotion, then ``p_<class>``.
    """
    p = training.probabilities(recogniser.model, inputs(recogniser, paths))
    emotions = [recogniser.classes[k] for k in p.argmax(axis=1)]
    table = pd.DataFrame({"path": list(map(str, paths)), "emotion": emotions})
    return pd.concat([table, pd.DataFrame(p, columns=[f"p_{name}" for name in recogniser.classes])], axis=1)


def default_method(recogniser: Recogniser) -> str:
    """What `relevance` can tell of such a network: attention rollout of a transformer, Grad-CAM, else SmoothGrad."""
    from serlib import explain, transformer

    if any(isinstance(layer, transformer.Block) for layer in recogniser.model.layers):
        return "attention_rollout"
    convolutional = any(isinstance(layer, explain.CONVOLUTIONS) for layer in recogniser.model.layers)
    return "grad_cam" if convolutional else "smooth_grad"


def relevance(recogniser: Recogniser, x: np.ndarray, emotions: Sequence[str], method: str = "grad_cam") -> np.ndarray:
    """How much each place of the inputs raised the score of an emotion; see `serlib.explain.maps`.

    By attention rollout, how much of each place was gathered for any answer.

    Parameters
    ----------
    recogniser : Recogniser
    x : ndarray, shape (n_clips, n_frames, n_rows)
        From `inputs`.
    emotions : sequence of str, shape (n_clips,)
        The emotion that each map is to explain; those of `predict`, as a rule.
    method : one of `serlib.explain.METHODS` or ``attention_rollout``

    Returns
    -------
    ndarray of float32, shape (n_clips, n_frames, n_rows)
        Zero or more, not scaled.

    Raises
    ------
    ExplainError
        The model cannot be explained, or has no convolution for this method; `smooth_grad` needs none.
    """
    from serlib import explain

    return explain.maps(recogniser.model, x, [recogniser.classes.index(emotion) for emotion in emotions], method)
