"""Released corpora from their official sources: licence first, transfers resumed and verified, zips unpacked safely."""

from __future__ import annotations

import json
import logging
import re
import shutil
import stat
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import pooch
import requests
from tqdm import tqdm

from serlib import corpora
from serlib.sources import SOURCES, Source

MOST_BYTES = 8 * 2**30  # of a file or an unpacked archive: the largest here has about 0.6 GB
MOST_MEMBERS = 100_000  # of an archive: CREMA-D's repository has about 22,000
MOST_RATIO = 100  # unpacked to packed size: speech hardly shrinks, tables shrink tenfold, a bomb a thousandfold
SPARE_BYTES = 100 * 2**20  # of the disk, to be left free

SIZES = {"tess": "about 280 MB", "ravdess": "about 430 MB", "cremad": "about 600 MB", "emodb": "about 40 MB"}
REGISTRATION = {
    "savee": "Register at http://kahlan.eps.surrey.ac.uk/savee/Download.html; you are sent a name and a password. "
    "Fetch the audio (AudioData) and unpack it",
    "iemocap": "Ask for the full release at https://sail.usc.edu/iemocap/ with the signed release form found there; "
    "you are sent a link. Fetch the archive and unpack it",
}
POINTER = re.compile(rb"version https://git-lfs\S+\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n")


class DownloadError(RuntimeError):
    """A corpus could not be fetched; the message says from where, why not, and what to do."""


@dataclass(frozen=True)
class Web:
    """Where the corpora are fetched from, and how patiently; several addresses of one thing are tried in turn."""

    tess: str = "https://borealisdata.ca/api"  # of the Dataverse
    ravdess: str = "https://zenodo.org/api/records/1188976"
    cremad: str = "https://codeload.github.com/CheyneyComputerScience/CREMA-D/zip/refs/heads/master"
    cremad_audio: tuple[str, ...] = (  # GitHub's monthly budget may be spent; the makers then name their mirror
        "https://media.githubusercontent.com/media/CheyneyComputerScience/CREMA-D/master",
        "https://gitlab.com/cs-cooper-lab/crema-d-mirror/-/raw/main",
    )
    emodb: tuple[str, ...] = (
        "http://emodb.bilderbar.info/download/download.zip",
        "https://zenodo.org/records/7447302/files/emodb.zip?download=1",
    )
    timeout: float = 30  # seconds without a byte
    tries: int = 6
    pause: float = 1  # seconds before the second try, doubled before each further one


OFFICIAL = Web()


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its path below the corpus's folder, its addresses, and what the source says of it."""

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    checksum: str | None = None  # as pooch writes it: md5:…, sha256:…

    def __post_init__(self) -> None:
        if not _safe(self.name):
            raise DownloadError(f"{self.urls[0]} is refused: its name {self.name!r} leads out of the corpus's folder.")


def _safe(name: str) -> bool:
    """Whether a name stays below the folder it is put in, on any system."""
    path = PureWindowsPath(name)  # knows both slashes, and drive letters
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name


@dataclass
class Resuming:
    """A downloader for pooch that goes on where a broken transfer stopped, which pooch's own does not.

    `part` holds what has come and stays when the transfer fails; `size` is what the source publishes, if it does.
    """

    part: Path
    size: int | None
    web: Web
    session: requests.Session
    progress: tqdm | None = None
    counted: int = 0

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch `url` into `output_file`; DownloadError or requests.RequestException where that cannot be done."""
        for attempt in range(self.web.tries):
            time.sleep(self.web.pause * 2 ** (attempt - 1) if attempt else 0)
            try:
                self._transfer(url)
                self.part.replace(output_file)
                return
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as e:
                reason = e
        raise DownloadError(f"failed {self.web.tries} times, at last because: {reason}")

    def _transfer(self, url: str) -> None:
        done = self.part.stat().st_size if self.part.exists() else 0
        if self.size is not None and done == self.size > 0:
            return
        headers = {"Range": f"bytes={done}-"} if done else {}
        with self.session.get(url, headers=headers, stream=True, timeout=self.web.timeout) as response:
            expected = self._expected(response, done)
            with self.part.open("ab" if response.status_code == 206 else "wb") as file:
                for chunk in response.iter_content(1 << 13):  # what has come of a chunk is lost when it breaks off
                    file.write(chunk)
                    self.count(file.tell())
                    if file.tell() > (MOST_BYTES if expected is None else expected):
                        self.part.unlink()
                        raise DownloadError(f"the server sends more than the {expected or MOST_BYTES:,} bytes expected")
                if expected is not None and file.tell() < expected:
                    raise requests.ConnectionError(f"the connection closed after {file.tell():,} of {expected:,} bytes")

    def _expected(self, response: requests.Response, done: int) -> int | None:
        """Size of the whole file, once the answer is found to be one to the question."""
        status, answer = response.status_code, response.headers
        if status in (408, 429) or status >= 500:
            raise requests.ConnectionError(f"the server answers {status} {response.reason}")
        if status in (206, 416):
            fits = re.fullmatch(rf"bytes {done}-\d+/(\d+|\*)", answer.get("Content-Range", ""))
            if status == 416 or not fits or fits[1] not in ("*", str(self.size or fits[1])):
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError(
                    f"the range sent ({answer.get('Content-Range')}) does not continue the {done:,} bytes here"
                )
        elif status != 200:
            raise DownloadError(f"the server answers {status} {response.reason}")
        if "html" in answer.get("Content-Type", ""):
            raise DownloadError("the server sends a web page, such as a login or an error, in place of the file")
        length = answer.get("Content-Length", "")
        total = int(length) + (done if status == 206 else 0) if length.isdigit() else None
        if self.size is not None and total not in (None, self.size):
            raise DownloadError(f"the server announces {total:,} bytes where the source's list says {self.size:,}")
        return total if self.size is None else self.size

    def count(self, position: int) -> None:
        """Show how far this file is; backwards where a transfer starts from zero again."""
        if self.progress is not None:
            self.progress.update(position - self.counted)
        self.counted = position


class Fetcher:
    """Fetches files, verified by pooch; of several addresses, one that failed is asked last from then on.

    A session follows redirects to http and https only.
    """

    def __init__(self, web: Web, session: requests.Session, folder: Path) -> None:
        self.web, self.session, self.folder, self.tree = web, session, folder, folder / "files"
        self.failures: Counter[int] = Counter()  # of first, second … addresses
        session.headers["User-Agent"] = "serlib (speech emotion recognition course)"  # Zenodo blocks nameless clients
        session.headers["Accept-Encoding"] = "identity"  # else sizes and ranges would not be the file's
        pooch.get_logger().setLevel(logging.WARNING)  # not a line for each clip

    def fetch(self, remote: Remote, folder: Path | None = None, progress: tqdm | None = None) -> Path:
        """The file, from the first of its addresses that has it, else DownloadError; one fetched before is verified."""
        path = (folder or self.folder) / remote.name
        path.parent.mkdir(parents=True, exist_ok=True)
        reasons = []
        for place in sorted(range(len(remote.urls)), key=lambda place: self.failures[place]):
            part = path.with_name(f"{path.name}.{place}.part")
            resuming = Resuming(part, remote.size, self.web, self.session, progress)
            try:
                pooch.retrieve(remote.urls[place], remote.checksum, path.name, path.parent, downloader=resuming)
                resuming.count(remote.size or resuming.counted)
                return path
            except (DownloadError, requests.RequestException, ValueError) as error:  # ValueError: a wrong checksum
                resuming.count(0)
                self.failures[place] += 1
                kept = f" ({part.stat().st_size:,} bytes are kept)" if part.exists() else ""
                reasons.append(f"{remote.urls[place]}: {error}{kept}")
        reasons.append(f"Run the same command again: it goes on where it stopped. To start anew, delete {self.folder}")
        raise DownloadError("\n".join(reasons))

    def json(self, url: str) -> Any:
        """What an API answers."""
        path = self.fetch(Remote("list.json", (url,)))
        content = path.read_bytes()
        path.unlink()
        return json.loads(content)


def _tess(fetcher: Fetcher) -> list[Remote]:
    api = fetcher.web.tess
    answer = fetcher.json(f"{api}/datasets/:persistentId/?persistentId=doi:10.5683/SP2/E8H2MF")
    remotes = []
    for file in answer["data"]["latestVersion"]["files"]:
        data, folder = file["dataFile"], file.get("directoryLabel")
        name = f"{folder}/{data['filename']}" if folder else data["filename"]
        remotes.append(Remote(name, (f"{api}/access/datafile/{data['id']}",), data["filesize"], f"md5:{data['md5']}"))
    clips = [remote for remote in remotes if remote.name.lower().endswith(".wav")]
    return clips or [remote for remote in remotes if remote.name.lower().endswith(".zip")]


def _ravdess(fetcher: Fetcher) -> list[Remote]:
    files = {file["key"]: file for file in fetcher.json(fetcher.web.ravdess)["files"]}
    chosen = [files[name] for name in ("Audio_Speech_Actors_01-24.zip", "Audio_Song_Actors_01-24.zip")]
    return [Remote(file["key"], (file["links"]["self"],), file["size"], file["checksum"]) for file in chosen]


def _cremad(fetcher: Fetcher) -> list[Remote]:
    """From the repository's zip, in which Git LFS leaves a pointer (checksum and size) in place of every clip."""
    remotes = []
    with _opened(fetcher.fetch(Remote("repository.zip", (fetcher.web.cremad,))), verified=False) as (whole, members):
        for member in members:
            name = member.filename.partition("/")[2]  # below the folder named after the branch
            if re.fullmatch(r"VideoDemographics\.csv|AudioWAV/[^/]+\.wav", name):
                content = whole.read(member)
                if pointer := POINTER.fullmatch(content):
                    urls = tuple(f"{root}/{name}" for root in fetcher.web.cremad_audio)
                    remotes.append(Remote(name, urls, int(pointer[2]), f"sha256:{pointer[1].decode()}"))
                else:  # the table; or the clip itself, if the makers choose to have LFS files in the repository's zip
                    path = fetcher.tree / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
    return remotes


def _emodb(fetcher: Fetcher) -> list[Remote]:
    return [Remote("emodb.zip", fetcher.web.emodb)]


LISTS = {"tess": _tess, "ravdess": _ravdess, "cremad": _cremad, "emodb": _emodb}


def _need(size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise DownloadError(f"{folder} has {free:,} bytes free, {size + SPARE_BYTES:,} are needed: make room first.")


@contextmanager
def _opened(archive: Path, verified: bool) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip and its members, none of which is unsafe; a damaged one is deleted, unless its checksum was verified."""
    anew = "Delete it to fetch it anew."
    try:
        with zipfile.ZipFile(archive) as whole:
            members = whole.infolist()
            size = sum(member.file_size for member in members)
            if len(members) > MOST_MEMBERS or size > min(MOST_BYTES, MOST_RATIO * archive.stat().st_size):
                raise DownloadError(f"{archive} is refused as a bomb: {len(members):,} members, {size:,} bytes. {anew}")
            for member in members:
                name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
                if not _safe(name) or kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
                    why = "leads outside, is a link or is encrypted"
                    raise DownloadError(f"{archive} is refused: its member {name!r} {why}. {anew}")
            yield whole, members
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        if not verified:
            archive.unlink()
        what = "is as its source published it" if verified else "is deleted: run the same command again"
        raise DownloadError(f"{archive} is not a whole zip archive ({error}). It {what}.") from error


def unpack(archive: Path, folder: Path, verified: bool = False) -> None:
    """Unpack a zip archive from outside; what the folder holds after an error is not to be used.

    Parameters
    ----------
    archive : Path
    folder : Path
        Nothing is written outside it.
    verified : bool
        Whether its checksum was right. A damaged archive that was not verified is deleted.

    Raises
    ------
    DownloadError
        The archive is damaged or a bomb, holds links or names that lead outside, or the disk is too full.
    """
    with _opened(archive, verified) as (whole, members):
        _need(sum(member.file_size for member in members), archive.parent)
        whole.extractall(folder)  # writes no more than a member declares, and compares its CRC


def _clips(folder: Path, source: Source) -> int:
    """Number of a source's clips in a folder, by name."""
    audio = (path for path in folder.rglob("*") if path.suffix.lower() in corpora.AUDIO_SUFFIXES)
    matches = (source.match(path, folder) for path in audio)
    return len({source.parse(match)["utterance"] for match in matches if match})


def _move(tree: Path, folder: Path) -> int:
    """Move files into the corpus's folder; those that are there already stay as they are, and are counted."""
    if not folder.exists():
        tree.rename(folder)
        return 0
    kept = 0
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        target = folder / path.relative_to(tree)
        if target.exists() or target.is_symlink():
            kept += 1
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    return kept


def _obtain(corpus: str, folder: Path, say: Callable[[str], Any], web: Web) -> None:
    """Fetch, verify and unpack a corpus in the folder <corpus>.download beside its own, then move it there."""
    source, staging = SOURCES[corpus], folder.with_name(f"{corpus}.download")
    with requests.Session() as session:
        fetcher = Fetcher(web, session, staging)
        fetcher.tree.mkdir(parents=True, exist_ok=True)
        try:
            remotes = LISTS[corpus](fetcher)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise DownloadError(f"The list of files from {source.home} is not understood: {error!r}.") from error
        total = sum(remote.size or 0 for remote in remotes)
        _need(total, staging)
        say(f"{len(remotes):,} files" + (f", {total:,} bytes" if total else ""))
        archives = [remote for remote in remotes if remote.name.lower().endswith(".zip")]
        with tqdm(total=total or None, desc=corpus, unit="B", unit_scale=True, disable=None) as progress:
            for remote in remotes:
                if remote in archives:
                    fetcher.fetch(remote, staging, progress)
                elif not (folder / remote.name).exists():
                    fetcher.fetch(remote, fetcher.tree, progress)
    if archives:
        shutil.rmtree(fetcher.tree)  # what an interrupted call had unpacked
    for remote in archives:
        unpack(staging / remote.name, fetcher.tree, verified=remote.checksum is not None)
    official = sum(source.clips.values())
    if any(remote.checksum is None for remote in archives) and _clips(fetcher.tree, source) < official:
        raise DownloadError(
            f"The archive holds {_clips(fetcher.tree, source):,} of {official:,} clips, and no checksum is published. "
            f"It is kept in {staging}: look at it, or delete it and run the same command again."
        )
    if kept := _move(fetcher.tree, folder):
        say(f"{kept:,} files that were in {folder} before are kept as they were")
    shutil.rmtree(staging)
    say(f"downloaded to {folder}; {staging.name}, with the archives, is deleted")


def _complete(corpus: str, folder: Path, data_dir: str | Path | None, say: Callable[[str], Any]) -> bool:
    """Say what is there of a corpus; whether each official clip is found, can be decoded and has its label."""
    try:
        found = corpora.load(corpus, data_dir)
    except corpora.CorpusNotFound:
        say(f"nothing of it is in {folder} yet")
        return False
    official = SOURCES[corpus].clips
    counts = ", ".join(f"{found.found.get(channel, 0):,} of {count:,} {channel}" for channel, count in official.items())
    say(f"{found}\n  clips: {counts}, in {found.root}")
    for problem in found.problems.itertuples():
        say(f"  {problem.action}: {problem.path}: {problem.reason}")
    enough = all(found.found.get(channel, 0) >= count for channel, count in official.items())
    return enough and not found.problems.broken.any()


def download(
    corpus: str,
    data_dir: str | Path | None = None,
    yes: bool = False,
    say: Callable[[str], Any] = print,
    web: Web = OFFICIAL,
) -> bool:
    """Fetch a released corpus, or say how to get it; then load it and compare with the official number of clips.

    Everything is fetched and unpacked in the folder <corpus>.download beside the corpus's own, and moved only when
    whole. What is in that folder after an error is used by the next call. Files of yours are neither overwritten nor
    deleted.

    Parameters
    ----------
    corpus : str
        One of `SOURCES`; it goes to `corpora.data_root`/<corpus>.
    data_dir : path, optional
        See `corpora.data_root`.
    yes : bool
        The licence is accepted. Without it, no server is asked for anything.
    say : callable
        Takes each line of what there is to say.
    web : Web

    Returns
    -------
    bool
        Whether the corpus is there and complete.

    Raises
    ------
    DownloadError
        It could not be fetched, verified or unpacked.
    """
    source, folder = SOURCES[corpus], corpora.data_root(data_dir) / corpus
    say(f"{source.title}\n  licence: {source.licence}\n  cite: {source.reference} ({source.cite})")
    say(f"  from: {source.home}\n  size: {SIZES.get(corpus, 'not known')}\n  folder: {folder}")
    if corpus in REGISTRATION:
        say(f"{REGISTRATION[corpus]} so that it lies like this:\n  {source.layout}")
    if _complete(corpus, folder, data_dir, say):
        say("complete: nothing to download")
        return True
    if corpus not in REGISTRATION and not yes:
        say("add --yes to accept the licence and download")
        return False
    if corpus not in REGISTRATION:
        _obtain(corpus, folder, say, web)
        if _complete(corpus, folder, data_dir, say):
            return True
    say("incomplete: put right what the lines above name, or move it away, and run the same command again")
    return False
