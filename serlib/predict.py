"""A saved run -> the emotion of any recording, over time, or why no answer is given."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from serlib import audio, corpora, features, metrics, records, trust
from serlib.features import FeatureSet, Frames, extract

if TYPE_CHECKING:
    import keras


USABLE = "04, 05, 06, 08, 09, 10, 17 or 18"  # notebooks that leave a model and say what it is fed
MAKE_ONE = ".venv/bin/jupyter execute notebooks/06_cnn_lstm.ipynb"  # two minutes on mini, six on TESS where it is found
LEAST_SECONDS = 0.3  # of a recording
SILENT = -60.0  # dB of full scale: the loudest window of a silent recording stays below
QUIET = 25.0  # dB below the loudest window: what is quieter has no say
CLIPPED = 0.005  # share of samples at full scale, three or more in a row
MOST_DESCRIBED = 60  # windows of a long recording that are compared with the training clips
BATCH = 4  # windows that are in memory at once: a network needs some megabytes for each


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
    trust : Trust, optional
        Calibration and limits, see `with_trust`; without it every answer is given as the network gives it.
    honest : str
        What is known of it on speakers that it has not heard, in a sentence.
    """

    model: keras.Model
    classes: list[str]
    features: FeatureSet
    corpus: str
    trust: trust.Trust | None = None
    honest: str = ""

    @property
    def seconds(self) -> float:
        """How much of a recording is heard at once: the length of a window."""
        return self.features.frames.n_samples(self.features.n_frames or 1) / self.features.frames.sr

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Of each class, not calibrated, shape (n_clips, n_classes); `x` has shape (n_clips, n_frames, n_rows)."""
        batches = [self.model(x[k : k + BATCH], training=False) for k in range(0, len(x), BATCH)]
        logits = np.concatenate([np.asarray(batch) for batch in batches])[:, : len(self.classes)]
        return special.softmax(logits, axis=1)

    @property
    def hertz(self) -> np.ndarray | None:
        """Centre of each mel band, shape (n_mels,); None where the model is fed other rows than mel bands."""
        return self.features.hertz if self.features.names == ("log_mel",) else None


def load(run: str | Path, read: Callable[[Path], Any] | None = None) -> Recogniser:
    """Load what a notebook left in its folder.

    Parameters
    ----------
    run : path
        Such as ``build/notebooks/06_cnn_lstm``, or a run of the report below ``build/demo/runs``.
    read : callable, optional
        Path of ``model.keras`` -> what answers; default: Keras. See `serlib.litert.load`.

    Raises
    ------
    FileNotFoundError
        There is no finished run with a model; says which notebooks leave one.
    ValueError
        The run does not say what its model is fed: the 1-D network of notebook 13 gets rows that are changed outside
        of it. Or it describes features that this version does not know.
    """
    run = Path(run)
    if not (run / "run.json").is_file() or not (run / "model.keras").is_file():
        raise FileNotFoundError(
            f"{run} holds no finished run with a model. This makes one: {MAKE_ONE}\n"
            f"Notebooks {USABLE} leave theirs in build/notebooks, and `make report` leaves several in build/demo/runs."
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
    if read is None:
        import keras

        from serlib import transformer  # noqa: F401  Keras finds the layers of a saved ViT by name

        read = keras.saving.load_model
    return Recogniser(read(run / "model.keras"), record["classes"], wanted, record["corpus"]["name"])


def find(root: Path = corpora.REPOSITORY) -> Path:
    """The run to ask where none is named: of those that notebooks and reports left, see below.

    Real corpora come before the synthetic one, of these the recogniser of notebook 18 before others (the report's demo
    trains one on the synthetic corpus, too briefly to be of use); then the CNN-LSTM of notebook 06; then the latest.

    Raises
    ------
    FileNotFoundError
        There is none; says how to make one.
    """
    found = []
    for path in itertools.chain(root.glob("build/notebooks/*/run.json"), root.glob("build/*/runs/*/*/run.json")):
        if not (path.parent / "model.keras").is_file():
            continue
        record = json.loads(path.read_text())
        if record.get("features") and record.get("classes"):
            real, notebook = record["corpus"]["name"] != "mini", record["notebook"]
            preferred = real and notebook == "18_stronger_recogniser", notebook == "06_cnn_lstm"
            found.append(((real, *preferred, path.stat().st_mtime), path.parent))
    if not found:
        raise FileNotFoundError(f"no run with a model below {root / 'build'}. This makes one: {MAKE_ONE}")
    return max(found)[1]


def with_trust(recogniser: Recogniser, run: str | Path, data_dir: str | Path | None = None) -> Recogniser:
    """The recogniser with its limits and what is known of it on unseen speakers.

    They are measured once, on the run's own training and validation clips, and kept beside it as ``trust.npz``. Where
    its corpus or its list of clips is not at hand, it stays as it is.

    Parameters
    ----------
    recogniser : Recogniser
    run : path
        Where it was loaded from.
    data_dir : path, optional
        Folder of the corpora; default: as in `serlib.corpora.load`.
    """
    run = Path(run)
    recogniser = replace(recogniser, honest=_honest(recogniser, run))
    kept = run / "trust.npz"
    if kept.is_file() and kept.stat().st_mtime >= (run / "run.json").stat().st_mtime:
        return replace(recogniser, trust=trust.Trust.load(kept))
    try:
        members = records.checked(pd.read_parquet(run / "membership.parquet"), "membership", run)
        clips = corpora.load(recogniser.corpus, data_dir).utterances
    except (OSError, ValueError):
        return recogniser
    protocol = json.loads((run / "run.json").read_text())["parameters"].get("protocol", members.protocol.iloc[-1])
    members = members[(members.protocol == protocol) & (members.label_share == members.label_share.max())]
    last = members[(members.fold == members.fold.max()) & members.parent.isna()]  # the fold whose model is kept
    last = last.drop_duplicates(["corpus", "utterance"])
    clips = clips.merge(last[["corpus", "utterance", "part"]], on=["corpus", "utterance"])
    validation = clips[clips.part == "validation"].reset_index(drop=True)
    known = clips[clips.part != "test"]
    known = known.sample(min(len(known), trust.MOST_CLIPS), random_state=0)
    p = recogniser.probabilities(features.images(validation, recogniser.features))
    truth = validation.emotion.map(recogniser.classes.index).to_numpy()
    speakers = (known.corpus + "/" + known.speaker).tolist()
    limits = trust.fit(p, truth, audio.load_all(known), speakers)
    limits.save(kept)
    return replace(recogniser, trust=limits)


def _honest(recogniser: Recogniser, run: Path) -> str:
    """What is known of such a model on speakers it has not heard: measured by the run itself, else by the report."""
    notebook = json.loads((run / "run.json").read_text())["notebook"]
    columns = ["model", "train_corpora", "protocol", "part", "role", "task", "label_share", "emotion", "predicted"]
    committed = corpora.REPOSITORY / "data" / "predictions" / f"{notebook}_predictions.parquet"
    for path, who in ((run / "predictions.parquet", "it"), (committed, "networks of its kind")):
        if path.is_file():
            table = pd.read_parquet(path, columns=columns).query("protocol == 'speaker_independent' and part == 'test'")
            table = table.query("role in ['result', 'explained'] and task == 'emotion' and label_share == 1")
            table = table[(table.model == recogniser.model.name) & (table.train_corpora == recogniser.corpus)]
            if len(table):
                names = sorted(set(table.emotion) | set(table.predicted))  # not by `scoring`, which loads matplotlib
                uar = 100 * metrics.uar(metrics.confusion(table.emotion, table.predicted, names))
                chance = 100 / table.emotion.nunique()
                return f"on speakers not heard in training {who} got a UAR of {uar:.0f} % (chance {chance:.0f})"
    return "how it does on speakers not heard in training was never measured"


@dataclass(frozen=True)
class Answer:
    """What is said about one recording.

    Attributes
    ----------
    path : str
    seconds : float
    emotion : str or None
        None where no answer is given.
    p : dict of str to float
        How probable each emotion is, calibrated where the run could be; empty where nothing was heard.
    reasons : list of str
        Why no answer is given; empty where one is.
    error : str or None
        The file could not be read: why.
    over_time : DataFrame
        A row a window: start, end (s), level (dB of full scale), heard (loud enough to have a say), ``p_<class>``.
    """

    path: str
    seconds: float = 0.0
    emotion: str | None = None
    p: dict[str, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    error: str | None = None
    over_time: pd.DataFrame = field(default_factory=pd.DataFrame)


def answer(recogniser: Recogniser, source: str | Path | np.ndarray) -> Answer:
    """The emotion of one recording, of any length, in windows that overlap by half; or why there is no answer.

    Each window is heard as training clips were. The answer is the mean over windows that are no more than `QUIET` dB
    below the loudest.

    Parameters
    ----------
    recogniser : Recogniser
    source : path, or ndarray of samples at 16 kHz
        A file may have any format, rate and number of channels that libsndfile reads.

    Returns
    -------
    Answer
        With `error` where the file cannot be read.
    """
    path = "" if isinstance(source, np.ndarray) else str(source)
    rows: list[dict] = []
    described: list[np.ndarray] = []
    clipped = n_samples = 0
    probabilities = [np.zeros((0, len(recogniser.classes)))]
    try:
        stream = _windows(source, recogniser)
        while batch := list(itertools.islice(stream, BATCH)):
            x = np.stack([extract(window, recogniser.features).T for _, window, _ in batch])
            probabilities.append(recogniser.probabilities(x))
            for start, window, new in batch:
                rows.append(
                    {"start": start / audio.SR, "end": (start + len(window)) / audio.SR, "level": _level(window)}
                )
                clipped += _at_full_scale(new)
                n_samples = start + len(window)
            described += [window.copy() for _, window, _ in batch]  # a view would keep its whole block
            described = described if len(described) <= 2 * MOST_DESCRIBED else described[::2]
    except audio.AudioError as error:
        return Answer(path, error=str(error))
    over_time = pd.DataFrame(rows)
    p = np.concatenate(probabilities)
    if recogniser.trust:
        p = trust.cooled(p, recogniser.trust.temperature)
    over_time["heard"] = over_time.level > over_time.level.max() - QUIET
    fused = p[over_time.heard].mean(axis=0)
    over_time = over_time.join(pd.DataFrame(p, columns=[f"p_{name}" for name in recogniser.classes]))
    seconds = n_samples / audio.SR
    reasons = _unfit(seconds, over_time.level.max(), clipped / max(n_samples, 1))
    if not reasons and recogniser.trust:
        reasons = _untrusted(
            recogniser.trust, [w for w in described if _level(w) > over_time.level.max() - QUIET], fused
        )
    told = dict(zip(recogniser.classes, map(float, fused), strict=True))
    emotion = None if reasons else max(told, key=told.__getitem__)
    return Answer(path, seconds, emotion, told, reasons, None, over_time)


def _windows(source: str | Path | np.ndarray, recogniser: Recogniser) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Start, samples and new samples of windows that overlap by half; the last ends with the recording, and is whole
    where the recording is longer than a window."""
    length = recogniser.features.frames.n_samples(recogniser.features.n_frames or 1)
    hop, start, kept, before = length // 2, 0, np.zeros(0, np.float32), np.zeros(0, np.float32)
    for block in [source] if isinstance(source, np.ndarray) else audio.blocks(source, audio.SR):
        kept = np.concatenate([kept, block])
        while len(kept) > length:
            yield start, kept[:length], kept[:hop]
            start, before, kept = start + hop, kept[:hop], kept[hop:]
    last = np.concatenate([before, kept])[-length:]
    yield start + len(kept) - len(last), last, kept


def _level(window: np.ndarray) -> float:
    """Level of the loudest tenth of a second, dB of full scale."""
    n = audio.SR // 10
    pieces = window[: len(window) // n * n].reshape(-1, n) if len(window) >= n else window[None]
    return float(10 * np.log10(max(np.mean(pieces.astype(float) ** 2, axis=1).max(initial=0), 1e-12)))


def _at_full_scale(samples: np.ndarray) -> int:
    """Samples at full scale that have such neighbours on both sides."""
    high = np.abs(samples) >= 0.99
    return int(np.sum(high[:-2] & high[1:-1] & high[2:]))


def _unfit(seconds: float, level: float, clipped: float) -> list[str]:
    reasons = []
    if seconds < LEAST_SECONDS:
        reasons.append(f"too short: {seconds:.2f} s, at least {LEAST_SECONDS} s are needed")
    if level < SILENT:
        reasons.append(f"silence: it is nowhere louder than {level:.0f} dB of full scale")
    if clipped > CLIPPED:
        reasons.append(f"clipped: {100 * clipped:.0f} % of its samples are at full scale; record it more softly")
    return reasons


def _untrusted(limits: trust.Trust, windows: Sequence[np.ndarray], p: np.ndarray) -> list[str]:
    described = trust.describe(windows)
    if np.median(limits.speech_score(described)) < 0:
        return ["no speech as the network knows it: it is more like noise, tones or music than like the training clips"]
    if (far := float(np.median(limits.distance(described)))) > 1:
        return [f"far from the training data: {far:.1f} times as far as recordings of other voices there may lie"]
    if p.max() < limits.threshold:
        return [
            f"not sure enough: the most probable emotion has {p.max():.0%}, and {limits.threshold:.0%} are asked for"
        ]
    return []


def surest(recogniser: Recogniser, told: Answer, source: str | Path | np.ndarray) -> tuple[float, np.ndarray]:
    """Where the model was surest of its answer, and what it was fed there.

    Parameters
    ----------
    recogniser : Recogniser
    told : Answer
    source : path, or ndarray of samples at 16 kHz
        The recording.

    Returns
    -------
    start : float
        Seconds.
    x : ndarray, shape (n_frames, n_rows)
    """
    best = max(told.p, key=told.p.__getitem__)
    heard = told.over_time[told.over_time.heard]
    start = heard.start[heard[f"p_{best}"].idxmax()]
    windows = _windows(source, recogniser)
    window = next(window for at, window, _ in windows if at == round(start * audio.SR))
    return float(start), extract(window, recogniser.features).T


def inputs(recogniser: Recogniser, answers: Sequence[Answer]) -> np.ndarray:
    """What the model was fed where it was surest of each answer, shape (n_clips, n_frames, n_rows).

    Parameters
    ----------
    recogniser : Recogniser
    answers : sequence of Answer
        Of files that could be read.
    """
    return np.stack([surest(recogniser, told, told.path)[1] for told in answers])


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
