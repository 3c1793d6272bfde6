"""Changed copies of recordings, and the averages over time that public notebooks describe a recording by."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import librosa
import numpy as np
import pandas as pd

from serlib import cache
from serlib.audio import SR, load
from serlib.features import FeatureSet, extract

COPIES = ("noise", "stretched")  # beside the recording itself
NOISE, RATE, SEMITONES = 0.035, 0.8, 0.7  # greatest share of the peak; slower than 1; higher than 0
AVERAGED = FeatureSet(("zcr", "chroma", "mfcc", "rms", "log_mel"), n_mels=128, n_mfcc=20)
VERSION = 1  # to be raised when the numbers change, so that nothing computed by older code is used


def copies(waveform: np.ndarray, sr: int = SR) -> dict[str, np.ndarray]:
    """Two changed copies of a waveform: one with white noise, one slower and higher.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    sr : int
        Its sampling rate, Hz.

    Returns
    -------
    dict of str to ndarray of float32
        ``noise``: Gaussian noise of a standard deviation drawn evenly between 0 and 3.5 % of the loudest sample.
        ``stretched``: at 0.8 of its speed, then 0.7 semitones higher, both by librosa's phase vocoder. The noise is
        drawn from a seed that is a hash of the samples: one recording has always the same copies.
    """
    digest = hashlib.sha256(np.ascontiguousarray(waveform, np.float32).tobytes()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    strength = NOISE * rng.uniform() * np.abs(waveform).max()
    noisy = waveform + strength * rng.standard_normal(len(waveform))
    slower = librosa.effects.time_stretch(waveform, rate=RATE)
    higher = librosa.effects.pitch_shift(slower, sr=sr, n_steps=SEMITONES)
    return dict(zip(COPIES, (noisy.astype(np.float32), higher.astype(np.float32)), strict=True))


def averages(waveform: np.ndarray) -> np.ndarray:
    """Averages over time of zero-crossing rate, chroma, 20 MFCCs, RMS and a mel spectrogram of 128 bands.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
        At 16 kHz.

    Returns
    -------
    ndarray of float32, shape (162,)
        In the order of ``AVERAGED.rows``. The mel bands are averaged as power, not in dB.
    """
    rows = extract(waveform, AVERAGED).astype(np.float64)
    rows[-AVERAGED.n_mels :] = 10 ** (rows[-AVERAGED.n_mels :] / 10)
    return rows.mean(axis=1).astype(np.float32)


def averages_all(utterances: pd.DataFrame, *, n_jobs: int | None = None) -> np.ndarray:
    """`averages` of each recording of a table and of its copies, computed once and then read from the cache.

    Parameters
    ----------
    utterances : DataFrame
        Columns path and sha256.
    n_jobs : int, optional
        See `serlib.cache.fill`.

    Returns
    -------
    ndarray of float32, shape (n_clips, 3, 162)
        The recording, then its copies in the order of `COPIES`.

    Warns
    -----
    UserWarning
        The cache cannot be written to; averages are then computed anew each time.
    """
    settings = {"version": VERSION, "noise": NOISE, "rate": RATE, "semitones": SEMITONES} | asdict(AVERAGED)
    settings |= {"librosa": version("librosa")}
    try:
        kept = cache.fill(utterances, "averages_of_copies", settings, _of_file, n_jobs=n_jobs)
        return np.stack([cache.read(path) for path in kept])
    except cache.CacheError as error:
        warnings.warn(f"{error}; averages are computed and not kept", stacklevel=2)
        return np.stack(cache.compute_all(utterances, _of_file, n_jobs=n_jobs))


def _of_file(path: Path) -> np.ndarray:
    waveform = load(path)
    return np.stack([averages(waveform) for waveform in (waveform, *copies(waveform).values())])
