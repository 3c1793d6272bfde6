"""Changed copies of recordings, of images and of batches: augmentation of training rows, and what a test may add.

Every change is a function of what it changes, its amount and, where chance takes part, a `numpy.random.Generator`: the
same generator gives the same result. What a method makes of a fold's training rows is `training_set`. Validation and
test rows are given to none of these, save to `noise`, `babble` and `reverberate`, which ask how robust an answer is.

librosa's phase vocoder and resampler do what takes signal processing. audiomentations has the same changes, but draws
from the global generators of Python and NumPy, and asks for a soxr below 1, older than the resampler that all features
here hang on; imbalanced-learn's SMOTE is the ten lines of `smote`.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import librosa
import numpy as np
import pandas as pd
import scipy.signal
from sklearn.neighbors import NearestNeighbors

from serlib import cache, caemocygan, splits
from serlib.audio import SR, load
from serlib.features import FeatureSet, extract

if TYPE_CHECKING:
    import keras

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


# Of waveforms ---------------------------------------------------------------------------------------------------------


def noise(waveform: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """With white Gaussian noise at a signal-to-noise ratio, that of the mean powers of the whole clip.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    snr_db : float
        dB, met exactly.
    rng : Generator

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        May leave [-1, 1]; digital silence stays silent.
    """
    return _mixed(waveform, rng.standard_normal(len(waveform)), snr_db)


def babble(
    waveform: np.ndarray, others: Sequence[np.ndarray], snr_db: float, rng: np.random.Generator, *, n_voices: int = 6
) -> np.ndarray:
    """With the sum of other recordings, each equally loud and from a place drawn at random, at a signal-to-noise ratio.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    others : sequence of ndarray
        Recordings to draw from, best of speakers that are neither trained on nor tested; short ones are repeated.
    snr_db : float
        dB, met exactly.
    rng : Generator
    n_voices : int
        As many as there are, if fewer.

    Returns
    -------
    ndarray of float32, shape (n_samples,)

    Raises
    ------
    ValueError
        No other recording that sounds.
    """
    sounding = [np.asarray(other, np.float64) for other in others if np.any(other)]
    if not sounding:
        raise ValueError("babble is made of other recordings; none that sounds was given")
    voices = np.zeros(len(waveform))
    for k in rng.choice(len(sounding), min(n_voices, len(sounding)), replace=False):
        voice = np.resize(np.roll(sounding[k], -rng.integers(len(sounding[k]))), len(waveform))
        voices += voice / max(np.sqrt(np.mean(voice**2)), 1e-12)
    return _mixed(waveform, voices, snr_db)


def _mixed(waveform: np.ndarray, disturbance: np.ndarray, snr_db: float) -> np.ndarray:
    signal = np.asarray(waveform, np.float64)
    power, own = np.mean(signal**2), np.mean(disturbance**2)
    wanted = power / 10 ** (snr_db / 10)
    return (signal + disturbance * np.sqrt(wanted / max(own, 1e-20))).astype(np.float32)


def reverberate(
    waveform: np.ndarray, rt60: float, rng: np.random.Generator, sr: int = SR, *, direct_db: float = 0.0
) -> np.ndarray:
    """As in a room: convolved with the direct sound and a tail of noise that decays exponentially.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    rt60 : float
        Seconds in which the tail falls by 60 dB.
    rng : Generator
        Draws the tail.
    sr : int
    direct_db : float
        Energy of the direct sound relative to that of the tail, dB.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Cut to its old length and brought to its old level.

    References
    ----------
    Moorer, J. A. (1979). About this reverberation business. Computer Music Journal 3(2), 13-28.
    """
    time = np.arange(1, max(2, round(1.2 * rt60 * sr))) / sr
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60)
    tail *= np.sqrt(10 ** (-direct_db / 10) / np.sum(tail**2))
    signal = np.asarray(waveform, np.float64)
    wet = scipy.signal.fftconvolve(signal, np.concatenate([[1.0], tail]))[: len(signal)]
    level = np.sqrt(np.mean(signal**2) / max(np.mean(wet**2), 1e-20))
    return (wet * level).astype(np.float32)


def gain(waveform: np.ndarray, db: float) -> np.ndarray:
    """Louder by so many dB (quieter below 0), same shape, float32; may leave [-1, 1]."""
    return (np.asarray(waveform, np.float64) * 10 ** (db / 20)).astype(np.float32)


def stretch(waveform: np.ndarray, rate: float) -> np.ndarray:
    """So many times as fast at the same pitch, by a phase vocoder; shape (round(n_samples / rate),), float32."""
    return librosa.effects.time_stretch(np.asarray(waveform, np.float32), rate=rate)


def pitch(waveform: np.ndarray, semitones: float, sr: int = SR) -> np.ndarray:
    """Higher by so many semitones at the same length, formants moving along; same shape, float32."""
    return librosa.effects.pitch_shift(np.asarray(waveform, np.float32), sr=sr, n_steps=semitones)


def speed(waveform: np.ndarray, rate: float, sr: int = SR) -> np.ndarray:
    """So many times as fast, pitch and formants moving along (Ko et al. 2015); shape (n_samples / rate,), float32.

    What `FeatureSet.speed` does while a file is read.
    """
    return librosa.resample(np.asarray(waveform, np.float32), orig_sr=sr, target_sr=round(sr / rate))


def shift(waveform: np.ndarray, seconds: float, sr: int = SR) -> np.ndarray:
    """Later by so many seconds (earlier below 0), silence where nothing is left; same shape, float32."""
    k = int(np.clip(round(seconds * sr), -len(waveform), len(waveform)))
    moved = np.zeros(len(waveform), np.float32)
    moved[max(k, 0) : len(waveform) + min(k, 0)] = waveform[max(-k, 0) : len(waveform) - max(k, 0)]
    return moved


def formants(waveform: np.ndarray, ratio: float, sr: int = SR) -> np.ndarray:
    """Formants at so many times their frequencies, pitch and length as they were: as from a shorter vocal tract.

    The envelope of each frame's spectrum, its logarithm smoothed by keeping the cepstrum below 2 ms, is stretched along
    frequency; what remains of the spectrum, the harmonics, stays.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    ratio : float
        Above 1: higher.
    sr : int

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        At its old level.

    References
    ----------
    Röbel, A. and Rodet, X. (2005). Efficient spectral envelope estimation and its application to pitch shifting and
    envelope preservation. Proc. DAFx, 30-35.
    """
    n_fft = 1024
    signal = np.asarray(waveform, np.float64)
    stft = librosa.stft(signal, n_fft=n_fft, hop_length=n_fft // 4)
    log = np.log(np.maximum(np.abs(stft), 1e-8))
    cepstrum = np.fft.irfft(log, axis=0)
    cepstrum[round(ENVELOPE * sr) : n_fft - round(ENVELOPE * sr) + 1] = 0
    envelope = np.fft.rfft(cepstrum, axis=0).real
    bins = np.arange(len(envelope))
    whence = np.minimum(bins / ratio, bins[-1])
    low = np.minimum(whence.astype(int), bins[-1] - 1)
    part = (whence - low)[:, None]
    moved = envelope[low] * (1 - part) + envelope[low + 1] * part
    made = librosa.istft(stft * np.exp(moved - envelope), n_fft=n_fft, hop_length=n_fft // 4, length=len(signal))
    return (made * np.sqrt(np.mean(signal**2) / max(np.mean(made**2), 1e-20))).astype(np.float32)


ENVELOPE = 0.002  # seconds of the cepstrum that are envelope: voices up to 500 Hz repeat more slowly than that

#: Name -> change of a waveform by an amount, and the range that amounts are drawn from.
WAVEFORM: dict[str, tuple[Callable[[np.ndarray, float, np.random.Generator, int], np.ndarray], tuple[float, float]]] = {
    "noise": (lambda w, amount, rng, sr: noise(w, amount, rng), (5, 20)),  # dB
    "gain": (lambda w, amount, rng, sr: gain(w, amount), (-10, 10)),  # dB
    "stretch": (lambda w, amount, rng, sr: stretch(w, amount), (0.85, 1.15)),
    "pitch": (lambda w, amount, rng, sr: pitch(w, amount, sr), (-2, 2)),  # semitones
    "speed": (lambda w, amount, rng, sr: speed(w, amount, sr), (0.9, 1.1)),
    "formants": (lambda w, amount, rng, sr: formants(w, amount, sr), (0.9, 1.1)),
    "shift": (lambda w, amount, rng, sr: shift(w, amount, sr), (-0.1, 0.1)),  # seconds
    "reverberation": (lambda w, amount, rng, sr: reverberate(w, amount, rng, sr), (0.2, 0.8)),  # seconds
}


def changed(
    waveform: np.ndarray, name: str, amounts: tuple[float, float] | None = None, *, seed: int = 0, sr: int = SR
) -> np.ndarray:
    """One change of `WAVEFORM` by an amount drawn evenly from a range; a recording's is always the same under a seed.

    Parameters
    ----------
    waveform : ndarray, shape (n_samples,)
    name : str
        A key of `WAVEFORM`.
    amounts : tuple of float, optional
        Lowest and highest; by default the range that stands there.
    seed : int
        With the samples themselves it seeds the draw, so that the table that a clip stands in does not matter.
    sr : int

    Returns
    -------
    ndarray of float32

    Raises
    ------
    ValueError
        Unknown name.
    """
    if name not in WAVEFORM:
        raise ValueError(f"unknown change {name!r} of waveforms; known: {', '.join(WAVEFORM)}")
    change, usual = WAVEFORM[name]
    digest = hashlib.sha256(np.ascontiguousarray(waveform, np.float32).tobytes()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    return change(waveform, rng.uniform(*(amounts or usual)), rng, sr)


def changed_all(
    utterances: pd.DataFrame,
    wanted: FeatureSet,
    name: str,
    amounts: tuple[float, float] | None = None,
    *,
    seed: int = 0,
    n_jobs: int | None = None,
) -> list[np.ndarray]:
    """`serlib.features.extract_all` of a `changed` copy of each recording, computed once and then read from the cache.

    Parameters
    ----------
    utterances : DataFrame
        Columns path and sha256.
    wanted : FeatureSet
    name, amounts, seed
        See `changed`.
    n_jobs : int, optional
        See `serlib.cache.fill`.

    Returns
    -------
    list of ndarray of float32, shape (len(wanted.rows), n_frames)
        In the table's order.

    Warns
    -----
    UserWarning
        The cache cannot be written to; features are then computed anew each time.
    """
    between = amounts or WAVEFORM.get(name, (None, (0, 0)))[1]
    settings = {"version": CHANGES, "change": name, "amounts": between, "seed": seed, "librosa": version("librosa")}
    compute = functools.partial(_changed_file, wanted=wanted, name=name, amounts=between, seed=seed)
    kind = f"{'+'.join(wanted.names)}_{name}"
    try:
        kept = cache.fill(utterances, kind, settings | wanted.settings, compute, n_jobs=n_jobs)
        return [cache.read(path) for path in kept]
    except cache.CacheError as error:
        warnings.warn(f"{error}; features are computed and not kept", stacklevel=2)
        return cache.compute_all(utterances, compute, n_jobs=n_jobs)


CHANGES = 1  # version of the above, to be raised when their numbers change


def _changed_file(path: Path, wanted: FeatureSet, name: str, amounts: tuple[float, float], seed: int) -> np.ndarray:
    waveform = load(path, round(wanted.frames.sr / wanted.speed))
    return extract(changed(waveform, name, amounts, seed=seed, sr=wanted.frames.sr), wanted)


# Of log-mel images, shape (..., n_frames, n_mels) ---------------------------------------------------------------------


def specaugment(
    images: np.ndarray,
    rng: np.random.Generator,
    *,
    n_bands: int = 2,
    n_times: int = 2,
    most_bands: int = 8,
    most_frames: int = 16,
) -> np.ndarray:
    """With bands of frequency and stretches of time masked by the image's mean.

    Time warping, the third change of the paper and by its own tables the least useful, is left out. Its widths are for
    longer utterances and 80 bands; these are about an eighth of an image of 128 frames and 64 bands.

    Parameters
    ----------
    images : ndarray, shape (n_images, n_frames, n_mels)
    rng : Generator
    n_bands, n_times : int
        Masks along frequency, and along time, of each image.
    most_bands, most_frames : int
        Greatest width of one; widths and places are drawn evenly, zero included.

    Returns
    -------
    ndarray, shape (n_images, n_frames, n_mels)

    References
    ----------
    Park, D. S. et al. (2019). SpecAugment: a simple data augmentation method for automatic speech recognition. Proc.
    Interspeech. https://doi.org/10.21437/Interspeech.2019-2680
    """
    n_images, n_frames, n_mels = images.shape
    masked = np.zeros(images.shape, bool)
    for size, most, n, axis in ((n_mels, most_bands, n_bands, 2), (n_frames, most_frames, n_times, 1)):
        for _ in range(n):
            width = rng.integers(0, min(most, size), size=n_images, endpoint=True)
            start = rng.integers(0, size - width, endpoint=True)
            place = np.arange(size)
            hidden = (place >= start[:, None]) & (place < (start + width)[:, None])
            masked |= np.expand_dims(hidden, 3 - axis)
    return np.where(masked, images.mean(axis=(1, 2), keepdims=True), images).astype(images.dtype)


def mel_warp(images: np.ndarray, alpha: float | np.ndarray, *, sr: int = SR, highest: float = 4800.0) -> np.ndarray:
    """With the mel axis warped as a vocal tract of another length would: vocal-tract length perturbation.

    A frequency f moves to alpha f; above `highest` (which the formants that matter stay below) the warp bends so that
    half the sampling rate stays in place. The paper warps the mel filters; here the finished bands are interpolated in
    dB, which needs no waveform.

    Parameters
    ----------
    images : ndarray, shape (n_images, n_frames, n_mels)
        Log-mel images as `serlib.features.images` gives them.
    alpha : float or ndarray, shape (n_images,)
        Above 1: upwards, as from a shorter tract; the paper draws from 0.9 to 1.1.
    sr : int
    highest : float
        Hz.

    Returns
    -------
    ndarray, shape (n_images, n_frames, n_mels)

    References
    ----------
    Jaitly, N. and Hinton, G. E. (2013). Vocal tract length perturbation (VTLP) improves speech recognition. ICML
    Workshop on Deep Learning for Audio, Speech and Language.
    """
    n_mels = images.shape[-1]
    hertz = librosa.mel_frequencies(n_mels + 2, fmax=sr / 2)[1:-1]
    position = np.empty((len(images), n_mels))
    for row, a in zip(position, np.broadcast_to(alpha, len(images)), strict=True):
        knee = highest * min(a, 1) / a  # in the old image
        whence = np.interp(hertz, [0, a * knee, sr / 2], [0, knee, sr / 2])
        row[:] = np.interp(whence, hertz, np.arange(n_mels))
    low = np.minimum(position.astype(int), n_mels - 2)
    part = (position - low)[:, None]
    below, above = (np.take_along_axis(images, k[:, None], axis=2) for k in (low, low + 1))
    return (below * (1 - part) + above * part).astype(images.dtype)


def shift_image(images: np.ndarray, frames: int | np.ndarray, bands: int | np.ndarray = 0) -> np.ndarray:
    """Later by so many frames and higher by so many mel bands, the image's lowest value where nothing is left.

    Parameters
    ----------
    images : ndarray, shape (n_images, n_frames, n_mels)
    frames, bands : int or ndarray of int, shape (n_images,)

    Returns
    -------
    ndarray, shape (n_images, n_frames, n_mels)
    """
    n_images, n_frames, n_mels = images.shape
    time, mel = (
        np.arange(size) - np.broadcast_to(by, n_images)[:, None] for size, by in ((n_frames, frames), (n_mels, bands))
    )
    inside = ((time >= 0) & (time < n_frames))[:, :, None] & ((mel >= 0) & (mel < n_mels))[:, None]
    rows = np.arange(n_images)[:, None, None]
    moved = images[rows, np.clip(time, 0, n_frames - 1)[:, :, None], np.clip(mel, 0, n_mels - 1)[:, None]]
    return np.where(inside, moved, images.min(axis=(1, 2), keepdims=True)).astype(images.dtype)


# Of batches and of rows -----------------------------------------------------------------------------------------------


def mixup(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, alpha: float = 0.2) -> tuple[np.ndarray, ...]:
    """Each row mixed with another of the batch, labels too: lambda of the one, 1 - lambda of the other.

    Parameters
    ----------
    x : ndarray, shape (n, ...)
    y : ndarray, shape (n, n_classes)
        One-hot labels.
    rng : Generator
    alpha : float
        Lambda is drawn from Beta(alpha, alpha) for every row; the smaller, the nearer to one of the two.

    Returns
    -------
    x, y : ndarray
        Same shapes.

    References
    ----------
    Zhang, H. et al. (2018). mixup: beyond empirical risk minimization. Proc. ICLR.
    """
    other, share = rng.permutation(len(x)), rng.beta(alpha, alpha, size=len(x))
    of_x, of_y = (share.reshape(-1, *[1] * (array.ndim - 1)) for array in (x, y))
    mixed = of_x * x + (1 - of_x) * x[other]
    return mixed.astype(x.dtype), (of_y * y + (1 - of_y) * y[other]).astype(y.dtype)


def hard(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Soft labels as weighted hard ones, for a loss that takes only these: cross-entropy is linear in the label.

    Parameters
    ----------
    x : ndarray, shape (n, ...)
    y : ndarray, shape (n, n_classes)

    Returns
    -------
    x : ndarray, shape (m, ...)
        A row once for each class that it has a share of.
    y : ndarray of int, shape (m,)
    weight : ndarray of float32, shape (m,)
        Its share, times m / n: the weighted mean of the m losses is the mean of the n.
    """
    row, label = np.nonzero(y)
    return x[row], label, (y[row, label] * len(row) / len(y)).astype(np.float32)


def smote(
    x: np.ndarray, y: np.ndarray, wanted: Sequence[int] | np.ndarray, rng: np.random.Generator, *, k: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows between a row and one of its nearest neighbours of the same class: synthetic minority over-sampling.

    Neighbours are counted after each column was scaled to unit variance.

    Parameters
    ----------
    x : ndarray, shape (n, ...)
    y : ndarray of int, shape (n,)
    wanted : sequence of int
        New rows of each class, from 0 on; see `serlib.caemocygan.share_out`.
    rng : Generator
    k : int
        Neighbours to draw from; fewer where a class has fewer rows.

    Returns
    -------
    x : ndarray, shape (sum(wanted), ...)
    y : ndarray of int, shape (sum(wanted),)
    parents : ndarray of int, shape (sum(wanted), 2)
        The two rows of the given `x` that each lies between.

    Raises
    ------
    ValueError
        A class of which rows are wanted has fewer than two.

    References
    ----------
    Chawla, N. V. et al. (2002). SMOTE: synthetic minority over-sampling technique. JAIR 16, 321-357.
    """
    flat = x.reshape(len(x), -1)
    scaled = flat / np.maximum(flat.std(axis=0), 1e-12)
    parents = [np.empty((0, 2), int)]
    for label, n in enumerate(wanted):
        rows = np.flatnonzero(y == label)
        if n and len(rows) < 2:
            raise ValueError(f"class {label} has {len(rows)} rows; SMOTE interpolates between two or more")
        if n:
            near = NearestNeighbors(n_neighbors=min(k, len(rows) - 1)).fit(scaled[rows])
            neighbours = near.kneighbors(return_distance=False)  # of the rows themselves, without each itself
            base = caemocygan.drawn(len(rows), n, rng)
            other = neighbours[base, rng.integers(neighbours.shape[1], size=n)]
            parents.append(np.stack([rows[base], rows[other]], axis=1))
    pairs = np.concatenate(parents)
    share = rng.uniform(size=len(pairs)).reshape(-1, *[1] * (x.ndim - 1))
    made = x[pairs[:, 0]] * (1 - share) + x[pairs[:, 1]] * share
    return made.astype(x.dtype), y[pairs[:, 0]], pairs


# Training sets --------------------------------------------------------------------------------------------------------

Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, ...]]

#: Method -> what it makes of a batch (x, y), anew every time that the batch is asked for.
BATCHES: dict[str, Change] = {
    "specaugment": lambda x, y, rng: (specaugment(x, rng), y),
    "mel_warp": lambda x, y, rng: (mel_warp(x, rng.uniform(0.9, 1.1, len(x))), y),
    "image_shift": lambda x, y, rng: (
        shift_image(x, rng.integers(-8, 9, len(x)), rng.integers(-2, 3, len(x))),
        y,
    ),
    "mixup": lambda x, y, rng: hard(*mixup(x, np.eye(y.max() + 1, dtype=np.float32)[y], rng)),
}
METHODS = ("none", *WAVEFORM, *BATCHES, "smote", "caemocygan")
IMAGES_ONLY = ("specaugment", "mel_warp", "image_shift")


def batches(
    x: np.ndarray,
    y: np.ndarray,
    *,
    batch_size: int = 32,
    seed: int = 0,
    change: Change | None = None,
    n_rows: int | None = None,
) -> keras.utils.PyDataset:
    """A dataset for `serlib.training.fit` whose rows are in another order, and changed anew, every epoch.

    Parameters
    ----------
    x : ndarray, shape (n, ...)
    y : ndarray of int, shape (n,)
    batch_size : int
    seed : int
        With the epoch and the number of the batch it seeds every draw.
    change : callable, optional
        (x, y, Generator) -> (x, y) or (x, y, weight) of one batch; see `BATCHES`.
    n_rows : int, optional
        Rows in an epoch, drawn anew each time; all of them by default.

    Returns
    -------
    keras.utils.PyDataset
    """
    import keras

    n = min(n_rows or len(x), len(x))

    class Batches(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return -(-n // batch_size)

        def __getitem__(self, k):
            order = np.random.default_rng([seed, self.epoch]).permutation(len(x))[:n]
            rows = order[k * batch_size : (k + 1) * batch_size]
            if change is None:
                return x[rows], y[rows]
            return change(x[rows], y[rows], np.random.default_rng([seed, self.epoch, k + 1]))

        def on_epoch_end(self):
            self.epoch += 1

    return Batches()


@dataclass(frozen=True)
class TrainingSet:
    """What a method makes of the training rows of a fold.

    Attributes
    ----------
    batches : keras.utils.PyDataset
        For `serlib.training.fit`. An epoch has as many rows as were given, whatever the method: budgets are equal.
    x : ndarray, shape (n, ...)
    y : ndarray of int, shape (n,)
        The rows given, then those made, if the method makes any.
    made : DataFrame
        The table's rows of those made, with ``parent`` (and ``neighbour``, the second one, for SMOTE), for `appended`.
    history : DataFrame
        Learning curves of the network that made them; empty where there was none.
    """

    batches: keras.utils.PyDataset
    x: np.ndarray
    y: np.ndarray
    made: pd.DataFrame
    history: pd.DataFrame


def training_set(
    method: str,
    x: np.ndarray,
    y: np.ndarray,
    clips: pd.DataFrame,
    classes: Sequence[str],
    *,
    copied: np.ndarray | None = None,
    n: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    **options: Any,
) -> TrainingSet:
    """The augmented training set of one fold, by the name of a method.

    ===============================  =================================================================================
    none                             the rows as they are
    a key of `WAVEFORM`              a changed copy of each recording beside it, given as `copied`
    specaugment, mel_warp,           each batch changed anew, see the functions of these names
    image_shift, mixup
    smote                            `n` rows between rows of a class
    caemocygan                       `n` rows transferred from one emotion to another, see `serlib.caemocygan`
    ===============================  =================================================================================

    Parameters
    ----------
    method : str
        One of `METHODS`.
    x : ndarray, shape (n_clips, n_frames, n_mels) or (n_clips, n_features)
        Training rows of a fold and nothing else.
    y : ndarray of int, shape (n_clips,)
    clips : DataFrame
        The same rows of the utterance table.
    classes : sequence of str
        What the values of y stand for.
    copied : ndarray, shape of `x`, optional
        Features of changed copies of the same recordings, see `changed_all`.
    n : int, optional
        Rows to make, of the rarest classes first (`serlib.caemocygan.share_out`); by default as many as are given.
    batch_size, seed : int
    options
        Of `smote` or `serlib.caemocygan.synthesise`.

    Returns
    -------
    TrainingSet

    Raises
    ------
    ValueError
        Unknown method, rows that do not fit each other or the method, or `copied` missing.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if not len(x) == len(y) == len(clips):
        raise ValueError(f"{len(x)} rows of x, {len(y)} of y and {len(clips)} clips do not belong together")
    if method in IMAGES_ONLY and x.ndim != 3:
        raise ValueError(f"{method} changes images of shape (n_frames, n_mels); these rows have shape {x.shape[1:]}")
    wanted = caemocygan.share_out(np.bincount(y, minlength=len(classes)), len(x) if n is None else n)
    made, history = _rows(clips, [], method, []), pd.DataFrame()
    x_made, y_made = x[:0], y[:0]
    if method in WAVEFORM:
        if copied is None or copied.shape != x.shape:
            raise ValueError(f"{method} needs `copied`, features of changed clips in x's shape; changed_all makes them")
        x_made, y_made = copied, y
        made = _rows(clips, np.arange(len(clips)), method, clips.emotion)
    elif method == "smote":
        x_made, y_made, pairs = smote(x, y, wanted, np.random.default_rng(seed), **options)
        made = _rows(clips, pairs[:, 0], method, [classes[k] for k in y_made])
        made["neighbour"] = clips.utterance.to_numpy()[pairs[:, 1]]
    elif method == "caemocygan":
        corpus = clips.corpus.to_numpy() if "corpus" in clips else None
        of = caemocygan.synthesise(x, y, np.arange(len(x)), n=wanted, corpus=corpus, seed=seed, **options)
        x_made, y_made, history = of.x, of.y, of.history
        made = _rows(clips, of.parent, method, [classes[k] for k in y_made])
    both = np.concatenate([x, x_made]), np.concatenate([y, y_made])
    dataset = batches(*both, batch_size=batch_size, seed=seed, change=BATCHES.get(method), n_rows=len(x))
    return TrainingSet(dataset, *both, made, history)


def _rows(
    clips: pd.DataFrame, parents: Sequence[int] | np.ndarray, method: str, emotions: Sequence[str]
) -> pd.DataFrame:
    """Rows of the table for what is made of clips at these positions, each of a name of its own."""
    rows = clips.iloc[parents].reset_index(drop=True)
    told = f"@{method}=" + pd.Series(np.arange(len(rows)), dtype=int).astype(str)
    changes = {"utterance": rows.utterance + told, "parent": rows.utterance, "augmented": True}
    return rows.assign(**changes, emotion=list(emotions))


def appended(
    utterances: pd.DataFrame, split: splits.Split, made: pd.DataFrame, protocol: str
) -> tuple[pd.DataFrame, splits.Split]:
    """A table and its split with the rows that a method made, which train; refuses any that descends from other clips.

    Parameters
    ----------
    utterances : DataFrame
    split : Split
    made : DataFrame
        See `TrainingSet`.
    protocol : str

    Returns
    -------
    DataFrame, Split
        For `serlib.records.membership`.

    Raises
    ------
    LeakError
        A row descends from a clip that does not train, or `serlib.splits.check` finds that it does.
    """
    ancestors = set(made.parent) | set(made.get("neighbour", []))
    if strangers := sorted(ancestors - set(utterances.utterance.iloc[split.train])):
        told = f"rows descend from clips that do not train, such as {', '.join(strangers[:3])}"
        raise splits.LeakError(f"fold {split.fold} of {protocol}: {told}")
    table = pd.concat([utterances, made], ignore_index=True)
    whole = replace(split, train=np.concatenate([split.train, np.arange(len(utterances), len(table))]))
    splits.check(table, whole, protocol)
    return table, whole
