"""One array for each sound under given settings, computed once and kept in data/features."""

from __future__ import annotations

import functools
import glob
import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from serlib import listening

HOST = platform.node().replace(".", "-") or "host"
CHUNK = 32  # clips that a process takes at a time
FEW_CLIPS = 300  # below that many, starting processes costs more than it saves

Compute = Callable[[Path], np.ndarray]  # of a sound file; can be pickled


class CacheError(OSError):
    """The cache's folder cannot be written to; the message names it and says what to do."""


def fill(
    utterances: pd.DataFrame,
    name: str,
    settings: Mapping[str, object],
    compute: Compute,
    *,
    n_jobs: int | None = None,
) -> list[Path]:
    """Compute what is missing, without holding more than a few clips in memory.

    The cache is a folder ``data/features/<name>_<hash of the settings>``: ``settings.json`` says what is in it, and
    ``<sha256 of the decoded audio>.npy`` is one clip. Files appear whole or not at all, so that runs may share it,
    write it at the same time, or be stopped; it may be deleted at any time.

    Parameters
    ----------
    utterances : DataFrame
        Columns path and sha256.
    name : str
    settings : mapping
        All that the numbers depend on, beside the sound.
    compute : callable
        Path of a sound file -> ndarray.
    n_jobs : int, optional
        Processes; by default one where little is missing, else one for each core.

    Returns
    -------
    list of Path
        One file for each utterance, in the table's order.

    Raises
    ------
    CacheError
    """
    text = json.dumps(settings, indent=1)
    folder = listening.MEMORY / f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        if not (folder / "settings.json").exists():
            _write_whole(folder / "settings.json", lambda file: file.write(text.encode() + b"\n"))
    except OSError as error:
        raise _refused(folder, error) from error
    present = {path.stem for path in folder.glob("*.npy")}
    sounds = utterances.drop_duplicates("sha256")
    missing = sounds[~sounds.sha256.isin(present)]
    jobs = [(path, folder / f"{sha256}.npy") for path, sha256 in zip(missing.path, missing.sha256, strict=True)]
    for _ in _in_parallel(functools.partial(_keep, compute=compute), jobs, name, n_jobs):
        pass
    return [folder / f"{sha256}.npy" for sha256 in utterances.sha256]


def compute_all(utterances: pd.DataFrame, compute: Compute, *, n_jobs: int | None = None) -> list[np.ndarray]:
    """The same arrays, kept nowhere, in the table's order; parameters as for `fill`."""
    sounds = utterances.drop_duplicates("sha256")
    done = _in_parallel(functools.partial(_give, compute=compute), list(sounds.path), "not kept", n_jobs)
    arrays = dict(zip(sounds.sha256, done, strict=True))
    return [arrays[sha256] for sha256 in utterances.sha256]


def read(path: Path) -> np.ndarray:
    """One clip of the cache.

    Raises
    ------
    ValueError
        The file is damaged; the message names it.
    """
    try:
        return np.load(path)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it, and it is made again") from error


def _in_parallel(function: Callable[[list], list], jobs: list, label: str, n_jobs: int | None):
    """What a function gives for chunks of jobs, one by one and in their order, with a progress bar."""
    if n_jobs is None:
        n_jobs = 1 if len(jobs) < FEW_CLIPS else joblib.cpu_count()
    chunks = [jobs[k : k + CHUNK] for k in range(0, len(jobs), CHUNK)]
    done = joblib.Parallel(n_jobs, return_as="generator")(joblib.delayed(function)(chunk) for chunk in chunks)
    with tqdm(total=len(jobs), unit=" clips", desc=label, disable=None if jobs else True) as bar:
        for results in done:
            bar.update(len(results))
            yield from results


def _keep(jobs: list[tuple[Path, Path]], compute: Compute) -> list[None]:
    for source, target in jobs:
        array = compute(source)
        try:
            _write_whole(target, functools.partial(np.save, arr=array))
        except OSError as error:
            raise _refused(target.parent, error) from error
    return [None] * len(jobs)


def _give(paths: list[Path], compute: Compute) -> list[np.ndarray]:
    return [compute(path) for path in paths]


def _refused(folder: Path, error: OSError) -> CacheError:
    return CacheError(
        f"{folder} cannot be written to ({error.strerror or error}); free space there, or its permissions"
    )


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    part = path.with_name(f"{path.name}.{HOST}.{os.getpid()}.part")  # two processes never write into one file
    with part.open("wb") as file:
        write(file)
    part.replace(path)


def _sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more left half written."""
    for part in folder.glob(f"*.{glob.escape(HOST)}.*.part"):
        try:
            os.kill(int(part.suffixes[-2][1:]), 0)
        except PermissionError:  # alive, of another user
            pass
        except (ProcessLookupError, ValueError):
            part.unlink(missing_ok=True)
