import dataclasses
import sys

import librosa
import numpy as np
import pandas as pd
import pytest

from serlib import features, listening

FRAMES = features.Frames()


@pytest.fixture
def waveform():
    rng = np.random.default_rng(0)
    n = 12_345
    return (0.3 * np.sin(2 * np.pi * 200 * np.arange(n) / 16_000) + 0.01 * rng.normal(size=n)).astype("float32")


CD = features.Frames(sr=22_050, n_fft=2048, hop_length=512)  # librosa's defaults


def theirs(name, waveform, frames, n_mels=64, n_mfcc=40):
    """What librosa says of a float64 waveform; MFCCs of log-mels without librosa's floor below the loudest value."""
    y = waveform.astype(np.float64)
    cut = {"sr": frames.sr, "n_fft": frames.n_fft, "hop_length": frames.hop_length}
    time = {"frame_length": frames.n_fft, "hop_length": frames.hop_length}
    if name in ("log_mel", "mfcc"):
        log_mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, n_mels=n_mels, **cut), top_db=None)
        return log_mel if name == "log_mel" else librosa.feature.mfcc(S=log_mel, n_mfcc=n_mfcc)
    return {
        "chroma": lambda: librosa.feature.chroma_stft(y=y, tuning=0, **cut),
        "contrast": lambda: librosa.feature.spectral_contrast(y=y, **cut),
        "zcr": lambda: librosa.feature.zero_crossing_rate(y, **time),
        "rms": lambda: librosa.feature.rms(y=y, **time),
    }[name]()


@pytest.fixture(params=["voice", "half silent", "short", "silent", "one sample"])
def clip(request, waveform):
    silence = np.zeros(9000, "float32")
    return {
        "voice": waveform,
        "half silent": np.concatenate([silence, waveform, silence]),
        "short": waveform[:300],
        "silent": silence,
        "one sample": waveform[1:2],
    }[request.param]


@pytest.mark.filterwarnings("ignore:n_fft")
@pytest.mark.parametrize("frames", [FRAMES, CD, features.Frames(16_000, 512, 200)], ids=["16k", "22k", "no divisor"])
@pytest.mark.parametrize("name", ["log_mel", "mfcc", "chroma", "contrast", "zcr", "rms"])
def test_every_feature_is_librosas(clip, frames, name):
    expected = theirs(name, clip, frames)
    assert getattr(features, name)(clip, frames).shape == (len(expected), 1 + len(clip) // frames.hop_length)
    np.testing.assert_allclose(getattr(features, name)(clip, frames), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_mels", [40, 128])
@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_any_number_of_bands_and_coefficients(waveform, n_mels, n_mfcc):
    ours = features.mfcc(waveform, CD, n_mfcc=n_mfcc, n_mels=n_mels)
    np.testing.assert_allclose(ours, theirs("mfcc", waveform, CD, n_mels, n_mfcc), rtol=1e-4, atol=1e-6)


def test_with_top_db_they_are_librosas_defaults(waveform):
    y = np.concatenate([waveform, np.zeros(5000)]).astype(np.float64)
    ours = features.mfcc(y, CD, n_mels=128, top_db=80)
    np.testing.assert_allclose(ours, librosa.feature.mfcc(y=y, sr=22_050, n_mfcc=40), rtol=1e-4, atol=1e-6)


def test_a_set_of_features_comes_from_one_stft(waveform, monkeypatch):
    wanted = features.FeatureSet(("zcr", "mfcc", "chroma", "contrast", "rms", "log_mel"), n_mfcc=13)
    n_stfts = []
    rfft = features.scipy.fft.rfft
    monkeypatch.setattr(features.scipy.fft, "rfft", lambda *a, **k: n_stfts.append(1) or rfft(*a, **k))
    found = features.extract(waveform, wanted)
    assert len(n_stfts) == 1
    assert found.shape == (len(wanted.rows), 1 + len(waveform) // 320) and found.dtype == np.float32
    assert wanted.rows[:3] == ["zcr", "mfcc_0", "mfcc_1"] and wanted.rows[-1] == "log_mel_63"
    of_mfcc = [k for k, row in enumerate(wanted.rows) if row.startswith("mfcc")]
    np.testing.assert_allclose(found[of_mfcc], features.mfcc(waveform, FRAMES, n_mfcc=13), rtol=1e-6)


def test_what_cannot_be_is_refused(waveform):
    with pytest.raises(ValueError, match=r"unknown features \['jitter'\]; known: log_mel, mfcc"):
        features.FeatureSet(("mfcc", "jitter"))
    with pytest.raises(ValueError, match="needs a sampling rate above 12,800 Hz, not 8,000 Hz"):
        features.contrast(waveform, features.Frames(sr=8000))
    with pytest.raises(ValueError, match="frames of 400 samples are too short for 65 Hz; 498 are needed"):
        features.pitch(waveform, features.Frames(n_fft=400))


@pytest.mark.parametrize("frames", [FRAMES, CD], ids=["16k", "22k"])
@pytest.mark.parametrize("hertz", [70, 110, 233, 440, 590])
@pytest.mark.parametrize("first_harmonic", [1, 2], ids=["whole", "fundamental missing"])
def test_pitch_is_that_of_a_voice(frames, hertz, first_harmonic):
    time = np.arange(frames.sr) / frames.sr
    voice = sum(np.sin(2 * np.pi * hertz * k * time + k) / k for k in range(first_harmonic, 9))
    inner = slice(4, -4)  # frames that are all voice
    for gain in (1e-3, 1):
        found = features.pitch(gain * voice, frames)[0, inner]
        np.testing.assert_allclose(found, 12 * np.log2(hertz / 55), atol=0.1)
        assert features.periodicity(gain * voice, frames)[0, inner].min() > 0.97


def test_what_does_not_repeat_itself_is_not_periodic():
    rng = np.random.default_rng(0)
    assert features.periodicity(rng.normal(size=16_000), FRAMES).max() < 0.5
    np.testing.assert_array_equal(features.periodicity(np.zeros(16_000), FRAMES), 0)
    assert np.isfinite(features.pitch(np.zeros(16_000), FRAMES)).all()


def test_rumble_is_no_voice():
    """What repeats itself more slowly than 65 Hz looks alike after any short lag, and is not periodic for that."""
    time = np.arange(16_000) / 16_000
    rumble = np.sin(2 * np.pi * 30 * time)
    assert features.periodicity(rumble, FRAMES)[0, 4:-4].max() < 0.3
    voice = 0.2 * sum(np.sin(2 * np.pi * 110 * k * time + k) / k for k in range(1, 9))
    np.testing.assert_allclose(features.pitch(voice + 0.2 * rumble, FRAMES)[0, 4:-4], 12, atol=0.3)


def test_pitch_glides_with_the_voice():
    time = np.arange(32_000) / 16_000
    hertz = 120 * 2 ** (time / 2)  # an octave in two seconds
    glide = np.sin(2 * np.pi * np.cumsum(hertz) / 16_000)
    found = features.pitch(glide, FRAMES)[0, 2:-2]
    np.testing.assert_allclose(np.diff(found), 12 * 0.02 / 2, atol=0.02)


def test_silence_is_the_floor():
    np.testing.assert_allclose(features.log_mel(np.zeros(3200, "float32"), FRAMES), -100)


def test_every_mel_filter_hears_something():
    assert (features.mel_filters(FRAMES, 64).sum(axis=1) > 0).all()


def test_frames_know_their_lengths(waveform):
    n_samples = FRAMES.n_samples(128)
    assert features.log_mel(np.zeros(n_samples, "float32"), FRAMES).shape[1] == 128
    assert features.log_mel(np.zeros(n_samples - 1, "float32"), FRAMES).shape[1] == 127
    np.testing.assert_allclose(FRAMES.times(3), [0, 0.02, 0.04])


def test_more_coefficients_than_bands_are_refused(waveform):
    with pytest.raises(ValueError, match="65 coefficients cannot be had from 64 mel bands"):
        features.mfcc(waveform, FRAMES, n_mfcc=65)


def test_delta_is_the_slope():
    ramp = np.arange(20.0)[None] * 3
    np.testing.assert_allclose(features.delta(ramp), 3)
    np.testing.assert_allclose(features.delta(ramp, order=2), 0, atol=1e-12)
    with pytest.raises(ValueError, match="there are 8"):
        features.delta(ramp[:, :8])


@pytest.mark.parametrize("order", [1, 2])
def test_delta_is_librosas(waveform, order):
    mfcc = features.mfcc(waveform, FRAMES, n_mfcc=13)
    expected = librosa.feature.delta(mfcc, order=order)
    np.testing.assert_allclose(features.delta(mfcc, order=order), expected, rtol=1e-4, atol=1e-4)


def test_functionals_run_over_time():
    feature = np.array([[1.0, 2, 3, 4, 5], [10, 10, 10, 10, 10]])
    values = dict(zip(features.functional_names(["a", "b"]), features.functionals(feature), strict=True))
    assert values["a mean"] == 3 and values["a p50"] == 3 and values["a std"] == pytest.approx(np.sqrt(2))
    assert values["a p10"] == pytest.approx(1.4) and values["a p90"] == pytest.approx(4.6)
    assert values["b mean"] == 10 and values["b std"] == 0


def test_functionals_can_be_chosen():
    ramp = np.array([[0.0, 3, 6, 9], [5, 5, 5, 5]])
    assert features.functionals(ramp, ["slope", "p25"]).tolist() == [3, 0, 2.25, 5]
    assert features.functional_names(["a"], ["slope"]) == ["a slope"]
    assert features.functionals(ramp[:, :1], ["slope"]).tolist() == [0, 0]
    with pytest.raises(ValueError, match="unknown statistic 'median'"):
        features.functionals(ramp, ["median"])


def test_deltas_become_channels(waveform):
    image = features.with_deltas(features.log_mel(waveform, FRAMES))
    assert image.shape == (64, 39, 3)
    np.testing.assert_array_equal(image[..., 2], features.delta(image[..., 0], order=2))


def test_seconds_become_hops():
    assert FRAMES.n_frames(1.0) == 50 and FRAMES.n_frames(0.0) == 1


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "MEMORY", tmp_path / "features")
    return tmp_path / "features"


def test_images_are_time_first_and_of_one_length(tmp_path, tone):
    paths = [tone(tmp_path / f"{k}.wav", seconds=k, frequency=1000) for k in (0.5, 3)]
    table = pd.DataFrame({"path": paths, "sha256": ["a", "b"]})
    wanted = features.FeatureSet(("log_mel",), n_mels=32, n_frames=100)
    images = features.images(table, wanted)
    assert images.shape == (2, 100, 32) and images.dtype == np.float32
    np.testing.assert_allclose(images[0, 40:], -100)  # silence fills the short clip
    assert images[1].max(axis=1).min() > -20  # the long one lasts to the end
    with pytest.raises(ValueError, match="such as n_frames=128"):
        features.images(table, dataclasses.replace(wanted, n_frames=None))


def test_a_faster_clip_is_shorter_and_higher(tmp_path, tone, memory):
    path = tone(tmp_path / "clip.wav", frequency=1000, seconds=1)
    table = pd.DataFrame({"path": [path], "sha256": ["a"]})
    wanted = features.FeatureSet(("log_mel",))
    (plain,), (fast,) = (features.extract_all(table, dataclasses.replace(wanted, speed=s)) for s in (1, 1.25))
    assert (plain.shape[1], fast.shape[1]) == (51, 41)
    centres = librosa.mel_frequencies(66, fmax=8000)[1:-1]
    np.testing.assert_allclose(wanted.hertz, centres)
    assert centres[fast[:, 20].argmax()] / centres[plain[:, 20].argmax()] == pytest.approx(1.25, abs=0.05)


def test_opensmile_is_asked_for_by_name(tmp_path, tone, monkeypatch):
    utterances = pd.DataFrame({"path": [tone(tmp_path / "clip.wav")], "utterance": ["clip"]})
    with pytest.raises(ValueError, match="unknown set 'IS09'; known: eGeMAPSv02, ComParE_2016"):
        features.opensmile_functionals(utterances, "IS09")
    monkeypatch.setitem(sys.modules, "opensmile", None)  # as where it is not installed
    with pytest.raises(ImportError, match="make extras"):
        features.opensmile_functionals(utterances)


@pytest.mark.parametrize(("feature_set", "size"), [("eGeMAPSv02", 88), ("ComParE_2016", 6373)])
def test_opensmile_functionals(tmp_path, tone, feature_set, size):
    pytest.importorskip("opensmile", reason="an optional extra: make extras")
    paths = [tone(tmp_path / f"{f}.wav", frequency=f, seconds=1) for f in (150, 300)]
    utterances = pd.DataFrame({"path": paths, "utterance": ["low", "high"], "sha256": ["a", "b"]})
    table = features.opensmile_functionals(utterances, feature_set)
    assert table.shape == (2, size) and table.index.tolist() == ["low", "high"]
    if size == 88:
        semitones = table["F0semitoneFrom27.5Hz_sma3nz_amean"]
        assert semitones["high"] - semitones["low"] == pytest.approx(12, abs=0.5)


def test_the_share_of_clips_that_lose_their_end():
    seconds = pd.DataFrame({"seconds": [1.0, 2.0, 3.0, 4.0]})
    wanted = features.FeatureSet(("log_mel",), n_frames=128)  # 2.54 s
    assert features.share_cut(seconds, wanted) == 0.5
    assert features.share_cut(seconds, dataclasses.replace(wanted, speed=0.7)) == 0.75
    assert features.share_cut(seconds, dataclasses.replace(wanted, n_frames=None)) == 0
