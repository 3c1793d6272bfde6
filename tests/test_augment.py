import numpy as np
import pandas as pd
import pytest

from serlib import augment, cache, corpora, features
from serlib.audio import SR

TONE = np.sin(2 * np.pi * 440 * np.arange(SR) / SR).astype(np.float32) / 4


def test_one_recording_has_always_the_same_copies_and_another_has_others():
    once, again = augment.copies(TONE), augment.copies(TONE.copy())
    assert tuple(once) == augment.COPIES
    for name in augment.COPIES:
        np.testing.assert_array_equal(once[name], again[name])
    noise, other = once["noise"] - TONE, augment.copies(TONE / 2)["noise"] - TONE / 2
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.1, "two recordings do not share their noise"
    assert 0 < noise.std() <= augment.NOISE / 4 * 1.05


def test_the_stretched_copy_is_longer_and_higher():
    stretched = augment.copies(TONE)["stretched"]
    assert len(stretched) == pytest.approx(SR / augment.RATE, rel=0.01)
    peak = np.fft.rfftfreq(len(stretched), 1 / SR)[np.abs(np.fft.rfft(stretched)).argmax()]
    assert peak == pytest.approx(440 * 2 ** (augment.SEMITONES / 12), rel=0.005)


def test_averages_are_means_over_time_and_bands_are_power():
    own, rows = augment.averages(TONE), augment.AVERAGED.rows
    assert own.shape == (162,) and len(rows) == 162
    frames = augment.AVERAGED.frames
    assert own[rows.index("rms")] == pytest.approx(features.rms(TONE, frames).mean(), rel=1e-4)
    mel = 10 ** (features.log_mel(TONE, frames, n_mels=128) / 10)
    np.testing.assert_allclose(own[rows.index("log_mel_0") :], mel.mean(axis=1), rtol=1e-3)
    assert np.isfinite(augment.averages(np.zeros(SR, np.float32))).all(), "digital silence"


def test_a_table_gives_three_rows_a_clip_from_the_cache(tmp_path, monkeypatch):
    table = corpora.subset(corpora.load("mini").utterances, 7)
    monkeypatch.setattr("serlib.listening.MEMORY", tmp_path)
    x = augment.averages_all(pd.concat([table, table.head(1)], ignore_index=True), n_jobs=1)
    assert x.shape == (8, 3, 162)
    np.testing.assert_array_equal(x[0], x[7])
    np.testing.assert_array_equal(augment.averages_all(table), x[:7])

    def refused(*arguments, **options):
        raise cache.CacheError("no room")

    monkeypatch.setattr(cache, "fill", refused)
    with pytest.warns(UserWarning, match="no room; averages are computed and not kept"):
        np.testing.assert_array_equal(augment.averages_all(table, n_jobs=1), x[:7])
