"""The embedded corpus ``mini``: emotional words from a source-filter synthesiser, with the place of every cue known.

A train of Rosenberg glottal pulses [5]_ and aspiration noise run through a cascade of time-varying formant resonators,
frication noise is added beside it, as in Klatt's synthesiser [4]_. An emotion moves the cues of `CUES` away from the
speaker's neutral voice, in the directions listed by Scherer [1]_, Banse and Scherer [2]_ and Juslin and Laukka [3]_;
the sizes in `EFFECTS` are ours, chosen so that the classes overlap. It is robot speech: good for learning methods and
for testing code, no evidence about people.

References
----------
.. [1] K. R. Scherer, "Vocal communication of emotion: a review of research paradigms", Speech Communication 40,
   227-256, 2003. doi:10.1016/S0167-6393(02)00084-5
.. [2] R. Banse and K. R. Scherer, "Acoustic profiles in vocal emotion expression", Journal of Personality and Social
   Psychology 70(3), 614-636, 1996. doi:10.1037/0022-3514.70.3.614
.. [3] P. N. Juslin and P. Laukka, "Communication of emotions in vocal expression and music performance: different
   channels, same code?", Psychological Bulletin 129(5), 770-814, 2003. doi:10.1037/0033-2909.129.5.770
.. [4] D. H. Klatt, "Software for a cascade/parallel formant synthesizer", Journal of the Acoustical Society of America
   67, 971-995, 1980. doi:10.1121/1.383940
.. [5] A. E. Rosenberg, "Effect of glottal pulse shape on the quality of natural vowels", Journal of the Acoustical
   Society of America 49, 583-590, 1971. doi:10.1121/1.1912389
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
from scipy.signal import butter, lfilter, sosfilt

VERSION = 1  # raise when the sound changes
SR = 16_000  # Hz
BLOCK = 80  # samples (5 ms): formants and amplitudes are constant within one

# What an emotion does to the neutral voice. `rise` is the pitch movement over the last half of the word.
CUES = ("pitch", "range", "rise", "tempo", "loudness", "tilt", "jitter", "breath")
EFFECTS = {  # semitones, ratio, semitones, ratio, dB, dB/octave above 500 Hz, % of the period, dB of aspiration
    "anger": (3.0, 1.4, -3.0, 1.15, 10.0, 6.0, 1.2, -2.0),
    "disgust": (-2.0, 0.7, -2.0, 0.75, 0.0, 2.5, 3.5, 0.0),
    "fear": (6.0, 0.5, 0.0, 1.30, -1.0, 1.0, 1.6, 13.0),
    "happiness": (6.0, 2.0, 1.0, 1.10, 5.0, 2.0, 0.0, -3.0),
    "neutral": (0.0, 1.0, 0.0, 1.00, 0.0, 0.0, 0.0, 0.0),
    "sadness": (-3.0, 0.4, -1.0, 0.75, -8.0, -4.0, 0.4, 8.0),
    "surprise": (6.0, 2.0, 11.0, 0.90, 3.0, -2.0, 0.0, 6.0),
}
SPREAD = (0.4, 1.10, 0.5, 1.04, 0.5, 0.25, 0.2, 0.5)  # standard deviation between clips, same units
NOTICEABLE = {"pitch": 1.0, "tempo": 0.1, "loudness": 2.0, "tilt": 1.0, "jitter": 0.5, "breath": 3.0}  # smallest box
EMOTIONS = tuple(EFFECTS)


class Speaker(NamedTuple):
    """A voice and its habits; `weights` scale the cues of `CUES`, `strengths` the emotions of `EMOTIONS`."""

    gender: str
    pitch: float  # Hz
    formants: float  # ratio to the (male) formant tables: the inverse of vocal-tract length
    tempo: float  # ratio
    loudness: float  # dB
    tilt: float  # dB/octave
    breath: float  # dB
    weights: tuple[float, ...]
    strengths: tuple[float, ...]


# As in life, no two speakers show an emotion in quite the same way.
# fmt: off
SPEAKERS = {
    #             gender   pitch  formants tempo loudness tilt breath
    "F1": Speaker("female", 200.0, 1.14, 1.00, 0.0, 0.0, 1.0,
                  weights=(1.15, 1.1, 1.0, 0.9, 0.9, 0.9, 0.9, 1.0), strengths=(1.0, 1.0, 0.9, 1.1, 1.0, 1.0, 1.0)),
    "F2": Speaker("female", 185.0, 1.10, 0.95, -2.0, -0.6, 0.0,
                  weights=(0.9, 0.9, 0.9, 1.1, 1.0, 1.1, 1.1, 0.9), strengths=(0.9, 1.1, 1.0, 0.9, 1.0, 1.0, 0.9)),
    "M1": Speaker("male", 122.0, 1.02, 1.03, 1.5, 0.6, -1.0,
                  weights=(1.0, 0.9, 1.1, 1.0, 1.1, 1.0, 1.0, 1.0), strengths=(1.1, 0.9, 0.9, 1.0, 1.0, 0.9, 1.1)),
    "M2": Speaker("male", 110.0, 0.98, 0.97, -1.0, 0.0, 0.0,
                  weights=(0.9, 1.1, 1.0, 1.0, 0.9, 1.0, 1.0, 1.1), strengths=(1.0, 1.0, 1.1, 1.1, 1.0, 1.1, 0.9)),
}
# fmt: on


class Phone(NamedTuple):
    """Targets of one phone: formants and noise band in Hz, duration in s, amplitudes relative to a vowel."""

    duration: float
    formants: tuple[float, float, float]
    voice: float = 1.0
    noise: float = 0.0
    band: tuple[float, float] = (2000.0, 6000.0)
    burst: bool = False  # a stop: silence, then a burst at the end


PHONES = {
    **{
        vowel: Phone(0.26, formants)
        for vowel, formants in {
            "i": (280, 2250, 2900), "I": (400, 1950, 2550), "e": (430, 2050, 2600), "E": (550, 1800, 2500),
            "a": (720, 1250, 2500), "A": (670, 1650, 2450), "O": (580, 900, 2450), "o": (460, 950, 2350),
            "u": (310, 900, 2250), "V": (620, 1200, 2450),
        }.items()
    },
    "m": Phone(0.09, (250, 1000, 2200), 0.35), "n": Phone(0.09, (250, 1500, 2500), 0.35),
    "l": Phone(0.08, (340, 1100, 2700), 0.5), "r": Phone(0.08, (330, 1150, 1550), 0.5),
    "v": Phone(0.08, (250, 1100, 2200), 0.3, 0.03, (1500, 7000)),
    "f": Phone(0.12, (340, 1100, 2200), 0, 0.06, (1500, 7500)),
    "T": Phone(0.12, (340, 1350, 2500), 0, 0.05, (2500, 7500)),
    "s": Phone(0.13, (320, 1450, 2550), 0, 0.2, (4000, 7500)),
    "S": Phone(0.13, (320, 1700, 2400), 0, 0.2, (2000, 6000)),
    "h": Phone(0.08, (500, 1400, 2500), 0, 0.06, (500, 4000)),
    "b": Phone(0.08, (220, 900, 2200), 0.12, 0.1, (400, 2500), True),
    "d": Phone(0.08, (220, 1650, 2650), 0.12, 0.15, (2500, 6000), True),
    "g": Phone(0.08, (220, 1900, 2300), 0.12, 0.15, (1200, 3500), True),
    "p": Phone(0.10, (300, 900, 2200), 0, 0.15, (400, 3000), True),
    "t": Phone(0.10, (300, 1650, 2650), 0, 0.25, (3000, 7000), True),
    "k": Phone(0.10, (300, 1900, 2300), 0, 0.25, (1200, 4000), True),
}  # fmt: skip
WORDS = {
    "bath": "bAT", "dog": "dOg", "home": "houm", "moon": "mun", "road": "roud", "name": "neIm", "food": "fud",
    "lease": "lis", "rain": "reIn", "shoot": "Sut", "good": "gId", "five": "faIv", "city": "sIti", "money": "mVni",
    "baby": "beIbi", "lady": "leIdi", "sofa": "soufV", "pony": "pouni", "body": "badi", "coffee": "kOfi",
}  # fmt: skip
VOWELS = frozenset("iIeEaAOouV")


class Cue(NamedTuple):
    """A box of the time-frequency plane in which an emotion moved a cue: s, s, Hz, Hz."""

    cue: str
    start: float
    end: float
    low: float
    high: float


@dataclass(frozen=True)
class Clip:
    """One utterance: `waveform` is (n_samples,) float32 in [-1, 1], on the 16-bit grid."""

    waveform: np.ndarray
    sr: int
    cues: tuple[Cue, ...]


def utterance(speaker: str, emotion: str, word: str, *, seed: int = 0) -> Clip:
    """Synthesise one clip; it depends on the arguments only, never on which clips were made before.

    Parameters
    ----------
    speaker, emotion, word : str
        Keys of `SPEAKERS`, `EMOTIONS` and `WORDS`.
    seed : int
        Another seed gives other takes of the same words by the same speakers.

    Returns
    -------
    Clip
        0.8 to 1.9 s at 16 kHz. `cues` holds the places where this take differs noticeably (`NOTICEABLE`) from the
        speaker's neutral voice; it is empty for neutral. See `_boxes` for how they are found.

    Raises
    ------
    ValueError
        Unknown speaker, emotion or word.
    """
    for name, value, allowed in (
        ("speaker", speaker, SPEAKERS), ("emotion", emotion, EMOTIONS), ("word", word, WORDS),
    ):  # fmt: skip
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r}; one of {', '.join(allowed)}")
    rng = _generator(speaker, emotion, word, seed)
    return _render(SPEAKERS[speaker], WORDS[word], emotion, _shifts(SPEAKERS[speaker], emotion, rng), rng)


def _generator(speaker: str, emotion: str, word: str, seed: int) -> np.random.Generator:
    """A stream of random numbers of this clip's own."""
    return np.random.default_rng([seed, *f"{speaker} {emotion} {word}".encode()])


def _shifts(voice: Speaker, emotion: str, rng: np.random.Generator) -> dict[str, float]:
    """How far this take moves each cue from the speaker's neutral voice; ratios as natural logarithms."""
    is_ratio = np.isin(CUES, ("range", "tempo"))
    effect, spread = (np.array(row) for row in (EFFECTS[emotion], SPREAD))
    effect, spread = np.where(is_ratio, np.log(np.where(is_ratio, [effect, spread], 1)), [effect, spread])
    strength = voice.strengths[EMOTIONS.index(emotion)] * rng.normal(1, 0.08)
    shift = effect * np.array(voice.weights) * strength + spread * rng.normal(size=len(CUES))
    return dict(zip(CUES, shift.tolist(), strict=True))


def _render(voice: Speaker, phones: str, emotion: str, shift: dict[str, float], rng: np.random.Generator) -> Clip:
    """Speech with the given `shift` of each cue; `rng` draws durations, noise and everything else that is no cue."""
    tempo = voice.tempo * np.exp(shift["tempo"])
    lead, tail = rng.uniform(0.20, 0.30, 2)
    # Vowels take up most of a change of tempo. A diphthong is two vowels in a row and a half longer than one.
    durations = np.array([
        PHONES[p].duration * rng.lognormal(0, 0.08) / (tempo if p in VOWELS else tempo**0.5)
        * (0.75 if p in VOWELS and any(q in VOWELS for q in phones[max(i - 1, 0) : i] + phones[i + 1 : i + 2]) else 1)
        * (1.3 if i == len(phones) - 1 else 1)  # the last phone is drawn out
        for i, p in enumerate(phones)
    ])  # fmt: skip
    edges = lead + np.concatenate([[0], np.cumsum(durations)])
    n_blocks = int(np.ceil((edges[-1] + tail) * SR / BLOCK))
    n = n_blocks * BLOCK
    seconds, block_seconds = np.arange(n) / SR, (np.arange(n_blocks) + 0.5) * BLOCK / SR

    # Formants: held over the middle of a phone, straight lines between; the upper four belong to the speaker.
    knots = np.ravel(np.column_stack([edges[:-1] + 0.35 * durations, edges[1:] - 0.35 * durations]))
    targets = np.repeat([PHONES[p].formants for p in phones], 2, axis=0)
    lower = np.column_stack([np.interp(block_seconds, knots, targets[:, k]) for k in range(3)])
    formants = voice.formants * np.column_stack([lower, np.tile([3450, 4450, 5450, 6450], (n_blocks, 1))])

    # Voicing: a step per phone, smoothed over 30 ms. Elsewhere only the room is heard.
    amplitude = np.zeros(n)
    for p, start, end in zip(phones, edges[:-1], edges[1:], strict=True):
        amplitude[int(start * SR) : int(end * SR)] = PHONES[p].voice
    window = np.hanning(482)[1:-1]
    amplitude = np.convolve(amplitude, window / window.sum(), mode="same")

    f0 = _pitch_contour(voice, phones, shift, edges, seconds, rng)
    # A stream of their own, since the number of pulses varies and must not move the draws that follow.
    pulses, is_open = _glottal_flow_derivative(f0, max(0.4 + shift["jitter"], 0.1) / 100, rng.spawn(1)[0])
    frequency = np.fft.rfftfreq(n, 1 / SR)
    octaves = np.log2(np.clip(frequency, 500, 4000) / 500)
    gain = 10 ** ((voice.tilt + shift["tilt"] - 2) * octaves / 20)
    pulses = np.fft.irfft(np.fft.rfft(pulses) * gain, n)
    breath = 10 ** ((voice.breath + shift["breath"] - 24) / 20)
    source = amplitude * (pulses + breath * (0.3 + 0.7 * is_open) * rng.normal(size=n))
    speech = _cascade(source, formants)
    for p, start, end in zip(phones, edges[:-1], edges[1:], strict=True):
        speech += _frication(PHONES[p], start, end, n, rng)

    # Loudness is the RMS of the speech; the room and the microphone are the same for all emotions of a speaker.
    speaking = amplitude > 0.5
    level = -33 + voice.loudness + shift["loudness"]
    speech *= 10 ** (level / 20) / np.sqrt(np.mean(speech[speaking] ** 2))
    room = lfilter([1], [1, -0.9], rng.normal(size=n)) * 10 ** (-75 / 20)
    waveform = speech + room
    waveform *= min(1, 0.98 / np.abs(waveform).max())  # a safeguard: the tables stay below it
    waveform = (np.round(waveform * 32767) / 32768).astype(np.float32)
    return Clip(waveform, SR, () if emotion == "neutral" else _boxes(phones, shift, edges, f0))


def _pitch_contour(voice, phones, shift, edges, seconds, rng):
    """F0 in Hz, (n,): a falling line, an accent on the first vowel and a final rise, on the speaker's pitch."""
    position = np.clip((seconds - edges[0]) / (edges[-1] - edges[0]), 0, 1)
    first = next(i for i, p in enumerate(phones) if p in VOWELS)
    accent = np.exp(-0.5 * ((seconds - edges[first : first + 2].mean()) / 0.08) ** 2)
    wander = np.interp(position, np.linspace(0, 1, 6), rng.normal(0, 0.3, 6))
    final = np.clip(2 * position - 1, 0, 1) ** 1.5
    melody = np.exp(shift["range"]) * (1.5 - 3 * position + 2 * accent) + wander
    return voice.pitch * 2 ** ((shift["pitch"] + melody + shift["rise"] * final) / 12)


def _glottal_flow_derivative(f0, jitter, rng):
    """Rosenberg pulses with jitter (and as much shimmer); returns the derivative of the flow, and where it flows."""
    cycles = np.cumsum(f0) / SR
    n_periods = int(cycles[-1]) + 2
    instants = np.interp(np.arange(n_periods), cycles, np.arange(len(f0)))
    instants += jitter * SR / f0[instants.astype(int)] * rng.normal(size=n_periods).clip(-2, 2)
    period = np.interp(np.arange(len(f0)), instants, np.arange(n_periods))
    phase, loudness = period % 1, 1 + 3 * jitter * rng.normal(size=n_periods + 1)
    opening, closing = 0.42, 0.18  # of the period; the rest is closed
    flow = np.where(
        phase < opening,
        0.5 * (1 - np.cos(np.pi * phase / opening)),
        np.cos(0.5 * np.pi * np.clip((phase - opening) / closing, 0, 1)),
    )
    # Sampling the flow and taking differences (lip radiation) aliases less than sampling its derivative.
    derivative = np.diff(flow * loudness[period.astype(int)], prepend=0)
    return derivative / np.sqrt(np.mean(derivative**2)), flow


def _cascade(source, formants):
    """Klatt's resonators in series, (n_blocks, n_formants) Hz; the state runs on from block to block."""
    bandwidths = 50 + 0.05 * formants
    c = -np.exp(-2 * np.pi * bandwidths / SR)
    b = 2 * np.exp(-np.pi * bandwidths / SR) * np.cos(2 * np.pi * formants / SR)
    zeros, ones = np.zeros_like(b), np.ones_like(b)
    sections = np.stack([1 - b - c, zeros, zeros, ones, -b, -c], axis=-1)
    last, before = np.zeros((2, formants.shape[1]))  # the two latest outputs of each resonator
    out = np.empty_like(source)
    for k, section in enumerate(sections):
        block = slice(k * BLOCK, (k + 1) * BLOCK)
        # Outputs are carried over, not SciPy's state: that one is scaled by the old coefficients, and would click.
        state = np.column_stack([b[k] * last + c[k] * before, c[k] * last])
        out[block], state = sosfilt(section, source[block], zi=state)
        last = state[:, 1] / c[k]
        before = (state[:, 0] - b[k] * last) / c[k]
    return out


def _frication(phone, start, end, n, rng):
    """Noise of a fricative over the phone, or of a stop in its last 25 ms, (n,)."""
    out = np.zeros(n)
    if phone.noise:
        first, last = int((end - 0.025 if phone.burst else start) * SR), int(end * SR)
        envelope = np.exp(-np.linspace(0, 3, last - first)) if phone.burst else np.hanning(last - first) ** 0.5
        out[first:last] = phone.noise * envelope * sosfilt(_band_pass(*phone.band), rng.normal(size=last - first))
    return out


@lru_cache
def _band_pass(low, high):
    return butter(2, (low, high), "bandpass", fs=SR, output="sos")


def _boxes(phones, shift, edges, f0):
    """Where this take's cues lie.

    Times are the synthesiser's own: voiced stretches (vowels, nasals, liquids, v), for loudness and tempo the vowels.
    Bands are where taking the cue away changes the spectrogram most, which a test repeats: pitch from below F0 to above
    its third harmonic; tilt 1.5-4 kHz, above the 500 Hz where it starts and below the noise of the room; breath
    2.5-6 kHz, where aspiration outweighs the harmonics; jitter from the eighth harmonic, as k times F0 moves k times as
    far. Loudness and tempo change the whole of a vowel: their boxes hold its first, or first three, formants.
    `range` and `rise` belong to the pitch box but do not make one.
    """
    boxes = []
    runs: list[list[float]] = []  # voiced stretches
    for i, p in enumerate(phones):
        if PHONES[p].voice < 0.3:
            continue
        if runs and runs[-1][1] == edges[i]:
            runs[-1][1] = edges[i + 1]
        else:
            runs.append([edges[i], edges[i + 1]])
    nuclei = [(edges[i], edges[i + 1]) for i, p in enumerate(phones) if p in VOWELS]
    for start, end in runs:
        part = f0[int(start * SR) : int(end * SR)]
        boxes += [
            Cue("pitch", start, end, 0.8 * part.min(), 3.5 * part.max()),
            Cue("jitter", start, end, 8 * part.mean(), 5000),
            Cue("tilt", start, end, 1500, 4000),
            Cue("breath", start, end, 2500, 6000),
        ]
    for start, end in nuclei:
        boxes += [Cue("loudness", start, end, 200, 1000), Cue("tempo", start, end, 200, 3000)]
    return tuple(box for box in boxes if abs(shift[box.cue]) >= NOTICEABLE[box.cue])


def write(folder: Path, *, seed: int = 0) -> None:
    """Write the whole corpus: 16-bit WAV files, ``labels.csv``, ``cues.csv`` and ``made_by.json``.

    The folder appears at once and complete. If the same corpus (seed and `VERSION`) is there already, or another
    process puts it there meanwhile, it is kept.

    Parameters
    ----------
    folder : Path
        Receives ``<speaker>_<word>_<emotion>.wav``; ``labels.csv`` (path, speaker, emotion, text, gender), paths
        relative to the folder; ``cues.csv`` (path, cue, start, end, low, high) in s and Hz.
    seed : int
        As for `utterance`.

    Raises
    ------
    FileExistsError
        The folder exists and holds something else.
    """
    folder = Path(folder)
    made_by = {"corpus": "mini", "version": VERSION, "seed": seed}
    if _holds(folder, made_by):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        labels, cues = [], []
        for speaker, voice in SPEAKERS.items():
            for emotion in EMOTIONS:
                for word in WORDS:
                    clip = utterance(speaker, emotion, word, seed=seed)
                    path = f"{speaker}_{word}_{emotion}.wav"
                    soundfile.write(temporary / path, (clip.waveform * 32768).astype(np.int16), SR, "PCM_16")
                    labels.append((path, speaker, emotion, word, voice.gender))
                    cues += [(path, *cue) for cue in clip.cues]
        pd.DataFrame(labels, columns=["path", "speaker", "emotion", "text", "gender"]).to_csv(
            temporary / "labels.csv", index=False
        )
        pd.DataFrame(cues, columns=["path", *Cue._fields]).round(4).to_csv(temporary / "cues.csv", index=False)
        (temporary / "made_by.json").write_text(json.dumps(made_by))
        temporary.chmod(0o755)  # mkdtemp makes it private
        try:
            os.rename(temporary, folder)
        except OSError:
            if not _holds(folder, made_by):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _holds(folder: Path, made_by: dict) -> bool:
    """Whether the folder is this corpus; False where there is nothing, an error where there is something else."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if (folder / "made_by.json").exists() and json.loads((folder / "made_by.json").read_text()) == made_by:
        return True
    raise FileExistsError(f"{folder} is not empty and not the corpus {made_by}; choose another folder or remove it")
