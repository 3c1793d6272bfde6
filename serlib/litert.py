"""A saved run whose network answers by LiteRT: without TensorFlow, which takes seconds and 650 MB to start."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from serlib import features, predict, trust

CLOSE = 1e-4  # the largest difference that a probability may have from that of Keras
CHECKED = 30  # made-up sounds that both are asked about
EXPORT = "import sys; from serlib import litert; litert.export(sys.argv[1])"
ALONE = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}  # only TensorFlow exports, and a GPU rounds more


class LiteRTError(RuntimeError):
    """Keras has to answer; the message says why."""


class Network:
    """Called as the Keras model that it was made of, by a `serlib.predict.Recogniser`.

    Parameters
    ----------
    path : path
        A ``.tflite`` file that takes one clip.
    name : str
        Of the Keras model.
    """

    def __init__(self, path: Path, name: str):
        from ai_edge_litert.interpreter import Interpreter

        self.name = name
        self._interpreter = Interpreter(model_path=str(path))
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Logits, shape (n_clips, n_classes), of clips, shape (n_clips, n_frames, n_rows)."""
        return np.stack([self._logits(clip) for clip in x])

    def _logits(self, clip: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], clip[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]


def load(run: str | Path) -> predict.Recogniser:
    """As `serlib.predict.load`, but neither Keras nor TensorFlow is loaded.

    On first use, and when ``model.keras`` has changed, `export` runs in a process of its own.

    Raises
    ------
    LiteRTError
        LiteRT is not installed, or `export` failed or refused the network.
    FileNotFoundError, ValueError
        As there.
    """
    return predict.load(run, read=_network)


def _network(saved: Path) -> Network:
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise LiteRTError(f"LiteRT, of the package ai-edge-litert, is not installed ({error})") from error
    made, told = saved.with_name("model.tflite"), saved.with_name("model.tflite.json")
    record = json.loads(told.read_text()) if told.is_file() else {}
    if record.get("sha256") != _sha256(saved):
        command = [sys.executable, "-c", EXPORT, str(saved.parent)]
        done = subprocess.run(command, env=os.environ | ALONE, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1]
            raise LiteRTError(f"{made} could not be made ({why})")
        record = json.loads(told.read_text())
    if record["refused"]:
        raise LiteRTError(f"{saved} does not run by LiteRT: {record['refused']}")
    try:
        return Network(made, record["name"])
    except (RuntimeError, ValueError) as error:
        raise LiteRTError(f"{made} cannot be run ({error}); delete {told.name}, and it is made again") from error


def export(run: str | Path) -> None:
    """Write a run's network as ``model.tflite``, ask it and Keras about made-up sounds, and write what came of it.

    ``model.tflite.json`` holds the hash of ``model.keras``, the network's name, the largest difference between
    probabilities, and why the network is refused: it cannot be exported, or differs by more than `CLOSE`.
    """
    import keras

    run = Path(run)
    record: dict[str, str | float | None] = {"sha256": _sha256(run / "model.keras"), "refused": None}
    with tempfile.TemporaryDirectory(dir=run) as folder:
        made, told = Path(folder) / "model.tflite", Path(folder) / "model.tflite.json"
        recogniser = predict.load(run)
        record["name"] = recogniser.model.name
        try:
            one = keras.InputSpec(shape=(1, *recogniser.model.input_shape[1:]), dtype="float32")  # LSTMs need a number
            recogniser.model.export(made, format="litert", input_signature=[one], verbose=False)
            light = replace(recogniser, model=Network(made, recogniser.model.name))
            x = np.stack([features.extract(sound, recogniser.features).T for sound in trust.no_speech(CHECKED)])
            record["difference"] = far = float(np.abs(light.probabilities(x) - recogniser.probabilities(x)).max())
            if not far <= CLOSE:  # nor where it is NaN
                record["refused"] = f"its probabilities are up to {far:.2g} from those of Keras"
            made.replace(run / made.name)
        except Exception as error:  # a converter raises what it likes
            record["refused"] = (str(error).strip() or type(error).__name__).splitlines()[0]
        told.write_text(json.dumps(record, indent=1))
        told.replace(run / told.name)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
