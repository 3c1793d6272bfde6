"""Corpora as they are released: one file-name grammar each, read into one utterance table with a list of problems."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

REPOSITORY = Path(__file__).resolve().parents[1]

EMOTIONS = ("anger", "boredom", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

#: Every label the corpora use, in lower case -> the course's word for it.
HARMONISED = {emotion: emotion for emotion in EMOTIONS} | {
    "angry": "anger",
    "bored": "boredom",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "pleasant_surprise": "surprise",
    "ps": "surprise",
}

COLUMNS = [
    "utterance",  # stable name of the recording, the same in every format and mirror
    "corpus",
    "path",
    "speaker",
    "gender",  # female, male or missing
    "emotion",  # harmonised, one of EMOTIONS
    "label",  # the release's own label
    "intensity",  # where the release states one
    "text",  # what is said: a word or a sentence's name
    "seconds",
    "sample_rate",  # of the file, Hz
    "sha256",  # of the decoded audio: the same sound twice has the same value
]

UNREADABLE = {".m4a", ".mp4", ".aac", ".wma", ".webm"}  # not for libsndfile: such clips are listed, not hidden
AUDIO_SUFFIXES = {f".{name.lower()}" for name in sf.available_formats()} | {".aif", ".opus", ".oga"} | UNREADABLE
SILENT_PEAK = 1e-4  # -80 dBFS: below the 16-bit noise floor of every corpus here


class CorpusNotFound(FileNotFoundError):
    """A corpus is not where it was looked for; the message says where that is, how it must lie and where to get it."""


@dataclass(frozen=True)
class Source:
    """How a released corpus names its files and where it comes from."""

    title: str
    grammar: re.Pattern[str]  # matched against the file's stem, case ignored
    parse: Callable[[re.Match[str]], dict[str, str | None]]  # -> utterance, speaker, gender, label, intensity, text
    clips: int  # in the official release
    layout: str
    home: str


def _tess(match: re.Match[str]) -> dict[str, str | None]:
    speaker = match["speaker"].upper().removesuffix("F") + "F"  # one file of OAF is named OA_bite_neutral
    word, label = match["word"].lower(), match["label"].lower()
    name = f"{speaker}_{word}_{label}"
    return {"utterance": name, "speaker": speaker, "gender": "female", "label": label, "intensity": None, "text": word}


SOURCES = {
    "tess": Source(
        title="Toronto Emotional Speech Set",
        grammar=re.compile(r"(?P<speaker>OAF?|YAF)_(?P<word>[a-z]+)_(?P<label>[a-z]+)", re.IGNORECASE),
        parse=_tess,
        clips=2800,
        layout="tess/OAF_angry/OAF_back_angry.wav … tess/YAF_sad/YAF_youth_sad.wav (the folders may be nested)",
        home="https://doi.org/10.5683/SP2/E8H2MF",
    ),
}
FOLDER_COLUMNS = {"path", "speaker", "emotion"}


@dataclass(frozen=True)
class Corpus:
    """One corpus as found on this machine.

    Attributes
    ----------
    name : str
    root : Path
        The folder it was found in.
    utterances : DataFrame
        One row per usable clip, columns `COLUMNS`, sorted by utterance.
    problems : DataFrame
        Columns path, reason, action; action is ``left out`` or ``converted``.
    n_clips : int
        Clips that file names or the CSV tell of, before those with problems are left out.
    """

    name: str
    root: Path
    utterances: pd.DataFrame
    problems: pd.DataFrame
    n_clips: int

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with any utterance's name, label or sound."""
        lines = self.utterances[["utterance", "speaker", "emotion", "sha256"]].to_csv(index=False)
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        table = self.utterances
        return (
            f"{self.name}: {len(table):,} utterances, {table.speaker.nunique()} speakers, "
            f"{table.emotion.nunique()} emotions, {table.seconds.sum() / 3600:.2f} h, {len(self.problems)} problems"
        )


def data_root(data_dir: str | Path | None = None) -> Path:
    """Folder that holds the corpora: `data_dir`, else the environment's ``SERLIB_DATA``, else ``data/raw``.

    A relative path in `data_dir` or ``SERLIB_DATA`` is taken from the repository's top, wherever a notebook runs.
    """
    return (REPOSITORY / Path(data_dir or os.environ.get("SERLIB_DATA") or "data/raw").expanduser()).resolve()


def load(corpus: str = "auto", data_dir: str | Path | None = None) -> Corpus:
    """Read a corpus into an utterance table; every clip is decoded once to find problems.

    Parameters
    ----------
    corpus : str
        ``mini`` (synthetic, made on first use), ``tess``, the name of a folder under `data_dir` that has a CSV with
        the columns path, speaker, emotion (and, where known, text, gender, intensity), or ``auto``: TESS where it is
        found, else ``mini``, said aloud.
    data_dir : path, optional
        See `data_root`.

    Raises
    ------
    CorpusNotFound
        Names the folder looked in, the expected layout and the corpus's home.
    ValueError
        A folder's CSV is missing, ambiguous or empty.
    """
    root = data_root(data_dir)
    if corpus == "auto":
        corpus = "tess" if _first_clip(root / "tess", SOURCES["tess"]) else "mini"
        said = "found" if corpus == "tess" else "not found, so the synthetic corpus mini is used"
        print(f"corpus 'auto': TESS {said} (looked in {root / 'tess'})")
    folder = _locate(corpus, root)
    return _read_release(corpus, folder, SOURCES[corpus]) if corpus in SOURCES else _read_folder(corpus, folder)


def _locate(corpus: str, root: Path) -> Path:
    """Folder of a corpus; CorpusNotFound where there is none."""
    if corpus == "mini":
        return mini()
    folder = root / corpus
    if corpus in SOURCES and not _first_clip(folder, SOURCES[corpus]):
        source = SOURCES[corpus]
        raise CorpusNotFound(
            f"No {source.title} in {folder}\n"
            f"  expected: {source.layout}, any format that libsndfile reads\n"
            f"  get it:   {source.home}\n"
            f"  then:     put it there, or set SERLIB_DATA to the folder that holds {corpus}/"
        )
    if not folder.is_dir():
        raise CorpusNotFound(
            f"No corpus {corpus!r} in {root}\n"
            f"  known:    auto, mini, {', '.join(SOURCES)}\n"
            f"  or:       a folder {folder} with a CSV of path, speaker, emotion"
        )
    return folder


def available(data_dir: str | Path | None = None) -> list[str]:
    """Names of the corpora that `load` finds: released ones first, then folders with a CSV, then ``mini``."""
    root = data_root(data_dir)
    released = [name for name, source in SOURCES.items() if _first_clip(root / name, source)]
    folders = [p.name for p in sorted(root.glob("*/")) if p.name not in SOURCES and p.name != "mini" and _tables(p)]
    return [*released, *folders, "mini"]


def mini() -> Path:
    """Folder of the embedded synthetic corpus; made on first use, in seconds."""
    from serlib import synthetic

    folder = REPOSITORY / "data" / "raw" / "mini" / f"version_{synthetic.VERSION}"
    if not folder.exists():
        print(f"Making the synthetic corpus mini in {folder} …", file=sys.stderr)
        folder.parent.mkdir(parents=True, exist_ok=True)
        synthetic.write(folder)
    return folder


def subset(utterances: pd.DataFrame, max_utterances: int | None, seed: int = 0) -> pd.DataFrame:
    """At most `max_utterances` rows, the same number for every speaker and emotion; ``None`` keeps all.

    The texts are drawn in one random order for all speakers and emotions, so that every protocol can still be run on
    what is kept. Asked for fewer rows than there are speakers times emotions, it keeps one row of some of them.
    """
    if max_utterances is None or len(utterances) <= max_utterances:
        return utterances
    texts = utterances.text.fillna(utterances.utterance)
    order = pd.Series(np.random.default_rng(seed).permutation(texts.nunique()), index=sorted(texts.unique()))
    cells = texts.map(order).groupby([utterances.speaker, utterances.emotion])
    kept = utterances[cells.rank(method="first") <= max(1, max_utterances // cells.ngroups)]
    return kept.head(max_utterances).reset_index(drop=True)


def listing_hash(corpus: str, data_dir: str | Path | None = None) -> str:
    """Cheap sign that a corpus changed on disk: a hash of its files' names, sizes and times.

    Raises
    ------
    CorpusNotFound
        As `load` does.
    """
    if corpus == "mini":
        return mini().name
    folder = _locate(corpus, data_root(data_dir))
    files = [*_audio_files(folder), *sorted(folder.glob("*.csv"))]
    lines = [f"{p.relative_to(folder)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _audio_files(folder: Path) -> Iterator[Path]:
    """Audio files below a folder, outermost and shortest path first, so that a nested second copy comes second."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and not p.name.startswith("."))
    return iter(sorted((p for p in found if p.is_file()), key=lambda p: (len(p.parts), str(p))))


def _first_clip(folder: Path, source: Source) -> Path | None:
    return next((p for p in _audio_files(folder) if source.grammar.fullmatch(p.stem)), None)


def _read_release(name: str, folder: Path, source: Source) -> Corpus:
    rows: list[dict] = []
    problems: list[tuple[Path, str, str]] = []
    copies: dict[Path, int] = {}  # folder -> clips in it that were found before
    seen: set[str | None] = set()
    for path in _audio_files(folder):
        match = source.grammar.fullmatch(path.stem)
        if not match:
            problems.append((path, f"file name is not of the form {source.layout.split()[0]}", "left out"))
            continue
        row = source.parse(match)
        if row["utterance"] in seen:
            copies[path.parent] = copies.get(path.parent, 0) + 1
            continue
        seen.add(row["utterance"])
        rows.append(row | {"path": path})
    problems += [(parent, f"{n} second copies of clips found elsewhere", "left out") for parent, n in copies.items()]
    return _table(name, folder, rows, problems)


def _tables(folder: Path) -> list[Path]:
    """CSV files of a folder whose first line names the columns of a labelled folder, whatever separates them."""
    headers = {
        path: path.read_bytes().split(b"\n")[0].decode(errors="replace") for path in sorted(folder.glob("*.csv"))
    }
    return [path for path, header in headers.items() if set(re.findall(r"\w+", header)) >= FOLDER_COLUMNS]


def _read_labels(path: Path) -> pd.DataFrame:
    """A folder's CSV, every cell as text."""
    try:
        labels = pd.read_csv(path, dtype="str", encoding="utf-8-sig", keep_default_na=False)
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as comma-separated UTF-8 text: {error}") from error
    if not set(labels.columns) >= FOLDER_COLUMNS or not isinstance(labels.index, pd.RangeIndex):
        raise ValueError(
            f"{path}: columns path, speaker and emotion must be separated by commas, and no line may have more cells "
            f"than the first, which has {list(labels.columns)}"
        )
    return labels


def _read_folder(name: str, folder: Path) -> Corpus:
    tables = _tables(folder)
    if len(tables) != 1:
        found = f"{len(tables)} of them" if tables else "none"
        raise ValueError(
            f"{folder} needs exactly one CSV with the columns path, speaker, emotion; there is {found}.\n"
            "  Add one row per clip, paths relative to the CSV; text, gender and intensity are read where given."
        )
    labels = _read_labels(tables[0])
    rows, problems, seen = [], [], set()
    for line, row in enumerate(labels.to_dict("records"), start=2):
        if not all(row[column] for column in FOLDER_COLUMNS):
            problems.append((tables[0], f"line {line}: path, speaker or emotion is empty", "left out"))
            continue
        path = folder / row["path"]
        stem, suffix = os.path.splitext(row["path"])
        utterance = stem if suffix.lower() in AUDIO_SUFFIXES else row["path"]  # take.1 and take.2 are two
        if utterance in seen:
            problems.append((path, f"an earlier line than {line} of {tables[0].name} has this name", "left out"))
            continue
        seen.add(utterance)
        known = {key: row.get(key) or None for key in ("gender", "intensity", "text")}
        rows.append({"utterance": utterance, "speaker": row["speaker"], "label": row["emotion"], "path": path} | known)
    listed = {row["path"] for row in rows}
    problems += [(p, f"not in {tables[0].name}", "left out") for p in _audio_files(folder) if p not in listed]
    if not rows:
        raise ValueError(f"{tables[0]} lists no clip: one row per clip with path, speaker and emotion is needed")
    return _table(name, folder, rows, problems)


def _table(name: str, folder: Path, rows: list[dict], problems: list[tuple[Path, str, str]]) -> Corpus:
    """Decode every clip, set aside what cannot be used, and say so."""
    with ThreadPoolExecutor() as pool:  # decoding and hashing release the interpreter lock
        heard = list(pool.map(_listen, [row["path"] for row in rows]))
    usual_rate = pd.Series([h["sample_rate"] for h in heard if "reason" not in h], dtype="Int64").mode()
    usable = []
    for row, found in zip(rows, heard, strict=True):
        emotion = HARMONISED.get(row["label"].strip().lower().replace(" ", "_"))
        reason = found.get("reason") or (None if emotion else f"unknown label {row['label']!r}")
        if reason:
            problems.append((row["path"], reason, "left out"))
            continue
        if found["sample_rate"] != usual_rate[0]:
            text = f"{found['sample_rate']} Hz where the corpus has {usual_rate[0]} Hz: resampled when loaded"
            problems.append((row["path"], text, "converted"))
        if found["channels"] > 1:
            problems.append((row["path"], f"{found['channels']} channels: averaged when loaded", "converted"))
        usable.append(row | found | {"corpus": name, "emotion": emotion})
    utterances = pd.DataFrame(usable, columns=COLUMNS).sort_values("utterance", ignore_index=True)
    listed = pd.DataFrame([(str(path), reason, action) for path, reason, action in problems])
    listed = (
        listed.set_axis(["path", "reason", "action"], axis=1)
        if len(listed)
        else pd.DataFrame(columns=["path", "reason", "action"])
    )
    return Corpus(name, folder, utterances, listed, n_clips=len(rows))


def _listen(path: Path) -> dict:
    """Seconds, sample rate, channels and hash of one clip, or the reason why it cannot be used."""
    if not path.is_file():
        return {"reason": "file is missing"}
    if path.stat().st_size == 0:
        return {"reason": "file is empty"}
    try:
        samples, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        return {"reason": f"cannot be decoded: {getattr(error, 'error_string', error)}"}
    if not len(samples):
        return {"reason": "holds no samples"}
    if not np.isfinite(samples).all():
        return {"reason": "holds NaN or infinite samples"}
    if np.abs(samples).max() < SILENT_PEAK:
        return {"reason": f"silent: peak below {20 * np.log10(SILENT_PEAK):.0f} dBFS"}
    digest = hashlib.sha256(f"{rate} {samples.shape}".encode() + samples.tobytes()).hexdigest()
    return {"seconds": len(samples) / rate, "sample_rate": rate, "channels": samples.shape[1], "sha256": digest}
