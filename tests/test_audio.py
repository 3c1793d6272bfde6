import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serlib import audio


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    sf.write(path, np.array([[0.5, -0.25]] * 100), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(path), np.full(100, 0.125))


@pytest.mark.parametrize("sr", [8_000, 24_414, 48_000, 96_000])
def test_resampling_keeps_duration_and_pitch(tmp_path, tone, sr):
    waveform = audio.load(tone(tmp_path / "tone.wav", frequency=440, seconds=0.5, sr=sr))
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(8_000, abs=1)
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    assert np.argmax(spectrum) * 16_000 / len(waveform) == pytest.approx(440, abs=2)
    assert np.abs(waveform[1000:-1000]).max() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(
    ("samples", "reason"), [(None, "cannot be decoded"), ([], "no samples"), ([0.1, np.inf], "NaN or infinite")]
)
def test_what_cannot_be_used_names_the_file(tmp_path, samples, reason):
    path = tmp_path / "bad.wav"
    if samples is None:
        path.write_text("not audio")
    else:
        sf.write(path, np.array(samples), 16_000, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match=reason) as error:
        audio.load(path)
    assert str(path) in str(error.value)


def test_raw_samples_are_refused(tmp_path):
    path = tmp_path / "clip.raw"
    path.write_bytes(bytes(3200))
    with pytest.raises(audio.AudioError, match=r"clip\.raw cannot be decoded.*export it as WAV"):
        audio.load(path)


def test_load_all_keeps_the_order(tmp_path, tone):
    paths = [tone(tmp_path / f"{k}.wav", seconds=0.1 * k) for k in (3, 1, 2)]
    assert [len(w) for w in audio.load_all(pd.DataFrame({"path": paths}))] == [4800, 1600, 3200]


def test_fit_length():
    np.testing.assert_array_equal(audio.fit_length(np.array([1, 2, 3]), 5), [1, 2, 3, 0, 0])
    np.testing.assert_array_equal(audio.fit_length(np.array([1, 2, 3]), 2), [1, 2])
