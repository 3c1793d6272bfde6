"""What a run leaves: the columns of its tables, written and read in one place, and checked on both ways."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from serlib import provenance
from serlib.corpora import REPOSITORY, Corpus

if TYPE_CHECKING:
    import keras

    from serlib.features import FeatureSet
    from serlib.splits import Split

_STARTED = time.perf_counter()  # a notebook imports serlib first, so this is about when its run began
_SOURCES = provenance.sources()  # what it executes, whatever is edited while it runs

STARTS = ("scratch", "pretrained", "published")
TASKS = ("emotion", "gender_emotion")
ROLES = ("result", "ablation", "explained", "control", "pretraining")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class About:
    """What a model was and what it was trained for: the first columns of every table that a run leaves.

    Attributes
    ----------
    notebook : str
        Stem of its file name.
    model : str
        A key of `serlib.scoring.MODELS`.
    train_corpora : str
        The corpus, or corpora (``a+b``), that it was trained on.
    protocol : str
    fold, seed : int
    features : str
        What it is fed: names of `serlib.features.FeatureSet`, joined by ``+`` (``mfcc+zcr+chroma``), or of statistics
        of them (``functionals``, ``eGeMAPSv02``).
    start : {"scratch", "pretrained", "published"}
        Where its weights began: at random, pre-trained by the run itself, or downloaded.
    task : {"emotion", "gender_emotion"}
        What its classes are: emotions, or both at once, such as ``anger_female``.
    sample : str
        Which clips of the corpus took part, see `sample_name`.
    label_share : float
        Share of the training and validation labels that it was given, above 0, at most 1.
    role : {"result", "ablation", "explained", "control", "pretraining"}
        What its numbers are for. Score tables and learning curves of the report are of results; an ablation changes one
        thing of a result; notebook 10 explains networks and trains a control; notebook 09 pre-trains.
    recipe : str
        How it was trained, where not as its notebook usually does: ``100_epochs``, or what training clips were changed
        by.
    condition : str
        What happened to the clips that it answers about before it heard them, such as ``white_10_dB``.

    Raises
    ------
    ValueError
        A value is none of these; the message says which are.
    """

    notebook: str
    model: str
    train_corpora: str
    protocol: str
    fold: int
    seed: int
    features: str
    start: str = "scratch"
    task: str = "emotion"
    sample: str = "all"
    label_share: float = 1.0
    role: str = "result"
    recipe: str = "default"
    condition: str = "clean"

    def __post_init__(self) -> None:
        for name, known in (("start", STARTS), ("task", TASKS), ("role", ROLES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it may be {', '.join(known)}")
        if not re.fullmatch(r"all|(\d+_in_all)?_?(\d+_each)?", self.sample) or not self.sample:
            raise ValueError(f"sample is {self.sample!r}; `sample_name` makes it")
        if not 0 < self.label_share <= 1:
            raise ValueError(f"label_share is {self.label_share}; it is above 0 and at most 1")
        for name in ("features", "recipe", "condition"):
            if not re.fullmatch(r"[\w+.-]+", getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it is one word, or several joined by +")


ABOUT = tuple(About.__dataclass_fields__)
MEMBERSHIP = (
    *("notebook", "train_corpora", "sample", "label_share", "role", "recipe", "protocol", "fold", "seed", "part"),
    *("corpus", "utterance", "speaker", "text", "sha256", "parent"),
)
CLIP = ("corpus", "part", "utterance", "speaker", "text", "emotion", "predicted")  # of predictions, before p_<class>


def sample_name(per_emotion: int | None = None, max_utterances: int | None = None) -> str:
    """Name of a sample: ``all``, ``600_each`` (clips of each emotion) or ``140_in_all``."""
    told = [f"{max_utterances}_in_all" if max_utterances else "", f"{per_emotion}_each" if per_emotion else ""]
    return "_".join(filter(None, told)) or "all"


def predictions(
    about: About,
    utterances: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    part: str = "test",
    emotion: pd.Series | None = None,
) -> pd.DataFrame:
    """One row an utterance, as every notebook writes them and the report reads them.

    Parameters
    ----------
    about : About
    utterances : DataFrame
        Rows of the utterance table, in the order of `probabilities`.
    probabilities : ndarray, shape (n_clips, n_classes)
    classes : sequence of str
        What the columns of `probabilities` stand for.
    part : {"test", "train", "validation"}
    emotion : Series, optional
        The true class where it is not the utterance's emotion (such as ``anger_female``).

    Returns
    -------
    DataFrame
        The columns `ABOUT` and `CLIP`, then ``p_<class>`` to four decimals. ``predicted`` is the most probable class,
        of equally probable ones the first by name.

    Raises
    ------
    ValueError
        Shapes do not fit, a probability is missing, or `part` is none of the three.
    """
    if part not in PARTS:
        raise ValueError(f"part is {part!r}; it may be {', '.join(PARTS)}")
    if probabilities.shape != (len(utterances), len(classes)) or not np.isfinite(probabilities).all():
        raise ValueError(
            f"{about.model}: probabilities have shape {probabilities.shape}, {len(utterances)} clips of {len(classes)} "
            "classes are wanted, none of them NaN"
        )
    p = pd.DataFrame(np.round(probabilities.astype(float), 4), columns=list(classes), index=utterances.index)
    clips = utterances[["corpus", "utterance", "speaker", "text", "emotion"]].assign(
        part=part, predicted=p[sorted(classes)].idxmax(axis=1), **({} if emotion is None else {"emotion": emotion})
    )
    table = clips[list(CLIP)].join(p.add_prefix("p_"))
    return pd.concat([_repeated(about, table.index), table], axis=1).reset_index(drop=True)


def _repeated(about: About, index: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(asdict(about), index=index)


def history(about: About, epochs: pd.DataFrame) -> pd.DataFrame:
    """Learning curves as runs write them: the columns `ABOUT`, then those of `serlib.training.fit`."""
    return pd.concat([_repeated(about, epochs.index), epochs], axis=1).reset_index(drop=True)


def measures(about: About | Mapping[str, object], measure: str, table: pd.DataFrame) -> pd.DataFrame:
    """What a run measured beyond predictions, such as the faithfulness of maps or the durations of clips.

    Parameters
    ----------
    about : About or mapping
        Where no model is involved, ``notebook``, ``train_corpora`` (the corpus measured) and ``sample`` are enough.
    measure : str
        Its name; `serlib.measured.FIGURES` draws it.
    table : DataFrame
        Any columns that are none of `ABOUT`.

    Returns
    -------
    DataFrame
        The columns of `about`, then measure, then those of `table`. Concatenate those of a run.

    Raises
    ------
    ValueError
        `table` has a column of `about`.
    """
    told = asdict(about) if isinstance(about, About) else dict(about)
    twice = [name for name in table if name in (*told, "measure")]
    if twice:
        raise ValueError(f"measure {measure}: columns {', '.join(twice)} are given by `about`")
    return table.assign(**told, measure=measure)[[*told, "measure", *table.columns]].reset_index(drop=True)


def membership(about: About, utterances: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Which rows trained, validated and tested a model: what an audit of leaks needs.

    Parameters
    ----------
    about : About
    utterances : DataFrame
        The table that the split counts in: columns corpus, utterance, speaker, text and sha256; a copy or a window
        names its ``parent``.
    split : Split

    Returns
    -------
    DataFrame
        Columns `MEMBERSHIP`; of sha256 the first 16 digits, which tell all sounds apart.
    """
    own = asdict(about)
    identity = {name: own[name] for name in MEMBERSHIP if name in own}
    clips = utterances.assign(**identity, sha256=utterances.sha256.str[:16])
    clips = clips if "parent" in clips else clips.assign(parent=pd.Series(None, index=clips.index, dtype=object))
    tables = [clips.iloc[getattr(split, part)].assign(part=part) for part in PARTS]
    return pd.concat(tables, ignore_index=True)[list(MEMBERSHIP)]


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
    membership: pd.DataFrame | None = None,
    measures: pd.DataFrame | None = None,
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
    predictions, history, membership, measures : DataFrame, optional
        From the functions of these names; written as ``<name>.parquet``.
    model : keras.Model, optional
        Written as ``model.keras``.
    classes : sequence of str, optional
        What the model's outputs stand for.
    features : FeatureSet, optional
        What the model is fed, as `serlib.features.images` gives it; with it and `classes`, `serlib.predict` can use
        the run.

    Raises
    ------
    ValueError
        See `checked`.
    """
    (folder / "run.json").unlink(missing_ok=True)
    tables = {"predictions": predictions, "history": history, "membership": membership, "measures": measures}
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        path.unlink(missing_ok=True)  # of an earlier run that left more
        if table is not None:
            table = checked(table.drop_duplicates() if name == "membership" else table, name, path)
            _replace(path, functools.partial(table.to_parquet, compression="zstd", index=False))
    if model is not None:
        _replace(folder / "model.keras", model.save)
    record = {
        "notebook": notebook,
        "parameters": parameters,
        "corpus": corpus and {"name": corpus.name, "fingerprint": corpus.fingerprint, "clips": corpus.n_clips},
        "classes": classes,
        "features": features and asdict(features),
        "code": provenance.code_hash(notebook, _SOURCES),
        "commit": provenance.commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("keras", "librosa", "numpy", "scikit-learn", "tensorflow")},
        "backend": sys.modules["keras"].backend.backend() if "keras" in sys.modules else None,
        "seconds": round(time.perf_counter() - _STARTED, 1),
    }
    _replace(folder / "run.json", lambda p: p.write_text(json.dumps(record, indent=1, default=str) + "\n"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the path, then move there in one step."""
    part = path.with_name(f"part.{os.getpid()}.{path.name}")  # the suffix stays last: Keras asks for .keras
    write(part)
    part.replace(path)


#: Columns that a table must have, and for predictions all that it may have beside ``p_<class>``.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "predictions": ABOUT + CLIP,
    "history": (*ABOUT, "epoch"),
    "membership": MEMBERSHIP,
    "measures": ("notebook", "train_corpora", "sample", "measure"),
}


def checked(table: pd.DataFrame, kind: str, path: Path) -> pd.DataFrame:
    """The table, if its columns are those of its kind and their values are known ones.

    Raises
    ------
    ValueError
        Names the file, the column, and what is wrong with it.
    """
    again = "; make the run again"
    missing = [name for name in REQUIRED[kind] if name not in table]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}, which {kind} of this version have{again}")
    known = {"start": STARTS, "task": TASKS, "role": ROLES, "part": PARTS}
    for name in REQUIRED[kind]:
        if name in known and not table[name].isin(known[name]).all():
            wrong = sorted(set(table[name].astype(str)) - set(known[name]))
            raise ValueError(f"{path}: {name} is {', '.join(wrong)}; it may be {', '.join(known[name])}{again}")
        if table[name].isna().any() and name not in ("text", "parent"):
            raise ValueError(f"{path}: {table[name].isna().sum()} rows have no {name}{again}")
    if kind == "predictions":
        beyond = [name for name in table if name not in REQUIRED[kind] and not str(name).startswith("p_")]
        said = set("p_" + table.predicted) | set("p_" + table.emotion)
        if beyond or not said <= set(table):
            unknown = beyond or sorted(said - set(table))
            raise ValueError(f"{path}: columns {', '.join(unknown)} are unknown or missing{again}")
    return table


def read(folder: Path, kind: str = "predictions") -> pd.DataFrame:
    """One kind of table of all notebooks, as `serlib.runs.collect` gathered them or a single run left it.

    Parameters
    ----------
    folder : Path
    kind : {"predictions", "history", "membership", "measures"}

    Returns
    -------
    DataFrame
        See the functions of these names; without rows where no run left any but predictions are there.

    Raises
    ------
    FileNotFoundError
        No predictions there; says what makes them.
    ValueError
        See `checked`.
    """
    files = sorted(folder.glob(f"*{kind}.parquet"))
    if not files and not list(folder.glob("*predictions.parquet")):
        raise FileNotFoundError(f"no predictions in {folder}; `make report` makes them")
    tables = [checked(pd.read_parquet(path), kind, path) for path in files]
    return pd.concat([*tables], ignore_index=True) if tables else pd.DataFrame(columns=list(REQUIRED[kind]))
