import librosa
import numpy as np
import pandas as pd
import pytest

from serlib import features

FRAMES = features.Frames()


@pytest.fixture
def waveform():
    rng = np.random.default_rng(0)
    n = 12_345
    return (0.3 * np.sin(2 * np.pi * 200 * np.arange(n) / 16_000) + 0.01 * rng.normal(size=n)).astype("float32")


def librosa_log_mel(waveform, n_mels):
    power = librosa.feature.melspectrogram(
        y=waveform, sr=16_000, n_fft=1024, hop_length=320, n_mels=n_mels, pad_mode="constant"
    )
    return librosa.power_to_db(power, top_db=None)


@pytest.mark.parametrize("n_mels", [40, 64, 128])
def test_log_mel_is_librosas(waveform, n_mels):
    ours = features.log_mel(waveform, FRAMES, n_mels=n_mels)
    assert ours.shape == (n_mels, 1 + len(waveform) // 320) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, librosa_log_mel(waveform, n_mels), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n_mfcc", [13, 40, 64])
def test_mfcc_is_librosas(waveform, n_mfcc):
    theirs = librosa.feature.mfcc(S=librosa_log_mel(waveform, 64), n_mfcc=n_mfcc)
    np.testing.assert_allclose(features.mfcc(waveform, FRAMES, n_mfcc=n_mfcc), theirs, rtol=1e-4, atol=1e-2)


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
    theirs = librosa.feature.delta(mfcc, order=order)
    np.testing.assert_allclose(features.delta(mfcc, order=order), theirs, rtol=1e-4, atol=1e-4)


def test_functionals_run_over_time():
    feature = np.array([[1.0, 2, 3, 4, 5], [10, 10, 10, 10, 10]])
    values = dict(zip(features.functional_names(["a", "b"]), features.functionals(feature), strict=True))
    assert values["a mean"] == 3 and values["a p50"] == 3 and values["a std"] == pytest.approx(np.sqrt(2))
    assert values["a p10"] == pytest.approx(1.4) and values["a p90"] == pytest.approx(4.6)
    assert values["b mean"] == 10 and values["b std"] == 0


def test_images_are_time_first_and_of_one_length(tmp_path, tone):
    paths = [tone(tmp_path / f"{k}.wav", seconds=k, frequency=1000) for k in (0.5, 3)]
    images = features.log_mel_images(pd.DataFrame({"path": paths}), FRAMES, n_frames=100, n_mels=32)
    assert images.shape == (2, 100, 32)
    np.testing.assert_allclose(images[0, 40:], -100)  # silence fills the short clip
    assert images[1].max(axis=1).min() > -20  # the long one lasts to the end
