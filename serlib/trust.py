"""How far the answers of a run may be trusted: calibration on validation clips, and what is kept back.

Nothing here has seen a test clip. The reference of what a network has learned from is made of its training and
validation clips; limits come from voices that are left out of it in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from serlib import features
from serlib.features import FeatureSet

UNSURE, FAR = 0.02, 0.01  # shares of held-out speech that the limits of confidence and of distance keep back
# Chosen on RAVDESS and on the four corpora, where each test voice has several others to be measured against: with them
# hardly a voice has fewer than nine clips in ten answered (tests/test_trust.py). Checked on mini, in notebook 17.
N_COMPONENTS = 16
MOST_CLIPS = 600  # that a reference is made of
RANGE = 40.0  # dB below the loudest frame: what sounds
FRAMES = FeatureSet(("log_mel",), n_mels=40)  # of the description, whatever a network is fed


def temperature(p: np.ndarray, truth: np.ndarray) -> float:
    """The temperature that makes probabilities fit best to what was true: they become softmax(log p / T).

    Parameters
    ----------
    p : ndarray, shape (n_clips, n_classes)
    truth : ndarray of int, shape (n_clips,)

    Returns
    -------
    float
        From 1, the network's own probabilities, to 10. Where validation clips were all named rightly, surer ones would
        fit better still, and are not given.

    References
    ----------
    Guo, C. et al. (2017). On calibration of modern neural networks. Proc. ICML.
    """
    from scipy.optimize import minimize_scalar

    chosen = np.arange(len(truth)), truth

    def loss(log_t: float) -> float:
        return -float(np.mean(np.log(cooled(p, np.exp(log_t))[chosen] + 1e-12)))

    return float(np.exp(minimize_scalar(loss, bounds=(0.0, np.log(10)), method="bounded").x))


def cooled(p: np.ndarray, t: float) -> np.ndarray:
    """Probabilities at a temperature, same shape; see `temperature`."""
    z = np.log(np.maximum(p, 1e-7)) / t
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def threshold(p: np.ndarray) -> float:
    """Least probability of an answer that is given: what `UNSURE` of these clips stay below, but never above one half.

    Parameters
    ----------
    p : ndarray, shape (n_clips, n_classes)
        Calibrated probabilities of validation clips.
    """
    return min(0.5, float(np.quantile(p.max(axis=1), UNSURE)))


def describe(waveforms: Sequence[np.ndarray]) -> np.ndarray:
    """What a recording is like, whoever speaks and however loud: shape (n_recordings, 3 n_mels).

    Of the frames that sound, mean, spread and mean change from frame to frame of each mel band, in dB relative to the
    loudest place.

    Parameters
    ----------
    waveforms : sequence of ndarray
        At 16 kHz.
    """
    rows = []
    for waveform in waveforms:
        image = features.extract(np.pad(waveform, (0, max(0, 2048 - len(waveform)))), FRAMES).T
        level = image.max(axis=1)
        sounding = image[level > level.max() - RANGE]
        sounding = np.maximum(sounding - sounding.max(), -60)
        change = np.abs(np.diff(sounding, axis=0)).mean(axis=0) if len(sounding) > 1 else np.zeros(image.shape[1])
        rows.append(np.concatenate([sounding.mean(axis=0), sounding.std(axis=0), change]))
    return np.array(rows)


def no_speech(n: int, seed: int = 0, sr: int = 16_000) -> list[np.ndarray]:
    """Made-up sounds that are no speech: coloured and gated noise, steady, gliding and beating tones, plucked notes.

    What is taught by examples what it is *not* refuses the unknown better (outlier exposure, Hendrycks et al. 2019).

    Parameters
    ----------
    n : int
    seed : int
    sr : int

    Returns
    -------
    list of ndarray of float32
        1 to 4 s each.
    """
    rng = np.random.default_rng(seed)
    sounds = []
    for k in range(n):
        t = np.arange(int(sr * rng.uniform(1, 4))) / sr
        if k % 3 == 0:
            spectrum = np.fft.rfft(rng.standard_normal(len(t)))
            spectrum *= np.maximum(np.arange(len(spectrum)), rng.integers(1, 50)) ** -rng.uniform(0, 1.5)
            sound = np.fft.irfft(spectrum, len(t))
            if rng.random() < 0.3:
                sound *= np.sin(2 * np.pi * rng.uniform(0.5, 12) * t) > rng.uniform(-0.9, 0.5)
        elif k % 3 == 1:
            f = rng.uniform(60, 3000) * 2 ** (rng.uniform(-1, 1) * t / t[-1])
            f *= 1 + rng.choice([0, 0.02]) * np.sin(2 * np.pi * rng.uniform(3, 7) * t)
            phase = 2 * np.pi * np.cumsum(f) / sr
            sound = sum(np.sin(h * phase) * h ** -rng.uniform(0.5, 2) for h in range(1, rng.integers(2, 12)))
            sound = sound * (1 + rng.choice([0, 0.9]) * np.sin(2 * np.pi * rng.uniform(0.5, 8) * t))
        else:
            sound = np.zeros(len(t))
            for start in np.arange(0, t[-1], rng.uniform(0.1, 0.6)):
                for _ in range(rng.integers(1, 4)):
                    f, after = 110 * 2 ** (rng.integers(0, 36) / 12), np.maximum(t - start, 0)
                    note = sum(np.sin(2 * np.pi * f * h * after) / h for h in range(1, rng.integers(2, 9)))
                    sound += note * np.exp(-after * rng.uniform(1, 10)) * (t >= start)
        sound = sound + 10 ** rng.uniform(-6, -2) * rng.standard_normal(len(t))
        sounds.append((sound / np.abs(sound).max() * 10 ** rng.uniform(-2, -0.1)).astype(np.float32))
    return sounds


@dataclass(frozen=True)
class Trust:
    """Limits of a run, and the reference that they count from.

    Attributes
    ----------
    temperature : float
        See `temperature`.
    threshold : float
        See `threshold`.
    mean, scale : ndarray, shape (n,)
        Of the descriptions of training and validation clips.
    components : ndarray, shape (n_components, n)
        Principal directions, scaled to unit variance along each.
    residual : ndarray, shape (n_components, n)
        The same directions, of unit length.
    limits : ndarray, shape (2,)
        Greatest distance along and beside these directions, root of the mean square.
    weights : ndarray, shape (n + 1,)
        Of a logistic regression that tells such clips from `no_speech`; the last is its intercept.
    voices : int
        Speakers that the limits were measured on by leaving each out; 1: no other voice was there to measure with.
    """

    temperature: float
    threshold: float
    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    residual: np.ndarray
    limits: np.ndarray
    weights: np.ndarray
    voices: int

    def distance(self, description: np.ndarray) -> np.ndarray:
        """How far descriptions lie from those of the training clips, in units of the limits; shape (n,)."""
        return np.max(_parts(self, description) / self.limits, axis=1)

    def speech_score(self, description: np.ndarray) -> np.ndarray:
        """Log-odds that descriptions are of speech and not of `no_speech`; shape (n,)."""
        return ((description - self.mean) / self.scale) @ self.weights[:-1] + self.weights[-1]

    def save(self, path: Path) -> None:
        """Write as ``.npz``."""
        np.savez_compressed(path, **asdict(self))

    @staticmethod
    def load(path: Path) -> Trust:
        """Read what `save` wrote."""
        with np.load(path) as kept:
            values = {f.name: kept[f.name] for f in fields(Trust)}
        return Trust(**{name: value if value.ndim else value.item() for name, value in values.items()})


def fit(
    p: np.ndarray, truth: np.ndarray, waveforms: Sequence[np.ndarray], speakers: Sequence[str], *, seed: int = 0
) -> Trust:
    """Limits from validation answers and from the clips that a network has learned from.

    Parameters
    ----------
    p : ndarray, shape (n_validation, n_classes)
        Probabilities of validation clips.
    truth : ndarray of int, shape (n_validation,)
    waveforms : sequence of ndarray
        Of training and validation clips, at 16 kHz.
    speakers : sequence of str
        Who speaks in each.
    seed : int
    """
    t = temperature(p, truth)
    described, negatives = describe(waveforms), describe(no_speech(len(waveforms) // 2 + 50, seed))
    voices = pd.Series(speakers).to_numpy()
    n_voices = len(set(voices))
    groups = voices if n_voices > 1 else np.arange(len(voices)) % 5
    held_out = []
    for group in sorted(set(groups)):
        out = groups == group
        reference = _reference(described[~out], negatives[::2], np.ones(2), seed)
        held_out.append(_parts(reference, described[out]))
    limits = np.quantile(np.concatenate(held_out), 1 - FAR, axis=0)
    whole = _reference(described, negatives, limits, seed)
    return Trust(
        **asdict(whole)
        | {
            "temperature": t,
            "threshold": threshold(cooled(p, t)),
            "voices": n_voices,
        }
    )


def _reference(described: np.ndarray, negatives: np.ndarray, limits: np.ndarray, seed: int) -> Trust:
    from sklearn.decomposition import PCA  # takes a second, which a run whose limits are known does without
    from sklearn.linear_model import LogisticRegression

    mean, scale = described.mean(axis=0), described.std(axis=0) + 1e-6
    z = (described - mean) / scale
    directions = PCA(min(N_COMPONENTS, *z.shape), random_state=seed).fit(z)
    sound = np.concatenate([z, (negatives - mean) / scale])
    told = np.repeat([1, 0], [len(z), len(negatives)])
    line = LogisticRegression(C=0.01, max_iter=1000, class_weight="balanced").fit(sound, told)
    scaled = directions.components_ / np.sqrt(directions.explained_variance_ + 1e-9)[:, None]
    weights = np.append(line.coef_[0], line.intercept_)
    return Trust(1.0, 0.0, mean, scale, scaled, directions.components_, limits, weights, 1)


def _parts(reference: Trust, described: np.ndarray) -> np.ndarray:
    """Distance along and beside the principal directions, shape (n, 2)."""
    z = (described - reference.mean) / reference.scale
    beside = z - (z @ reference.residual.T) @ reference.residual
    return np.stack([np.sqrt(np.mean(part**2, axis=1)) for part in (z @ reference.components.T, beside)], axis=1)
