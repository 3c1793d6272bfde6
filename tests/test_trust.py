"""What is kept back, measured: on voices never trained on, and on sounds that are no speech."""

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from serlib import audio, corpora, features, models, predict, records, splits, training, trust

PREDICTIONS = corpora.REPOSITORY / "data" / "predictions"
WANTED = features.FeatureSet(("log_mel",), features.Frames(hop_length=640), n_mels=32, n_frames=64)


def sounds(n, seed=3):
    """Noise, near silence, tones and music, by other means than `trust.no_speech`."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        t = np.arange(int(audio.SR * rng.uniform(1, 4))) / audio.SR
        if k % 4 == 0:
            white = rng.standard_normal(len(t))
            sound = [white, np.cumsum(white - white.mean()), np.diff(white, prepend=0)][rng.integers(3)]
        elif k % 4 == 1:
            sound = np.zeros(len(t)) if k % 8 == 1 else 1e-5 * rng.standard_normal(len(t))
        elif k % 4 == 2:
            f = rng.uniform(80, 2000)
            shapes = [np.sin(2 * np.pi * f * t), signal.chirp(t, f, t[-1], 2 * f), signal.square(2 * np.pi * f * t)]
            sound = shapes[rng.integers(3)]
        else:
            sound = np.zeros(len(t))
            for start in np.arange(0, t[-1], rng.uniform(0.2, 0.5)):
                chord = rng.choice([131, 165, 196, 220, 262, 330], size=3)
                decay = np.exp(-np.maximum(t - start, 0) * rng.uniform(2, 6)) * (t >= start)
                sound += decay * signal.sawtooth(2 * np.pi * chord[:, None] * t).sum(axis=0)
        peak = np.abs(sound).max()
        made.append(sound if k % 4 == 1 else sound / peak * 10 ** rng.uniform(-1.5, -0.2))
    return made


@pytest.fixture(scope="module")
def recognisers(tmp_path_factory):
    """A small network for each voice of mini, trained on the others, as notebook 06 leaves it; and its test clips."""
    found = corpora.load("mini")
    clips = found.utterances
    x = features.images(clips, WANTED)
    classes = sorted(clips.emotion.unique())
    y = clips.emotion.map(classes.index).to_numpy()
    made = []
    for split in splits.make(clips, "speaker_independent", seed=1):
        about = records.About("06_cnn_lstm", "cnn_lstm", "mini", "speaker_independent", 0, 1, "log_mel")
        result = training.each_fold(models.cnn_lstm, (x, y), clips, [split], about, classes, n_epochs=12)
        folder = tmp_path_factory.mktemp("run")
        records.write_run(
            folder,
            notebook="06_cnn_lstm",
            parameters={"protocol": "speaker_independent"},
            corpus=found,
            predictions=result.predictions,
            membership=result.membership,
            model=result.models[split.fold],
            classes=classes,
            features=WANTED,
        )
        made.append((predict.with_trust(predict.load(folder), folder), clips.iloc[split.test], folder))
    return made


@pytest.fixture(scope="module")
def predicted():
    """Committed predictions for voices left out of RAVDESS, of RAVDESS with SAVEE, and of four corpora together."""
    tables = []
    for notebook in ("10_grad_cam", "13_four_corpora"):
        table = pd.read_parquet(PREDICTIONS / f"{notebook}_predictions.parquet")
        tables.append(table[table.protocol.eq("speaker_independent") & table.train_corpora.str.contains("ravdess")])
    found = pd.concat(tables, ignore_index=True)
    return found[found.role.isin(["result", "explained"]) & found.model.ne("corpus_only")]


def test_speech_of_new_voices_is_answered_and_better_than_without_limits(recognisers):
    """At least 90 % are answered, and a larger share of these rightly than of all."""
    right, given = [], []
    for recogniser, clips, _ in recognisers:
        for clip in clips.iloc[::2].itertuples():
            told = predict.answer(recogniser, clip.path)
            given.append(told.emotion is not None)
            right.append(max(told.p, key=told.p.get) == clip.emotion)
    right, given = np.array(right), np.array(given)
    assert given.mean() >= 0.9
    assert right[given].mean() > right.mean()


def test_what_is_no_speech_is_refused(recognisers, tmp_path):
    """At least 95 % of noise, silence, tones and music, each with a reason."""
    import soundfile

    answers = []
    for k, sound in enumerate(sounds(120)):
        soundfile.write(tmp_path / f"{k}.wav", sound, audio.SR)
        answers.append(predict.answer(recognisers[k % 4][0], tmp_path / f"{k}.wav"))
    assert all(told.error is None for told in answers)
    assert np.mean([told.emotion is None for told in answers]) >= 0.95
    assert {told.reasons[0].split(":")[0] for told in answers[1::4]} == {"silence"}


def test_the_limit_of_confidence_lets_real_voices_pass_and_gains(predicted):
    """Of the runs on RAVDESS and on the four corpora: at least 90 % of nearly every voice, more right among them."""
    voices, right, right_of_given = [], [], []
    for _, run in predicted.groupby(list(records.ABOUT), dropna=False):
        classes = [name for name in run if name.startswith("p_") and run[name].notna().all()]
        validation, test = (run[run.part == part] for part in ("validation", "test"))
        truth = pd.Index(classes).get_indexer("p_" + validation.emotion)
        t = trust.temperature(validation[classes].to_numpy(), truth)
        threshold = trust.threshold(trust.cooled(validation[classes].to_numpy(), t))
        p = trust.cooled(test[classes].to_numpy(), t)
        given = p.max(axis=1) >= threshold
        named = np.array([classes[k][2:] for k in p.argmax(axis=1)]) == test.emotion.to_numpy()
        voices += pd.Series(given).groupby(test.speaker.to_numpy()).mean().tolist()
        right.append(named.mean())
        right_of_given.append(named[given].mean())
    assert np.mean(np.array(voices) >= 0.9) >= 0.9
    assert np.mean(right_of_given) > np.mean(right)


def test_limits_are_kept_beside_the_run_until_it_is_made_again(recognisers):
    import os

    recogniser, _, folder = recognisers[0]
    kept = trust.Trust.load(folder / "trust.npz")
    for name, value in vars(recogniser.trust).items():
        np.testing.assert_array_equal(getattr(kept, name), value)
    assert kept.voices == 3 and 1 <= kept.temperature <= 10 and 0 < kept.threshold <= 0.5
    os.utime(folder / "trust.npz", (0, 0))
    predict.with_trust(recogniser, folder)
    assert (folder / "trust.npz").stat().st_mtime > 0, "older than the run: measured again"


def test_a_run_says_what_it_is_worth_on_new_voices(recognisers):
    recogniser, _, folder = recognisers[0]
    assert recogniser.honest.startswith("on speakers not heard in training it got a UAR of")
    (folder / "predictions.parquet").rename(folder / "aside")
    assert "networks of its kind got a UAR" in predict.with_trust(recogniser, folder).honest, "the committed ones"
    (folder / "aside").rename(folder / "predictions.parquet")


def test_temperature_mends_what_is_too_sure():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.full(4, 3.0), size=4000)
    truth = np.array([rng.choice(4, p=p) for p in honest])
    too_sure = trust.cooled(honest, 1 / 3)
    assert trust.temperature(too_sure, truth) == pytest.approx(3, rel=0.1)
    assert trust.temperature(honest, truth) == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(trust.cooled(too_sure, 3), honest, atol=1e-4)


def test_a_description_does_not_hang_on_loudness():
    waveform = audio.load(corpora.load("mini").utterances.path.iloc[0])
    loud, soft = trust.describe([waveform, waveform / 8])
    np.testing.assert_allclose(loud, soft, atol=0.5)
    assert trust.describe([np.zeros(10)]).shape == loud[None].shape
