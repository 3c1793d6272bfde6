import keras
import numpy as np
import pandas as pd
import pytest
import scipy.signal

from serlib import augment, cache, corpora, features, splits, training
from serlib.audio import SR, load

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


# Of waveforms


def rng(seed=0):
    return np.random.default_rng(seed)


def decibels(signal, disturbance):
    return 10 * np.log10(np.mean(signal.astype(float) ** 2) / np.mean(disturbance.astype(float) ** 2))


def strongest(waveform):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.fft.rfftfreq(len(waveform), 1 / SR)[spectrum.argmax()]


@pytest.mark.parametrize("snr", [-5, 0, 20])
def test_noise_and_babble_have_the_ratio_asked_for(snr):
    others = [TONE[: SR // 3] * 5, np.roll(TONE, 7)[:100], np.zeros(50, np.float32)]
    for noisy in (augment.noise(TONE, snr, rng()), augment.babble(TONE, others, snr, rng())):
        assert noisy.shape == TONE.shape and noisy.dtype == np.float32
        assert decibels(TONE, noisy - TONE) == pytest.approx(snr, abs=0.1)
    assert not augment.noise(np.zeros(9), snr, rng()).any(), "silence has no ratio to keep"
    with pytest.raises(ValueError, match="none that sounds"):
        augment.babble(TONE, others[2:], snr, rng())


def test_babble_is_made_of_the_others():
    low, high = (np.sin(2 * np.pi * f * np.arange(SR) / SR) for f in (1000, 3000))
    added = augment.babble(TONE, [low, 9 * high], 0, rng()) - TONE
    power = np.abs(np.fft.rfft(added)) ** 2
    assert power[[1000, 3000]].sum() > 0.99 * power.sum(), "nothing else is in it"
    assert power[1000] == pytest.approx(power[3000], rel=0.01), "and no voice is louder than another"


def test_a_tail_decays_by_60_db_in_the_time_asked_for():
    click = np.zeros(SR, np.float32)
    click[0] = 1
    for rt60 in (0.3, 0.6):
        wet = augment.reverberate(click, rt60, rng()).astype(float)
        left = 10 * np.log10(np.cumsum(wet[1:][::-1] ** 2)[::-1])  # Schroeder's backward integral, of the tail
        falls = [np.argmax(left < left[0] - level) / SR for level in (5, 25)]
        assert 3 * (falls[1] - falls[0]) == pytest.approx(rt60, rel=0.05)
        assert decibels(wet[:1], np.sqrt([np.sum(wet[1:] ** 2)])) == pytest.approx(0, abs=0.1), "direct to tail"
    assert decibels(TONE, augment.reverberate(TONE, 0.5, rng())) == pytest.approx(0, abs=0.01)


def test_level_time_speed_and_pitch_change_as_told():
    assert decibels(augment.gain(TONE, 6), TONE) == pytest.approx(6, abs=0.01)
    slower = augment.stretch(TONE, 0.8)
    assert len(slower) == pytest.approx(SR / 0.8, rel=0.01) and strongest(slower) == pytest.approx(440, abs=2)
    higher = augment.pitch(TONE, 2)
    assert len(higher) == SR and strongest(higher) == pytest.approx(440 * 2 ** (2 / 12), rel=0.005)
    faster = augment.speed(TONE, 1.1)
    assert len(faster) == pytest.approx(SR / 1.1, rel=0.001) and strongest(faster) == pytest.approx(484, rel=0.005)
    later, earlier = augment.shift(TONE, 0.1), augment.shift(TONE, -0.1)
    assert not later[:1600].any() and not earlier[-1600:].any()
    np.testing.assert_array_equal(later[1600:], TONE[:-1600])
    np.testing.assert_array_equal(earlier[:-1600], TONE[1600:])
    assert not augment.shift(TONE, 5).any() and len(augment.shift(TONE, 5)) == SR


def test_formants_move_and_the_pitch_stays():
    pulses = np.zeros(SR)
    pulses[::100] = 1  # 160 Hz
    pole = 0.97 * np.exp(2j * np.pi * 1500 / SR)
    voice, whisper = (
        scipy.signal.lfilter([1], np.poly([pole, pole.conjugate()]).real, source)
        for source in (pulses, rng().standard_normal(SR))
    )
    for ratio in (0.85, 1.0, 1.2):
        hertz, power = scipy.signal.welch(augment.formants(whisper, ratio), SR, nperseg=512)
        assert np.sum(hertz * power**2) / np.sum(power**2) == pytest.approx(1500 * ratio, rel=0.02)
        made = augment.formants(voice, ratio)
        spectrum = np.abs(np.fft.rfft(made))
        assert np.sum(spectrum[160:8000:160] ** 2) > 0.95 * np.sum(spectrum[1:] ** 2), "harmonics of 160 Hz"
        assert decibels(made, voice) == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(augment.formants(voice, 1.0), voice, atol=1e-3)


@pytest.mark.parametrize("name", augment.WAVEFORM)
def test_a_recordings_change_is_the_same_under_a_seed_and_another_under_another(name):
    one, same = (augment.changed(TONE, name, seed=0) for _ in range(2))
    other = augment.changed(TONE, name, seed=1)
    np.testing.assert_array_equal(one, same)
    assert one.dtype == np.float32 and (len(one) != len(other) or not np.allclose(one, other))


def test_changed_features_of_a_table_come_from_the_cache(tmp_path, monkeypatch):
    table = corpora.subset(corpora.load("mini").utterances, 7).head(3)
    monkeypatch.setattr("serlib.listening.MEMORY", tmp_path)
    wanted = features.FeatureSet(n_mels=8)
    x = augment.changed_all(table, wanted, "noise", (10, 10), n_jobs=1)
    monkeypatch.setattr(augment, "extract", None)  # read, not computed
    np.testing.assert_array_equal(x[1], augment.changed_all(table, wanted, "noise", (10, 10))[1])
    monkeypatch.undo()
    clip = load(table.path.iloc[1])
    np.testing.assert_array_equal(x[1], features.extract(augment.changed(clip, "noise", (10, 10)), wanted))
    with pytest.raises(ValueError, match="unknown change 'echo' of waveforms; known: noise, gain"):
        augment.changed(TONE, "echo")


# Of images


def images(n=6, n_frames=40, n_mels=64, seed=0):
    return rng(seed).normal(-40, 10, size=(n, n_frames, n_mels)).astype(np.float32)


def test_specaugment_masks_what_it_may_and_no_more():
    x = images(200)
    made = augment.specaugment(x, rng(), n_bands=1, n_times=2, most_bands=5, most_frames=7)
    hidden = made != x
    bands, frames = hidden.all(axis=1), hidden.all(axis=2)
    np.testing.assert_array_equal(hidden, bands[:, None] | frames[:, :, None])
    assert bands.sum(axis=1).max() == 5 and 7 < frames.sum(axis=1).max() <= 14 and bands.sum(axis=1).min() == 0
    assert (np.diff(bands.astype(int), axis=1) == 1).sum(axis=1).max() <= 1, "one mask of bands is one stretch"
    means = np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
    np.testing.assert_allclose(made[hidden], means[hidden], rtol=1e-6)
    assert augment.specaugment(images(2, 3, 4), rng()).shape == (2, 3, 4), "masks wider than the image"


def test_a_warp_of_the_mel_axis_moves_a_peak_by_its_factor():
    wanted = features.FeatureSet(n_mels=64)
    x = np.full((3, 5, 64), -60, np.float32)
    x[:, :, 30] = 0
    alpha = np.array([0.9, 1.0, 1.1])
    made = augment.mel_warp(x, alpha)
    above = made[:, 0] + 60
    centre = (above * wanted.hertz).sum(axis=1) / above.sum(axis=1)
    np.testing.assert_allclose(centre, wanted.hertz[30] * alpha, rtol=0.01)
    np.testing.assert_array_equal(made[1], x[1])
    ends = images(1)
    for a in (0.9, 1.1):
        moved = augment.mel_warp(ends, a)[0, :, -1]
        spread = np.abs(moved - ends[0, :, -1]).max() / np.ptp(ends[0, :, -2:], axis=1).max()
        assert spread < 0.2, "half the sampling rate stays in place"


def test_a_shifted_image_is_silent_where_nothing_is_left():
    x = images(2)
    made = augment.shift_image(x, np.array([3, -2]), np.array([1, 0]))
    np.testing.assert_array_equal(made[0, 3:, 1:], x[0, :-3, :-1])
    np.testing.assert_array_equal(made[1, :-2], x[1, 2:])
    assert (
        (made[0, :3] == x[0].min()).all() and (made[0, :, 0] == x[0].min()).all() and (made[1, -2:] == x[1].min()).all()
    )


# Of batches and of rows


def test_mixed_labels_are_the_weights_of_the_mixture():
    y = np.eye(8, dtype=np.float32)
    x, labels = augment.mixup(np.eye(8, dtype=np.float32)[:, None], y, rng(), alpha=1.0)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(x[:, 0], labels, rtol=1e-6)  # rows that are their own labels
    assert (labels > 0).sum(axis=1).max() == 2 and 0.1 < labels.max(axis=1).min() < 0.9


def test_soft_labels_weigh_as_hard_ones():
    logits = rng().normal(size=(6, 3))
    y = rng(1).dirichlet(np.ones(3), size=6)
    y[0] = [1, 0, 0]
    _, label, weight = augment.hard(logits, y)
    row = np.nonzero(y)[0]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert len(label) == 16
    assert np.mean(-weight * log_p[row, label]) == pytest.approx(np.mean(-(y * log_p).sum(axis=1)))


def test_smote_lies_between_neighbours_of_a_class():
    x, y = rng().normal(size=(40, 3)), np.arange(40) % 2
    made, labels, parents = augment.smote(x, y, [15, 4], rng(), k=3)
    assert np.bincount(labels).tolist() == [15, 4] and (y[parents] == labels[:, None]).all()
    a, b = x[parents[:, 0]], x[parents[:, 1]]
    along = ((made - a) * (b - a)).sum(axis=1) / ((b - a) ** 2).sum(axis=1)
    assert (along >= 0).all() and (along <= 1).all() and along.std() > 0.1
    np.testing.assert_allclose(made, a + along[:, None] * (b - a))
    scaled = x / x.std(axis=0)
    for base, other in parents:
        near = np.linalg.norm(scaled - scaled[base], axis=1)[y == y[base]]
        assert np.linalg.norm(scaled[base] - scaled[other]) <= np.sort(near)[3] + 1e-9, "one of the three nearest"
    assert augment.smote(x[:, None], y, [0, 2], rng())[0].shape == (2, 1, 3)
    with pytest.raises(ValueError, match="class 1 has 1 rows"):
        augment.smote(x[:2], y[:2], [0, 3], rng())


@pytest.mark.parametrize("name", augment.BATCHES)
def test_a_changed_batch_is_the_same_under_a_seed_and_another_under_another(name):
    x, y = images(), np.arange(6) % 3
    one, same, other = (augment.BATCHES[name](x, y, rng(seed)) for seed in (0, 0, 1))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[0].shape != other[0].shape or not np.allclose(one[0], other[0])
    np.testing.assert_array_equal(x, images(), "the rows given stay as they are")


# Training sets


def test_batches_differ_from_epoch_to_epoch_and_not_from_run_to_run():
    x, y = np.arange(10.0)[:, None], np.arange(10)
    data, again = (augment.batches(x, y, batch_size=4, seed=3, n_rows=6) for _ in range(2))
    assert len(data) == 2 and [len(data[k][1]) for k in range(2)] == [4, 2]
    first = np.concatenate([data[k][1] for k in range(2)])
    assert len(set(first)) == 6
    np.testing.assert_array_equal(data[1][0][:, 0], data[1][1])
    np.testing.assert_array_equal(again[1][1], data[1][1], "whatever was asked for before")
    data.on_epoch_end()
    assert set(first) != set(np.concatenate([data[k][1] for k in range(2)]))


@pytest.fixture(scope="module")
def fold():
    """Clips of mini, their split by speakers, functionals and small images."""
    table = corpora.load("mini").utterances
    table = table[table.emotion.isin(["anger", "fear", "sadness"])].reset_index(drop=True)
    (split,) = splits.make(table, "speaker_independent", fold=0)
    y = table.emotion.map(["anger", "fear", "sadness"].index).to_numpy()
    y_of = y[:, None, None]
    return table, split, y, images(len(table), 16, 12, 1) + 5 * y_of


def trained(method, fold, **options):
    table, split, y, x = fold
    x = x.mean(axis=1) if method == "smote" else x
    rows = split.train[:60]
    small = {"n_steps": 2, "width": 8} if method == "caemocygan" else {}
    copied = {"copied": x[rows] + 1} if method in augment.WAVEFORM else {}
    clips, classes = table.iloc[rows], ["anger", "fear", "sadness"]
    return augment.training_set(method, x[rows], y[rows], clips, classes, **copied | small | options), table, split


@pytest.mark.parametrize("method", augment.METHODS)
def test_nothing_made_descends_from_a_validation_or_test_clip(method, fold):
    made, table, split = trained(method, fold)
    assert len(made.batches) == 2, "60 rows an epoch, whatever the method"
    assert len(made.x) == len(made.y) == 60 + len(made.made)
    whole, extended = augment.appended(table, split, made.made, "speaker_independent")
    np.testing.assert_array_equal(extended.test, split.test)
    assert len(extended.train) == len(split.train) + len(made.made) and whole.utterance.is_unique
    if method in (*augment.WAVEFORM, "smote", "caemocygan"):
        assert made.made.augmented.all() and len(made.made) == 60
        assert made.made.emotion.tolist() == [["anger", "fear", "sadness"][k] for k in made.y[60:]]
        assert set(made.made.parent) <= set(table.utterance.iloc[split.train[:60]])
        tested = table.utterance.iloc[split.test[0]]
        with pytest.raises(splits.LeakError, match=f"descend from clips that do not train, such as {tested}"):
            augment.appended(table, split, made.made.assign(parent=tested), "speaker_independent")
    if method == "smote":
        with pytest.raises(splits.LeakError, match="descend from"):
            validated = table.utterance.iloc[split.validation[0]]
            augment.appended(table, split, made.made.assign(neighbour=validated), "speaker_independent")
    if method == "caemocygan":
        parents = table.set_index("utterance").emotion[made.made.parent].to_numpy()
        assert (parents != made.made.emotion).all() and len(made.history) == 2


def test_the_same_seed_trains_the_same_model_on_changing_batches(fold):
    def answers(seed):
        training.set_seed(0)
        made, *_ = trained("mixup", fold, seed=seed)
        image = keras.Input((16, 12))
        model = keras.Model(image, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(image)))
        history = training.fit(model, made.batches, (made.x[:9], made.y[:9]), n_epochs=3)
        assert history.epoch.tolist() == [1, 2, 3] and history.loss.notna().all()
        return training.probabilities(model, made.x[:9])

    one, same, other = answers(0), answers(0), answers(1)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_a_set_that_cannot_be_made_is_refused(fold):
    for method, options, told in (
        ("echo", {}, "unknown method 'echo'"),
        ("noise", {"copied": None}, "noise needs `copied`"),
        ("pitch", {"copied": np.zeros((2, 3))}, "pitch needs `copied`"),
    ):
        with pytest.raises(ValueError, match=told):
            trained(method, fold, **options)
    table, split, y, x = fold
    rows = split.train[:6]
    with pytest.raises(ValueError, match="mel_warp changes images"):
        augment.training_set("mel_warp", x[rows, 0], y[rows], table.iloc[rows], ["a", "b", "c"])
    with pytest.raises(ValueError, match="do not belong together"):
        augment.training_set("none", x[rows], y[rows], table, ["a", "b", "c"])
