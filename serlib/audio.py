"""Waveforms: load, bring to one length, play."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
import soxr
from joblib import Parallel, delayed

if TYPE_CHECKING:
    import pandas as pd

SR = 16_000  # Hz; speech has little above 8 kHz that tells emotions apart, and every corpus here reaches it


class AudioError(ValueError):
    """A file that cannot be used as a waveform; the message names it and says why."""


def load(path: str | Path, sr: int = SR) -> np.ndarray:
    """Decode one clip to mono at a given rate.

    Channels are averaged; other rates are resampled with soxr's high-quality filter.

    Parameters
    ----------
    path : path
        Any format that libsndfile reads; the content decides, not the suffix.
    sr : int
        Sampling rate wanted, Hz.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        In [-1, 1].

    Raises
    ------
    AudioError
        The file is not there, cannot be decoded, holds no samples, or holds NaN.
    """
    try:
        samples, rate = sf.read(path, dtype="float32", always_2d=True)
    except sf.LibsndfileError as error:
        if not Path(path).exists():
            raise AudioError(f"there is no file {path}") from error
        raise AudioError(f"{path} cannot be decoded ({error.error_string.strip()}); is it an audio file?") from error
    except TypeError as error:  # what soundfile says of a name ending in .raw
        raise AudioError(f"{path} cannot be decoded: raw samples without a header; export it as WAV") from error
    if not samples.size:
        raise AudioError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path} holds NaN or infinite samples; export it again as 16-bit PCM")
    waveform = samples.mean(axis=1)
    if rate != sr:
        import librosa

        waveform = librosa.resample(waveform, orig_sr=rate, target_sr=sr, res_type="soxr_hq")
    return waveform


class _Straight(sf.SoundFile):
    """Read from start to end: soundfile seeks after each read, and an MP3 loses some frames wherever it is sought."""

    def seekable(self) -> bool:
        return False


def blocks(path: str | Path, sr: int = SR, seconds: float = 20.0) -> Iterator[np.ndarray]:
    """Decode a recording of any length piece by piece, as `load` would as a whole; memory stays small.

    Parameters
    ----------
    path : path
    sr : int
        Sampling rate wanted, Hz.
    seconds : float
        Length of what is decoded at once.

    Yields
    ------
    ndarray of float32, shape (n_samples,)
        Mono.

    Raises
    ------
    AudioError
        See `load`.
    """
    n_read = 0
    try:
        with _Straight(path) as file:
            stream = soxr.ResampleStream(file.samplerate, sr, 1, dtype="float32") if file.samplerate != sr else None
            size = max(1, int(seconds * file.samplerate))
            while len(samples := file.read(size, dtype="float32", always_2d=True)):
                n_read += len(samples)
                if not np.isfinite(samples).all():
                    raise AudioError(f"{path} holds NaN or infinite samples; export it again as 16-bit PCM")
                mono = samples.mean(axis=1)
                yield stream.resample_chunk(mono, last=False) if stream else mono
            if stream and n_read:
                yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
    except (sf.LibsndfileError, TypeError):
        load(path, sr)  # says in words what is wrong
        raise
    if not n_read:
        raise AudioError(f"{path} holds no samples")


def load_all(utterances: pd.DataFrame, sr: int = SR) -> list[np.ndarray]:
    """Waveforms of an utterance table, in its order (see `load`)."""
    return Parallel(n_jobs=2, prefer="threads")(delayed(load)(path, sr) for path in utterances.path)


def fit_length(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut the end or append zeros so that every clip has the same length.

    Parameters
    ----------
    waveform : ndarray, shape (n,)
    n_samples : int

    Returns
    -------
    ndarray, shape (n_samples,)
    """
    return np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))


def player(path: str | Path, sr: int = SR):
    """An audio player for a notebook's output, all players at the recording's own level (loudness is a cue)."""
    from IPython.display import Audio

    return Audio(load(path, sr), rate=sr, normalize=False)
