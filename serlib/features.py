"""From waveforms to what models see: log-mel spectrograms, MFCCs, and functionals over an utterance.

Notebook 02 derives each by hand for one clip and asserts that these functions agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import librosa
import numpy as np

from serlib.audio import SR, fit_length, load_all

if TYPE_CHECKING:
    import pandas as pd

AMIN = 1e-10  # power floor before the logarithm: -100 dB
FUNCTIONALS = ("mean", "std", "p10", "p50", "p90")


@dataclass(frozen=True)
class Frames:
    """How a waveform is cut into frames.

    Attributes
    ----------
    sr : int
        Sampling rate, Hz.
    n_fft : int
        Samples in a frame. 1024 at 16 kHz is 64 ms: fine enough in frequency (15.6 Hz) that no mel filter is empty.
    hop_length : int
        Samples from one frame to the next. 320 at 16 kHz is 20 ms.
    """

    sr: int = SR
    n_fft: int = 1024
    hop_length: int = 320

    def n_samples(self, n_frames: int) -> int:
        """Length in samples of a waveform that gives exactly `n_frames` frames."""
        return (n_frames - 1) * self.hop_length

    def times(self, n_frames: int) -> np.ndarray:
        """Centre of each frame in seconds, shape (n_frames,)."""
        return np.arange(n_frames) * self.hop_length / self.sr


@lru_cache
def mel_filters(frames: Frames, n_mels: int) -> np.ndarray:
    """Triangular mel filters (Slaney's scale and area normalisation), shape (n_mels, n_fft // 2 + 1)."""
    return librosa.filters.mel(sr=frames.sr, n_fft=frames.n_fft, n_mels=n_mels)


def log_mel(waveform: np.ndarray, frames: Frames, *, n_mels: int = 64) -> np.ndarray:
    """Power in mel bands over time, in dB relative to 1.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames
    n_mels : int

    Returns
    -------
    ndarray of float32, shape (n_mels, n_frames)
        ``n_frames = 1 + n_samples // hop_length``; -100 dB is digital silence.
    """
    stft = librosa.stft(waveform, n_fft=frames.n_fft, hop_length=frames.hop_length, pad_mode="constant")
    power = mel_filters(frames, n_mels) @ (stft.real**2 + stft.imag**2)
    return 10 * np.log10(np.maximum(power, AMIN))


def mfcc(waveform: np.ndarray, frames: Frames, *, n_mfcc: int = 40, n_mels: int = 64) -> np.ndarray:
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of each log-mel frame.

    Returns
    -------
    ndarray of float32, shape (n_mfcc, n_frames)

    Raises
    ------
    ValueError
        `n_mfcc` exceeds `n_mels`.

    References
    ----------
    Davis, S. and Mermelstein, P. (1980). Comparison of parametric representations for monosyllabic word recognition
    in continuously spoken sentences. IEEE Trans. ASSP 28(4), 357-366.
    """
    if n_mfcc > n_mels:
        raise ValueError(f"{n_mfcc} coefficients cannot be had from {n_mels} mel bands; n_mfcc must be n_mels or less")
    return librosa.feature.mfcc(S=log_mel(waveform, frames, n_mels=n_mels), n_mfcc=n_mfcc)


def delta(feature: np.ndarray, *, order: int = 1, width: int = 9) -> np.ndarray:
    """Slope over time (`order` 1) or its change (`order` 2) of each row, same shape (..., n_frames), per frame.

    Raises
    ------
    ValueError
        Fewer than `width` frames.
    """
    if feature.shape[-1] < width:
        raise ValueError(f"deltas over {width} frames need as many; there are {feature.shape[-1]}")
    return librosa.feature.delta(feature, order=order, width=width)


def functionals(feature: np.ndarray) -> np.ndarray:
    """Statistics of each row over time: mean, standard deviation, 10th, 50th and 90th percentile.

    Parameters
    ----------
    feature : ndarray, shape (n_rows, n_frames)

    Returns
    -------
    ndarray, shape (5 * n_rows,)
        All means first, then all standard deviations, and so on, in the order of `FUNCTIONALS`.
    """
    percentiles = np.percentile(feature, [10, 50, 90], axis=-1)
    return np.concatenate([feature.mean(axis=-1), feature.std(axis=-1), *percentiles])


def functional_names(rows: list[str]) -> list[str]:
    """Names of what `functionals` returns, such as ``mfcc_3 std``, for rows of the given names."""
    return [f"{row} {functional}" for functional in FUNCTIONALS for row in rows]


def log_mel_images(utterances: pd.DataFrame, frames: Frames, *, n_frames: int = 128, n_mels: int = 64) -> np.ndarray:
    """Log-mel spectrograms of a whole utterance table, all of one length, time first as recurrent layers want it.

    Waveforms are cut or filled with silence at the end to the length that gives `n_frames` frames.

    Parameters
    ----------
    utterances : DataFrame
        Its column path is read.
    frames : Frames
    n_frames, n_mels : int

    Returns
    -------
    ndarray of float32, shape (n_clips, n_frames, n_mels)
        dB.
    """
    n_samples = frames.n_samples(n_frames)
    waveforms = load_all(utterances, frames.sr)
    return np.stack([log_mel(fit_length(w, n_samples), frames, n_mels=n_mels).T for w in waveforms])
