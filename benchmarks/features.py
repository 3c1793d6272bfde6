"""Clips per second of six features: six librosa calls on each clip, and one STFT. Run by `make benchmark`; not a test.

Both sides get the same waveforms, decoded and resampled beforehand; what is compared first agrees to rtol 1e-4. Writes
data/benchmarks/features.csv, which `make figures` draws.
"""

import shutil

import joblib
import librosa
import numpy as np
import pandas as pd
import pytest
import scipy.fft

from serlib import audio, corpora, features, listening

FRAMES = features.Frames(sr=22_050, n_fft=2048, hop_length=512)  # librosa's defaults
WANTED = features.FeatureSet(
    ("log_mel", "mfcc", "chroma", "contrast", "zcr", "rms"), FRAMES, n_mels=128, n_mfcc=40, top_db=80
)
N_CLIPS, ROUNDS = 200, 7
CORES = joblib.cpu_count()
NAIVE = "librosa, six calls"


def naive(waveforms, tuning=None):
    """What a tutorial does: every call makes its STFT and its filters anew, and chroma estimates a tuning."""
    sr = FRAMES.sr
    return [
        np.concatenate(
            [
                librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=sr, n_mels=128)),
                librosa.feature.mfcc(y=y, sr=sr, n_mfcc=40),
                librosa.feature.chroma_stft(y=y, sr=sr, tuning=tuning),
                librosa.feature.spectral_contrast(y=y, sr=sr),
                librosa.feature.zero_crossing_rate(y),
                librosa.feature.rms(y=y),
            ]
        )
        for y in waveforms
    ]


def one_stft(waveforms):
    return [features.extract(y, WANTED) for y in waveforms]


def transforms_alone(waveforms):
    """The floor: no spectral feature can be had without these."""
    for y in waveforms:
        clip = features._Clip(y, FRAMES)
        scipy.fft.rfft(clip.framed * features._window(FRAMES.n_fft), axis=1, overwrite_x=True)


@pytest.fixture(scope="module")
def utterances():
    return corpora.load("auto").utterances.sample(N_CLIPS, random_state=0)


@pytest.fixture(scope="module")
def waveforms(utterances):
    return audio.load_all(utterances, FRAMES.sr)


@pytest.fixture(scope="module")
def results(utterances):
    """Filled by the benchmarks, written at the end."""
    medians = {}
    yield medians
    table = pd.DataFrame(
        [(what, cores, N_CLIPS / seconds, 1000 * seconds / N_CLIPS) for (what, cores), seconds in medians.items()],
        columns=["what", "processes", "clips_per_second", "ms_per_clip"],
    )
    naively = table[table.what == NAIVE].set_index("processes").clips_per_second
    table["times_naive"] = table.clips_per_second / naively[1]
    table["times_naive_in_as_many_processes"] = table.clips_per_second / table.processes.map(naively)
    print("\n" + table.round(2).to_string(index=False))
    path = corpora.REPOSITORY / "data" / "benchmarks" / "features.csv"
    path.parent.mkdir(exist_ok=True)
    table = table.assign(corpus=utterances.corpus.iloc[0], rounds=ROUNDS)
    table.to_csv(path, index=False, float_format="%.6g")


def measure(benchmark, results, what, function, *, processes=1, setup=None):
    found = benchmark.pedantic(function, setup=setup, rounds=ROUNDS, warmup_rounds=1)
    results[what, processes] = benchmark.stats.stats.median
    return found


def in_processes(function, waveforms):
    """Each process keeps what it computed, as those that fill the cache do."""
    chunks = [waveforms[k : k + 25] for k in range(0, N_CLIPS, 25)]
    return lambda: joblib.Parallel(CORES)(joblib.delayed(computed)(function, chunk) for chunk in chunks)


def computed(function, chunk):
    return len(function(chunk))


def test_naive(benchmark, results, waveforms):
    measure(benchmark, results, NAIVE, lambda: naive(waveforms))


def test_naive_without_tuning(benchmark, results, waveforms):
    measure(benchmark, results, "librosa, no tuning estimate", lambda: naive(waveforms, tuning=0.0))


def test_one_stft(benchmark, results, waveforms):
    exact = naive(
        [y.astype(np.float64) for y in waveforms], tuning=0.0
    )  # librosa too computes in the input's precision
    for ours, theirs in zip(measure(benchmark, results, "one STFT", lambda: one_stft(waveforms)), exact, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_transforms_alone(benchmark, results, waveforms):
    measure(benchmark, results, "FFT alone (floor)", lambda: transforms_alone(waveforms))


def test_naive_on_all_cores(benchmark, results, waveforms):
    measure(benchmark, results, NAIVE, in_processes(naive, waveforms), processes=CORES)


def test_one_stft_on_all_cores(benchmark, results, waveforms):
    measure(benchmark, results, "one STFT", in_processes(one_stft, waveforms), processes=CORES)


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "MEMORY", tmp_path)
    return tmp_path


def test_cold_cache(benchmark, results, utterances, memory):
    def empty():
        shutil.rmtree(memory)

    def fill():
        return features.extract_all(utterances, WANTED, n_jobs=CORES)

    measure(benchmark, results, "decode, resample, extract, keep", fill, processes=CORES, setup=empty)


def test_warm_cache(benchmark, results, utterances, memory):
    features.fill_cache(utterances, WANTED)
    measure(benchmark, results, "read from the cache", lambda: features.extract_all(utterances, WANTED))
