"""Corpora found on this machine, each read into one utterance table with a list of problems."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

from serlib import listening
from serlib.sources import HARMONISED, SOURCES, Problem, Row, Source

REPOSITORY = Path(__file__).resolve().parents[1]

COLUMNS = [
    "utterance",  # stable name of the recording, the same in every format and mirror
    "corpus",
    "path",
    "speaker",
    "gender",  # female, male or missing
    "age",  # in years, where known
    "emotion",  # harmonised, one of sources.EMOTIONS
    "label",  # the release's own label
    "intensity",  # where the release states one
    "text",  # what is said: a word or a sentence's name
    "channel",  # speech or song
    "seconds",
    "sample_rate",  # of the file, Hz
    "sha256",  # of the decoded audio: the same sound twice has the same value
]

LOSSY = {".mp3", ".ogg", ".oga", ".opus"}
UNREADABLE = {".m4a", ".mp4", ".aac", ".wma", ".webm", ".raw"}  # for libsndfile: such clips are listed, not hidden
AUDIO_SUFFIXES = {f".{name.lower()}" for name in sf.available_formats()} | {".aif"} | LOSSY | UNREADABLE
MAX_NAMES = 6  # that one row of the problems lists


class CorpusNotFound(FileNotFoundError):
    """A corpus is not where it was looked for; the message says where that is, how it must lie and where to get it."""


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
        Columns path, reason, action, broken, see `serlib.sources.Problem`; one row for each reason. Where several files
        share it, path is the folder that holds them all.
    found : dict of str to int
        Clips that file names or the CSV tell of, in each channel, before those with problems are left out.
    """

    name: str
    root: Path
    utterances: pd.DataFrame
    problems: pd.DataFrame
    found: dict[str, int]

    @property
    def n_clips(self) -> int:
        """Clips found in all, before problems are left out."""
        return sum(self.found.values())

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with any utterance's name, label or sound."""
        lines = self.utterances[["utterance", "speaker", "emotion", "sha256"]].to_csv(index=False)
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    @property
    def card(self) -> dict[str, str]:
        """What to know about a corpus before using it, one line each; what is official cites docs/references.bib."""
        table, source = self.utterances, SOURCES.get(self.name)
        clips = ", ".join(f"{count:,} {channel}" for channel, count in self.found.items())
        forms = Counter(zip((p.suffix.lower()[1:] for p in table.path), table.sample_rate, strict=True))
        files = ", ".join(f"{count:,} {suffix} at {rate:,} Hz" for (suffix, rate), count in forms.most_common(3))
        files += " …" if len(forms) > 3 else ""
        if source:
            official = source.clips.items()
            clips = ", ".join(f"{self.found.get(channel, 0):,} of {count:,} {channel}" for channel, count in official)
            clips += f" (official: {source.cite})"
            files += f" (official: {source.released_as}, {source.cite})"
        counts = table.emotion.value_counts().sort_index()
        card = {"title": source.title} if source else {}
        card |= {
            "clips": clips,
            "hours": f"{table.seconds.sum() / 3600:.2f}",
            "emotions": ", ".join(f"{emotion} {count:,}" for emotion, count in counts.items()),
            "files": files,
            "folder": str(self.root),
        }
        if source:
            card |= {"licence": source.licence, "cite": f"{source.reference} ({source.cite})", "get it": source.home}
        return card

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

    What decoding found is remembered in data/features, so that a second call only looks for files that changed. The
    same sound under two labels is left out; the same sound twice under one label stays, with equal `sha256`.

    Parameters
    ----------
    corpus : str
        ``mini`` (synthetic, made on first use), one of `SOURCES`, the name of a folder under `data_dir` that has a CSV
        with the columns path, speaker, emotion (and, where known, text, gender, age, intensity, channel), ``auto``:
        TESS where it is found, else ``mini``, said aloud; or several of them joined by ``+``, such as
        ``ravdess+savee``: one table, each clip with the name of its own corpus.
    data_dir : path, optional
        See `data_root`.

    Raises
    ------
    CorpusNotFound
        Names the folder looked in, the expected layout and the corpus's home.
    ValueError
        A folder's CSV is missing, ambiguous or empty, or two corpora joined have an utterance of the same name.
    """
    if "+" in corpus:
        names = sorted(corpus.split("+"))  # a+b and b+a are one pool: the same rows, splits and fingerprint
        if not all(names):
            raise ValueError(f"{corpus!r} joins a corpus without a name; say a+b, such as ravdess+savee")
        return _pool([load(name, data_dir) for name in names])
    root = data_root(data_dir)
    if corpus == "auto":
        tess = _folder("tess", root)
        corpus = "tess" if _holds(tess, SOURCES["tess"]) else "mini"
        said = "found" if corpus == "tess" else "not found, so the synthetic corpus mini is used"
        print(f"corpus 'auto': TESS {said} (looked in {tess})")
    folder = _locate(corpus, root)
    return _read_release(corpus, folder, SOURCES[corpus]) if corpus in SOURCES else _read_folder(corpus, folder)


def _pool(found: list[Corpus]) -> Corpus:
    """Several corpora as one."""
    utterances = pd.concat([corpus.utterances for corpus in found], ignore_index=True)
    twice = utterances.utterance[utterances.utterance.duplicated()]
    if len(twice):
        raise ValueError(f"{len(twice)} utterances have one name in two of the corpora, such as {twice.iloc[0]}")
    return Corpus(
        name="+".join(corpus.name for corpus in found),
        root=Path(os.path.commonpath([corpus.root for corpus in found])),
        utterances=utterances,
        problems=pd.concat([corpus.problems for corpus in found], ignore_index=True),
        found=dict(sum((Counter(corpus.found) for corpus in found), Counter())),
    )


def _locate(corpus: str, root: Path) -> Path:
    """Folder of a corpus; CorpusNotFound where there is none."""
    if corpus == "mini":
        return mini()
    folder = _folder(corpus, root)
    if corpus in SOURCES and not _holds(folder, SOURCES[corpus]):
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


def _folder(corpus: str, root: Path) -> Path:
    """Folder of a corpus by its name, or a released one's in another spelling, such as ``CREMA-D`` or ``Emo-DB``."""
    if corpus in SOURCES and not (root / corpus).is_dir():
        spellings = (p for p in sorted(root.glob("*/")) if re.sub(r"[\W_]", "", p.name.lower()) == corpus)
        return next(spellings, root / corpus)
    return root / corpus


def available(data_dir: str | Path | None = None) -> list[str]:
    """Names of the corpora that `load` finds: released ones first, then folders with a CSV, then ``mini``."""
    root = data_root(data_dir)
    released = [name for name, source in SOURCES.items() if _holds(_folder(name, root), source)]
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
    what is kept. Asked for fewer rows than there are speakers times emotions, it keeps one row of some of them, each
    speaker and each emotion about equally often.
    """
    if max_utterances is None or len(utterances) <= max_utterances:
        return utterances
    texts = utterances.text.fillna(utterances.utterance)
    order = pd.Series(np.random.default_rng(seed).permutation(texts.nunique()), index=sorted(texts.unique()))
    cells = texts.map(order).groupby([utterances.speaker, utterances.emotion])
    kept = utterances[cells.rank(method="first") <= max(1, max_utterances // cells.ngroups)]
    if len(kept) > max_utterances:  # every emotion once, each with another speaker; then again, with the next ones
        (speaker, speakers), (emotion, emotions) = (pd.factorize(kept[on], sort=True) for on in ("speaker", "emotion"))
        turn = (speaker - emotion * max(1, len(speakers) // len(emotions))) % len(speakers)
        kept = kept.iloc[np.sort(np.lexsort((emotion, turn))[:max_utterances])]
    return kept.reset_index(drop=True)


def draw_evenly(utterances: pd.DataFrame, per_emotion: int, seed: int) -> pd.DataFrame:
    """`per_emotion` clips of each emotion, the corpora of a pool taking turns; fewer where there are not so many."""
    shuffled = utterances.sample(frac=1, random_state=seed)
    turn = shuffled.groupby(["emotion", "corpus"]).cumcount().sort_values(kind="stable")
    chosen = shuffled.loc[turn.index].groupby("emotion").head(per_emotion)
    return utterances.loc[chosen.index.sort_values()].reset_index(drop=True)


def listing_hash(corpus: str, data_dir: str | Path | None = None) -> str:
    """Cheap sign that a corpus changed on disk: a hash of its files' names, sizes and times.

    Raises
    ------
    CorpusNotFound
        As `load` does.
    """
    if "+" in corpus:
        return " ".join(listing_hash(name, data_dir) for name in corpus.split("+"))
    if corpus == "mini":
        return mini().name
    folder = _locate(corpus, data_root(data_dir))
    files = [*_audio_files(folder), *sorted(p for p in _files(folder) if p.suffix.lower() in (".csv", ".txt"))]
    lines = [f"{p.relative_to(folder)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder, without what systems hide there (``._clip.wav``, ``__MACOSX``)."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _audio_files(folder: Path) -> list[Path]:
    """Audio files below a folder: lossless formats first, outermost first, so that the first copy is the best one."""

    def rank(path: Path) -> tuple:
        suffix = path.suffix.lower()
        return suffix in UNREADABLE, suffix in LOSSY, len(path.parts), str(path)

    return sorted((p for p in _files(folder) if p.suffix.lower() in AUDIO_SUFFIXES), key=rank)


def _holds(folder: Path, source: Source) -> bool:
    """Whether a folder holds any clip of a source."""
    return any(p.suffix.lower() in AUDIO_SUFFIXES and source.match(p, folder) for p in _files(folder))


def _read_release(name: str, folder: Path, source: Source) -> Corpus:
    rows: dict[object, Row] = {}
    problems: list[Problem] = []
    for path in _audio_files(folder):
        match = source.match(path, folder)
        if not match:
            problems.append(Problem(path, f"file name is not of the form {source.layout.split()[0]}", "left out"))
            continue
        row = source.parse(match)
        if row["utterance"] in rows:
            problems.append(Problem(path, "second copy of a clip found elsewhere", "left out"))
            continue
        rows[row["utterance"]] = row | {"path": path}
    if source.annotate:
        problems += source.annotate(folder, list(rows.values()))
    return _table(name, folder, list(rows.values()), problems, source.labels)


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
            "  Add one row per clip, paths relative to the CSV; text, gender, age, intensity, channel are optional."
        )
    labels = _read_labels(tables[0])
    rows: list[Row] = []
    problems: list[Problem] = []
    seen = set()
    for line, row in enumerate(labels.to_dict("records"), start=2):
        if not all(row[column] for column in FOLDER_COLUMNS):
            problems.append(Problem(tables[0], f"line {line}: path, speaker or emotion is empty", "left out"))
            continue
        path = folder / row["path"]
        stem, suffix = os.path.splitext(row["path"])
        utterance = stem if suffix.lower() in AUDIO_SUFFIXES else row["path"]  # take.1 and take.2 are two
        if utterance in seen:
            problems.append(Problem(path, f"an earlier line than {line} of {tables[0].name} has this name", "left out"))
            continue
        seen.add(utterance)
        optional = ("gender", "age", "intensity", "text", "channel")
        known = {key: row[key] for key in optional if row.get(key)}
        rows.append({"utterance": utterance, "speaker": row["speaker"], "label": row["emotion"], "path": path} | known)
    listed = {row["path"] for row in rows}
    problems += [Problem(p, f"not in {tables[0].name}", "left out") for p in _audio_files(folder) if p not in listed]
    if not rows:
        raise ValueError(f"{tables[0]} lists no clip: one row per clip with path, speaker and emotion is needed")
    return _table(name, folder, rows, problems, HARMONISED)


def _table(name: str, folder: Path, rows: list[Row], problems: list[Problem], labels: Mapping[str, str]) -> Corpus:
    """Decode every clip, set aside what cannot be used, and say so."""
    unknown = dict.fromkeys(("gender", "age", "intensity", "text"))
    rows = [unknown | {"corpus": name, "channel": "speech"} | row for row in rows]
    found = Counter(row["channel"] for row in rows)
    decoded: list[Row] = []
    for row, heard in zip(rows, listening.hear(folder, [row["path"] for row in rows]), strict=True):
        if "reason" in heard:
            problems.append(Problem(row["path"], heard["reason"], "left out", broken=heard["broken"]))
        else:
            emotion = labels.get((row["label"] or "").strip().lower().replace(" ", "_"))
            decoded.append(row | heard | {"emotion": emotion})
    usable = []
    for row in _without_contradictions(decoded, problems):
        if row["emotion"]:
            usable.append(row)
        else:
            reason = f"unknown label {row['label']!r}" if row["label"] else "the release has no label for it"
            problems.append(Problem(row["path"], reason, "left out", broken=not row["label"]))
    problems += _oddities(usable)
    utterances = pd.DataFrame(usable, columns=COLUMNS).sort_values("utterance", ignore_index=True)
    utterances["age"] = pd.to_numeric(utterances.age, errors="coerce").round().astype("Int64")
    return Corpus(name, folder, utterances, _listed(problems), dict(found))


def _same_sounds(rows: list[Row]) -> list[list[Row]]:
    """Rows that share their sound with another, together."""
    sounds: dict[str, list[Row]] = {}
    for row in rows:
        sounds.setdefault(row["sha256"], []).append(row)
    return [same for same in sounds.values() if len(same) > 1]


def _without_contradictions(rows: list[Row], problems: list[Problem]) -> list[Row]:
    """Rows without the sounds that stand under two labels: at least one of them is wrong, and nobody knows which."""
    contradicted = set()
    for same in _same_sounds(rows):
        if len({row["emotion"] or row["label"] for row in same}) > 1:
            names = ", ".join(f"{row['utterance']} is {row['label']}" for row in same)
            problems.append(Problem(same[0]["path"], f"same sound under two labels: {names}", "left out"))
            contradicted.add(same[0]["sha256"])
    return [row for row in rows if row["sha256"] not in contradicted]


def _oddities(rows: list[Row]) -> list[Problem]:
    """Clips that are converted when loaded (another rate than most, several channels), and sounds found twice."""
    problems: list[Problem] = []
    usual_rate = pd.Series([row["sample_rate"] for row in rows], dtype="Int64").mode()
    for row in rows:
        if row["sample_rate"] != usual_rate[0]:
            reason = f"{row['sample_rate']} Hz where the corpus has {usual_rate[0]} Hz: resampled when loaded"
            problems.append(Problem(row["path"], reason, "converted"))
        if row["channels"] > 1:
            problems.append(Problem(row["path"], f"{row['channels']} channels: averaged when loaded", "converted"))
    for same in _same_sounds(rows):
        names = ", ".join(row["utterance"] for row in same)
        problems.append(Problem(same[0]["path"], f"same sound, which no split separates: {names}", "kept"))
    return problems


def _listed(problems: list[Problem]) -> pd.DataFrame:
    """Problems as a table with one row for each reason, since a mirror may repeat one two thousand times."""
    files: dict[tuple[str, str, bool], list[Path]] = {}
    for path, reason, action, broken in problems:
        files.setdefault((reason, action, broken), []).append(path)
    listed = []
    for (reason, action, broken), paths in files.items():
        if len(paths) > 1:
            names = ", ".join([p.name for p in paths[:MAX_NAMES]] + ["…"] * (len(paths) > MAX_NAMES))
            reason = f"{reason} ({len(paths):,} files: {names})"
        listed.append((str(paths[0] if len(paths) == 1 else os.path.commonpath(paths)), reason, action, broken))
    return pd.DataFrame(listed, columns=["path", "reason", "action", "broken"])
