"""From waveforms to what models see: spectral features from one STFT a clip, and functionals.

Notebook 02 derives each feature by hand for one clip and asserts that these functions agree; the tests hold them
against librosa. They compute in float64, because MFCCs near zero and quiet valleys of the spectrum need it; what is
kept for a whole corpus is float32.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import librosa
import numpy as np
import pandas as pd
import scipy.fft
import scipy.sparse
from joblib import Parallel, delayed

from serlib import cache
from serlib.audio import SR, fit_length, load

if TYPE_CHECKING:
    import opensmile

AMIN = 1e-10  # power floor before the logarithm: -100 dB
FUNCTIONALS = ("mean", "std", "p10", "p50", "p90")
OPENSMILE_SETS = ("eGeMAPSv02", "ComParE_2016")
N_CHROMA = 12
N_OCTAVES, LOWEST_EDGE, QUANTILE = 6, 200.0, 0.02  # of spectral contrast: 0-200 Hz, then six octaves; 2 % of the bins
LOWEST_VOICE, HIGHEST_VOICE, OCTAVE_COST = 65.0, 600.0, 0.02  # of `pitch`: Hz, Hz, periodicity an octave

VERSION = 1  # to be raised when a feature's numbers change, so that nothing computed by older code is used


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

    def n_frames(self, seconds: float) -> int:
        """Number of hops in a time, rounded, at least one."""
        return max(1, round(seconds * self.sr / self.hop_length))

    def times(self, n_frames: int) -> np.ndarray:
        """Centre of each frame in seconds, shape (n_frames,)."""
        return np.arange(n_frames) * self.hop_length / self.sr


@dataclass(frozen=True)
class FeatureSet:
    """Features wanted of every clip, stacked as rows of one array; also what the cache is keyed by.

    Attributes
    ----------
    names : tuple of str
        Among ``log_mel``, ``mfcc``, ``chroma``, ``contrast``, ``zcr``, ``rms``, ``pitch``, ``periodicity``, in the
        order wanted.
    frames : Frames
    n_mels, n_mfcc : int
    top_db : float, optional
        See `log_mel`.
    n_frames : int, optional
        Cut every waveform, or fill it with silence at the end, to this many frames; None keeps its own length.
    speed : float
        Play every clip this much faster, pitch, formants and tempo together, before anything else (speed perturbation,
        Ko et al. 2015, https://doi.org/10.21437/Interspeech.2015-711): another voice for training.

    Raises
    ------
    ValueError
        No name, or an unknown one.
    """

    names: tuple[str, ...] = ("log_mel",)
    frames: Frames = field(default_factory=Frames)
    n_mels: int = 64
    n_mfcc: int = 40
    top_db: float | None = None
    n_frames: int | None = None
    speed: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))  # a list is welcome, a set of settings has to be hashable
        object.__setattr__(self, "speed", float(self.speed))  # 1 and 1.0 are one setting
        unknown = [name for name in self.names if name not in _FEATURES]
        if unknown or not self.names:
            raise ValueError(f"unknown features {unknown}; known: {', '.join(_FEATURES)}")

    @property
    def settings(self) -> dict[str, object]:
        """What the numbers depend on: settings that none of the features wanted reads are left out."""
        irrelevant = set()
        if not {"log_mel", "mfcc"} & set(self.names):
            irrelevant |= {"n_mels", "top_db"}
        if "mfcc" not in self.names:
            irrelevant.add("n_mfcc")
        told = {name: value for name, value in asdict(self).items() if name not in irrelevant}
        return {"version": VERSION} | told

    @property
    def rows(self) -> list[str]:
        """Name of every row, such as ``mfcc_0``, ``chroma_11`` or ``zcr``."""
        counts = {"log_mel": self.n_mels, "mfcc": self.n_mfcc, "chroma": N_CHROMA, "contrast": N_OCTAVES + 1}
        return [
            name if name not in counts else f"{name}_{row}" for name in self.names for row in range(counts.get(name, 1))
        ]

    @property
    def hertz(self) -> np.ndarray:
        """Centre of each mel band, shape (n_mels,)."""
        return librosa.mel_frequencies(self.n_mels + 2, fmax=self.frames.sr / 2)[1:-1]


class _Clip:
    """One waveform and, each made when first asked for, its frames and their power spectrum."""

    def __init__(self, waveform: np.ndarray, frames: Frames):
        self.frames = frames
        self.waveform = waveform.astype(np.float64)

    @staticmethod
    def of(waveform: np.ndarray | _Clip, frames: Frames) -> _Clip:
        """What is a clip already stays one: then several features share its spectrum."""
        return waveform if isinstance(waveform, _Clip) else _Clip(waveform, frames)

    @cached_property
    def framed(self) -> np.ndarray:
        """A view, shape (n_frames, n_fft); silence surrounds the clip, so that frames are centred."""
        padded = np.pad(self.waveform, self.frames.n_fft // 2)
        return np.lib.stride_tricks.sliding_window_view(padded, self.frames.n_fft)[:: self.frames.hop_length]

    @cached_property
    def power_in_time(self) -> np.ndarray:
        """Power spectrum, shape (n_frames, n_fft // 2 + 1)."""
        stft = scipy.fft.rfft(self.framed * _window(self.frames.n_fft), axis=1, overwrite_x=True)
        power = stft.real**2
        power += stft.imag**2
        return power

    @cached_property
    def power(self) -> np.ndarray:
        """Power spectrum, shape (n_fft // 2 + 1, n_frames)."""
        return np.ascontiguousarray(self.power_in_time.T)

    @cached_property
    def repeated(self) -> tuple[np.ndarray, np.ndarray]:
        """After how many samples each frame repeats itself best, and how well (1: exactly), each of shape (n_frames,).

        The peak of the autocorrelation of the windowed frame over that of the window, among lags of a voice.
        """
        n, sr = self.frames.n_fft, self.frames.sr
        first, last = int(sr / HIGHEST_VOICE), int(np.ceil(sr / LOWEST_VOICE))
        if last + 1 >= n // 2:
            needed = 2 * (last + 2)
            raise ValueError(f"frames of {n} samples are too short for {LOWEST_VOICE:.0f} Hz; {needed} are needed")
        window = _window(n)
        centred = (self.framed - self.framed.mean(axis=1, keepdims=True)) * window
        lags = np.arange(first - 1, last + 2)  # one more on both sides, so that every peak has neighbours
        own, ideal = (_autocorrelation(x)[..., [0, *lags]] for x in (centred, window))
        likeness = own[:, 1:] / np.maximum(own[:, :1], AMIN) / (ideal[1:] / ideal[0])
        before, peak, after = likeness[:, :-2], likeness[:, 1:-1], likeness[:, 2:]
        tops = np.where((peak >= before) & (peak >= after), peak, 0)  # a slope is no period
        best = (tops - OCTAVE_COST * np.log2(lags[1:-1] / first)).argmax(axis=1)  # of equals, the shortest lag
        frame = np.arange(len(best))
        before, peak, after, top = (x[frame, best] for x in (before, peak, after, tops))
        curve = np.minimum(before - 2 * peak + after, -AMIN)
        shift = np.clip(0.5 * (before - after) / curve, -0.5, 0.5)  # to the top of the parabola through the three
        return lags[best + 1] + shift, np.clip(top, 0, 1)


@lru_cache
def _window(n_fft: int) -> np.ndarray:
    return librosa.filters.get_window("hann", n_fft, fftbins=True)


def _autocorrelation(x: np.ndarray) -> np.ndarray:
    """Along the last axis, for lags from 0 on."""
    n = x.shape[-1]
    spectrum = scipy.fft.rfft(x, 2 * n)
    return scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2)[..., :n]


@lru_cache
def mel_filters(frames: Frames, n_mels: int) -> np.ndarray:
    """Triangular mel filters (Slaney's scale and area normalisation), shape (n_mels, n_fft // 2 + 1)."""
    return librosa.filters.mel(sr=frames.sr, n_fft=frames.n_fft, n_mels=n_mels)


@lru_cache
def _sparse_mel_filters(frames: Frames, n_mels: int) -> scipy.sparse.csr_array:
    """The same, without the zeros that make up 98 % of them."""
    return scipy.sparse.csr_array(mel_filters(frames, n_mels).astype(np.float64))


@lru_cache
def _chroma_filters(frames: Frames) -> np.ndarray:
    return librosa.filters.chroma(sr=frames.sr, n_fft=frames.n_fft, tuning=0.0, n_chroma=N_CHROMA).astype(np.float64)


def _decibels(power: np.ndarray, top_db: float | None) -> np.ndarray:
    decibels = 10 * np.log10(np.maximum(power, AMIN))
    return decibels if top_db is None else np.maximum(decibels, decibels.max() - top_db)


def log_mel(
    waveform: np.ndarray | _Clip, frames: Frames, *, n_mels: int = 64, top_db: float | None = None
) -> np.ndarray:
    """Power in mel bands over time, in dB relative to 1.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames
    n_mels : int
    top_db : float, optional
        Raise everything to at most this far below the clip's loudest value, as librosa does unless told otherwise
        (80). By default only the floor of -100 dB holds, so that a clip's features do not hang on its loudest moment.

    Returns
    -------
    ndarray, shape (n_mels, n_frames)
        ``n_frames = 1 + n_samples // hop_length``; -100 dB is digital silence.
    """
    clip = _Clip.of(waveform, frames)
    return _decibels(_sparse_mel_filters(frames, n_mels) @ clip.power, top_db)


def mfcc(
    waveform: np.ndarray | _Clip,
    frames: Frames,
    *,
    n_mfcc: int = 40,
    n_mels: int = 64,
    top_db: float | None = None,
) -> np.ndarray:
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of each frame of `log_mel`.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames
    n_mfcc : int
        The first so many are kept.
    n_mels, top_db
        See `log_mel`.

    Returns
    -------
    ndarray, shape (n_mfcc, n_frames)
        dB; coefficient 0 is the mean of the bands times the root of `n_mels`.

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
    return scipy.fft.dct(log_mel(waveform, frames, n_mels=n_mels, top_db=top_db), axis=0, norm="ortho")[:n_mfcc]


def chroma(waveform: np.ndarray | _Clip, frames: Frames) -> np.ndarray:
    """Power in each of the twelve pitch classes C, C#, … B, over all octaves; the loudest class of a frame is 1.

    The classes are those of an instrument tuned to A = 440 Hz. librosa estimates the tuning of every clip unless told
    otherwise, which costs half of its time; a voice glides through all pitches and has none.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames

    Returns
    -------
    ndarray, shape (12, n_frames)
        From 0 to 1; all 0 in digital silence.
    """
    clip = _Clip.of(waveform, frames)
    energy = _chroma_filters(frames) @ clip.power
    loudest = energy.max(axis=0)
    return energy / np.where(loudest < np.finfo(np.float64).tiny, 1, loudest)


def contrast(waveform: np.ndarray | _Clip, frames: Frames) -> np.ndarray:
    """Spectral contrast: how far, in dB, the peaks of each octave stand above its valleys.

    The rows are 0 to 200 Hz and the six octaves above it, the last up to the Nyquist frequency; peak and valley are
    the means of the strongest and of the weakest 2 % of a band's bins.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames

    Returns
    -------
    ndarray, shape (7, n_frames)
        dB, as librosa counts them: ten times the decimal logarithm of a ratio of magnitudes, half of the usual.

    Raises
    ------
    ValueError
        The sampling rate is 12,800 Hz or less: there is no sixth octave.

    References
    ----------
    Jiang, D.-N. et al. (2002). Music type classification by spectral contrast feature. Proc. ICME, 113-116.
    """
    clip = _Clip.of(waveform, frames)
    bands = _contrast_bands(frames)
    peaks, valleys = np.empty((2, len(bands), len(clip.framed)))
    for row, (first, end, n_extreme) in enumerate(bands):
        if n_extreme == 1:
            band = clip.power[first:end]
            valleys[row], peaks[row] = np.sqrt(band.min(axis=0)), np.sqrt(band.max(axis=0))
        else:  # a whole sort is quicker here than a partition
            band = np.sort(clip.power_in_time[:, first:end], axis=1)
            valleys[row] = np.sqrt(band[:, :n_extreme]).mean(axis=1)
            peaks[row] = np.sqrt(band[:, -n_extreme:]).mean(axis=1)
    return _decibels(peaks, 80) - _decibels(valleys, 80)  # librosa's 80: both are magnitudes, as there


@lru_cache
def _contrast_bands(frames: Frames) -> list[tuple[int, int, int]]:
    """First bin, end, and number of extreme bins of each band; librosa's bands begin and end one bin early."""
    edges = np.concatenate([[0], LOWEST_EDGE * 2.0 ** np.arange(N_OCTAVES + 1)])
    if edges[-2] >= frames.sr / 2:
        raise ValueError(f"spectral contrast needs a sampling rate above {2 * edges[-2]:,.0f} Hz, not {frames.sr:,} Hz")
    frequencies = np.fft.rfftfreq(frames.n_fft, 1 / frames.sr)
    bands = []
    for octave, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first, last = inside[0] - (octave > 0), inside[-1]
        if octave == N_OCTAVES:
            last = len(frequencies) - 1
        n_extreme = max(1, round(QUANTILE * (last + 1 - first)))
        bands.append((int(first), int(last) + (octave == N_OCTAVES), n_extreme))
    return bands


def zcr(waveform: np.ndarray | _Clip, frames: Frames) -> np.ndarray:
    """Zero-crossing rate: the share of neighbouring samples in a frame that differ in sign; high where it hisses.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames

    Returns
    -------
    ndarray, shape (1, n_frames)
        From 0 to 1. What is within 1e-10 of zero has no sign; before and after the clip nothing crosses.
    """
    clip = _Clip.of(waveform, frames)
    negative = clip.waveform < -AMIN
    changes = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])  # up to each sample
    first = np.arange(len(clip.framed)) * frames.hop_length - frames.n_fft // 2
    last = np.minimum(first + frames.n_fft, len(changes)) - 1
    return (changes[last] - changes[np.maximum(first, 0)])[None] / frames.n_fft


def rms(waveform: np.ndarray | _Clip, frames: Frames) -> np.ndarray:
    """Root mean square of each frame's samples: its level, on the waveform's own scale.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames

    Returns
    -------
    ndarray, shape (1, n_frames)
    """
    clip = _Clip.of(waveform, frames)
    return np.sqrt(np.einsum("ij,ij->i", clip.framed, clip.framed) / frames.n_fft)[None]


def pitch(waveform: np.ndarray | _Clip, frames: Frames) -> np.ndarray:
    """How high a voice is: the fundamental frequency between 65 and 600 Hz under which a frame repeats itself best.

    Every frame has one, a hiss too; `periodicity` says what it is worth.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames

    Returns
    -------
    ndarray, shape (1, n_frames)
        Semitones above 55 Hz, the note A1: 12 is 110 Hz, 24 is 220 Hz.

    Raises
    ------
    ValueError
        Frames are shorter than two periods of 65 Hz.

    References
    ----------
    Boersma, P. (1993). Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
    sampled sound. Proc. Institute of Phonetic Sciences, Amsterdam, 17, 97-110. (Without its path through the frames.)
    """
    lag, _ = _Clip.of(waveform, frames).repeated
    return 12 * np.log2(frames.sr / lag / 55)[None]


def periodicity(waveform: np.ndarray | _Clip, frames: Frames) -> np.ndarray:
    """How exactly each frame repeats itself after a period of `pitch`: near 1 in a vowel, low in a hiss or whisper.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    frames : Frames

    Returns
    -------
    ndarray, shape (1, n_frames)
        From 0 to 1, whatever the level; 0 in digital silence. A hum is periodic too.

    Raises
    ------
    ValueError
        See `pitch`.
    """
    return _Clip.of(waveform, frames).repeated[1][None]


#: Name -> the feature of a clip under the settings of a `FeatureSet`.
_FEATURES: dict[str, Callable[[_Clip, FeatureSet], np.ndarray]] = {
    "log_mel": lambda clip, wanted: log_mel(clip, wanted.frames, n_mels=wanted.n_mels, top_db=wanted.top_db),
    "mfcc": lambda clip, wanted: mfcc(
        clip, wanted.frames, n_mfcc=wanted.n_mfcc, n_mels=wanted.n_mels, top_db=wanted.top_db
    ),
    "chroma": lambda clip, wanted: chroma(clip, wanted.frames),
    "contrast": lambda clip, wanted: contrast(clip, wanted.frames),
    "zcr": lambda clip, wanted: zcr(clip, wanted.frames),
    "rms": lambda clip, wanted: rms(clip, wanted.frames),
    "pitch": lambda clip, wanted: pitch(clip, wanted.frames),
    "periodicity": lambda clip, wanted: periodicity(clip, wanted.frames),
}


def extract(waveform: np.ndarray, wanted: FeatureSet) -> np.ndarray:
    """All features wanted of one clip, from one STFT.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
        At the sampling rate of ``wanted.frames``; ``wanted.speed`` is not applied here.
    wanted : FeatureSet

    Returns
    -------
    ndarray of float32, shape (len(wanted.rows), n_frames)

    Raises
    ------
    ValueError
        See `mfcc`, `contrast` and `pitch`.
    """
    if wanted.n_frames:
        waveform = fit_length(waveform, wanted.frames.n_samples(wanted.n_frames))
    clip = _Clip(waveform, wanted.frames)
    return np.concatenate([_FEATURES[name](clip, wanted) for name in wanted.names]).astype(np.float32)


def extract_all(utterances: pd.DataFrame, wanted: FeatureSet, *, n_jobs: int | None = None) -> list[np.ndarray]:
    """Features of a whole utterance table, each clip's computed once and then read from the cache.

    Parameters
    ----------
    utterances : DataFrame
        Columns path and sha256.
    wanted : FeatureSet
    n_jobs : int, optional
        See `fill_cache`.

    Returns
    -------
    list of ndarray of float32, shape (len(wanted.rows), n_frames)
        In the table's order.

    Raises
    ------
    ValueError
        A file of the cache is damaged; the message names it.

    Warns
    -----
    UserWarning
        The cache cannot be written to; features are then computed anew each time.
    """
    try:
        return [cache.read(path) for path in fill_cache(utterances, wanted, n_jobs=n_jobs)]
    except cache.CacheError as error:
        warnings.warn(f"{error}; features are computed and not kept", stacklevel=2)
        return cache.compute_all(utterances, _of_file(wanted), n_jobs=n_jobs)


def opensmile_functionals(utterances: pd.DataFrame, feature_set: str = "eGeMAPSv02") -> pd.DataFrame:
    """The field's own sets of functionals, computed by openSMILE, an optional extra: ``make extras`` installs it.

    Each clip's are computed once and then read from the cache (`serlib.cache.fill`).

    Parameters
    ----------
    utterances : DataFrame
        Columns path, utterance and sha256.
    feature_set : {"eGeMAPSv02", "ComParE_2016"}
        88 functionals chosen by phoneticians, or 6,373 by brute force.

    Returns
    -------
    DataFrame, shape (n_clips, 88) or (n_clips, 6373)
        Indexed by utterance; openSMILE's names in columns.

    Raises
    ------
    ImportError
        openSMILE is not installed.
    ValueError
        Another set.
    CacheError
        The cache cannot be written to.

    References
    ----------
    Eyben, F. et al. (2016). The Geneva minimalistic acoustic parameter set (GeMAPS) for voice research and affective
    computing. IEEE Trans. Affective Computing 7(2), 190-202.
    Schuller, B. et al. (2016). The INTERSPEECH 2016 computational paralinguistics challenge. Proc. Interspeech.
    """
    if feature_set not in OPENSMILE_SETS:
        raise ValueError(f"unknown set {feature_set!r}; known: {', '.join(OPENSMILE_SETS)}")
    if importlib.util.find_spec("opensmile") is None:
        raise ImportError("openSMILE is an optional extra; `make extras` installs it (free for research)")
    settings = {"feature_set": feature_set, "opensmile": version("opensmile"), "sr": SR}
    # In processes of their own: beside TensorFlow in one process, openSMILE corrupts memory.
    kept = cache.fill(utterances, feature_set, settings, functools.partial(_smile, feature_set=feature_set), n_jobs=2)
    (names,) = Parallel(n_jobs=2)([delayed(_smile_names)(feature_set)])
    return pd.DataFrame([cache.read(path) for path in kept], utterances.utterance, names)


def _smile(path: Path, feature_set: str) -> np.ndarray:
    return _smiler(feature_set).process_signal(load(path), SR).to_numpy()[0]


def _smile_names(feature_set: str) -> list[str]:
    return _smiler(feature_set).feature_names


@functools.cache
def _smiler(feature_set: str) -> opensmile.Smile:
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel.Functionals)


def fill_cache(utterances: pd.DataFrame, wanted: FeatureSet, *, n_jobs: int | None = None) -> list[Path]:
    """Compute what the cache lacks of a table's features, see `serlib.cache.fill`.

    Parameters
    ----------
    utterances : DataFrame
        Columns path and sha256.
    wanted : FeatureSet
    n_jobs : int, optional

    Returns
    -------
    list of Path
        One file for each utterance, in the table's order.

    Raises
    ------
    AudioError
        See `audio.load`.
    ValueError
        See `extract`.
    CacheError
        The folder cannot be written to.
    """
    return cache.fill(utterances, "+".join(wanted.names), wanted.settings, _of_file(wanted), n_jobs=n_jobs)


def _of_file(wanted: FeatureSet) -> Callable[[Path], np.ndarray]:
    return functools.partial(_extract_file, wanted=wanted)


def _extract_file(path: Path, wanted: FeatureSet) -> np.ndarray:
    faster = load(path, round(wanted.frames.sr / wanted.speed))  # taken for wanted.frames.sr from here on
    return extract(faster, wanted)


def share_cut(utterances: pd.DataFrame, wanted: FeatureSet) -> float:
    """Share of clips that are longer than the `n_frames` wanted, so that their end is not heard; 0 without it.

    Parameters
    ----------
    utterances : DataFrame
        Column seconds.
    wanted : FeatureSet
    """
    if wanted.n_frames is None:
        return 0.0
    kept = wanted.frames.n_samples(wanted.n_frames) / wanted.frames.sr
    return float((utterances.seconds / wanted.speed > kept).mean())


def delta(feature: np.ndarray, *, order: int = 1, width: int = 9) -> np.ndarray:
    """Slope over time (`order` 1) or its change (`order` 2) of each row.

    Parameters
    ----------
    feature : ndarray, shape (..., n_frames)
    order : {1, 2}
    width : int, odd
        Frames that a straight line (or a parabola) is fitted to by least squares.

    Returns
    -------
    ndarray, shape (..., n_frames)
        The feature's unit per frame, or per frame squared.

    Raises
    ------
    ValueError
        Fewer than `width` frames.
    """
    if feature.shape[-1] < width:
        raise ValueError(f"deltas over {width} frames need as many; there are {feature.shape[-1]}")
    return librosa.feature.delta(feature, order=order, width=width)


def functionals(feature: np.ndarray, statistics: Sequence[str] = FUNCTIONALS) -> np.ndarray:
    """Statistics of each row over time.

    Parameters
    ----------
    feature : ndarray, shape (n_rows, n_frames)
    statistics : sequence of str
        ``mean``, ``std``, ``slope`` (of the straight line of least squares, per frame) or a percentile such as
        ``p10``.

    Returns
    -------
    ndarray of float64, shape (len(statistics) * n_rows,)
        All values of the first statistic, then all of the second, and so on.

    Raises
    ------
    ValueError
        Unknown statistic.
    """
    return np.concatenate([_statistic(np.asarray(feature, np.float64), name) for name in statistics])


def _statistic(feature: np.ndarray, name: str) -> np.ndarray:
    if name in ("mean", "std"):
        return getattr(feature, name)(axis=-1)
    if name == "slope":
        time = np.arange(feature.shape[-1]) - (feature.shape[-1] - 1) / 2
        return feature @ time / max(time @ time, 1)
    if re.fullmatch(r"p\d{1,2}", name):
        return np.percentile(feature, int(name[1:]), axis=-1)
    raise ValueError(f"unknown statistic {name!r}; known: mean, std, slope, and percentiles such as p10")


def functional_names(rows: Sequence[str], statistics: Sequence[str] = FUNCTIONALS) -> list[str]:
    """Names of what `functionals` returns, such as ``mfcc_3 std``, for rows of the given names."""
    return [f"{row} {statistic}" for statistic in statistics for row in rows]


def images(utterances: pd.DataFrame, wanted: FeatureSet) -> np.ndarray:
    """Features of a whole utterance table, all of one length, time first as recurrent layers want it.

    Parameters
    ----------
    utterances : DataFrame
        Columns path and sha256.
    wanted : FeatureSet
        With `n_frames`.

    Returns
    -------
    ndarray of float32, shape (n_clips, n_frames, len(wanted.rows))

    Raises
    ------
    ValueError
        `wanted` leaves clips at their own length.
    """
    if wanted.n_frames is None:
        raise ValueError("images are all of one length: give the FeatureSet a number of frames, such as n_frames=128")
    return np.stack([feature.T for feature in extract_all(utterances, wanted)])


def with_deltas(feature: np.ndarray) -> np.ndarray:
    """A feature, its slope and the change of its slope as the three channels of an image.

    Parameters
    ----------
    feature : ndarray, shape (..., n_rows, n_frames)

    Returns
    -------
    ndarray, shape (..., n_rows, n_frames, 3)

    Raises
    ------
    ValueError
        See `delta`.
    """
    return np.stack([feature, delta(feature), delta(feature, order=2)], axis=-1)
