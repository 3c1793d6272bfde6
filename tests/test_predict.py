import json
import shutil

import keras
import numpy as np
import pytest
import soundfile as sf

from serlib import audio, corpora, explain, features, models, predict, records, training

WANTED = features.FeatureSet(("log_mel",), n_mels=16, n_frames=32)
CLASSES = ["anger", "fear", "sadness"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as notebooks 04 and 06 leave it, of a network that was never trained."""
    folder = tmp_path_factory.mktemp("run")
    training.set_seed(0)
    model = models.cnn_lstm(np.random.default_rng(0).normal(size=(4, 32, 16)).astype("float32"), 3)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini")}
    records.write_run(folder, model=model, classes=CLASSES, features=WANTED, **about)
    return folder


def answers(recogniser, n):
    return [predict.answer(recogniser, path) for path in corpora.load("mini").utterances.path[:n]]


def write(path, waveform, sr=audio.SR):
    sf.write(path, waveform, sr)
    return path


def test_a_short_recording_is_heard_as_training_clips_are(run, tmp_path, tone):
    recogniser = predict.load(run)
    assert recogniser.features == WANTED and recogniser.corpus == "mini" and recogniser.seconds == pytest.approx(0.62)
    path = tone(tmp_path / "a.wav", seconds=0.4)
    told = predict.answer(recogniser, path)
    x = features.extract(audio.load(path), WANTED).T[None]
    expected = training.probabilities(recogniser.model, x)[0]
    np.testing.assert_allclose(list(told.p.values()), expected, atol=1e-6)
    assert told.emotion == CLASSES[expected.argmax()] and told.seconds == pytest.approx(0.4) and not told.reasons


def test_a_long_recording_is_heard_in_windows_to_its_end(run, tmp_path):
    recogniser = predict.load(run)
    n = WANTED.frames.n_samples(WANTED.n_frames)
    waveform = 0.1 * np.random.default_rng(0).standard_normal(5 * n // 2 + 7).astype("float32")
    told = predict.answer(recogniser, write(tmp_path / "long.wav", waveform))
    starts = (told.over_time.start * audio.SR).round().astype(int).tolist()
    assert starts == [0, n // 2, n, n // 2 * 3, len(waveform) - n]
    assert told.over_time.end.iloc[-1] == pytest.approx(told.seconds) == len(waveform) / audio.SR
    kept = audio.load(tmp_path / "long.wav")
    x = np.stack([features.extract(kept[k : k + n], WANTED).T for k in starts])
    p = training.probabilities(recogniser.model, x)
    np.testing.assert_allclose(told.over_time.filter(like="p_"), p, atol=1e-5)
    np.testing.assert_allclose(list(told.p.values()), p.mean(axis=0), atol=1e-5)
    surest = p[:, p.mean(axis=0).argmax()].argmax()
    np.testing.assert_allclose(predict.inputs(recogniser, [told])[0], x[surest], atol=1e-4)


def test_quiet_stretches_have_no_say(run, tmp_path):
    recogniser, n = predict.load(run), WANTED.frames.n_samples(WANTED.n_frames)
    noise = np.random.default_rng(0).standard_normal(4 * n)
    told = predict.answer(recogniser, write(tmp_path / "a.wav", noise * np.repeat([0.1, 0.001, 0.001, 0.001], n)))
    assert told.over_time.heard.tolist() == [True, True, *[False] * (len(told.over_time) - 2)]
    mean = told.over_time[told.over_time.heard].filter(like="p_").mean()
    np.testing.assert_allclose(list(told.p.values()), mean, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda t: 0.1 * np.sin(1000 * t[:800]), "too short: 0.05 s"),
        (lambda t: 0 * t, "silence: it is nowhere louder than -120 dB"),
        (lambda t: np.clip(9 * np.sin(1000 * t), -1, 1), "clipped: "),
    ],
)
def test_what_no_network_should_answer_about(run, tmp_path, make, reason):
    told = predict.answer(predict.load(run), write(tmp_path / "a.wav", make(np.arange(32_000) / audio.SR)))
    assert told.emotion is None and told.error is None
    assert [text for text in told.reasons if text.startswith(reason)]


@pytest.mark.parametrize("options", [{"sr": 8000}, {"sr": 44_100, "channels": 2}, {"sr": 48_000, "channels": 6}])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_any_rate_channels_and_format(run, tmp_path, tone, options, suffix):
    if suffix == "mp3" and options.get("channels", 1) > 2:
        pytest.skip("MP3 has two channels at most")
    path = tone(tmp_path / f"a.{suffix}", seconds=1.5, frequency=440, **options)
    pieces = np.concatenate(list(audio.blocks(path, seconds=0.2)))
    np.testing.assert_allclose(pieces[200:-2000], audio.load(path)[200 : len(pieces) - 2000], atol=2e-3)
    told = predict.answer(predict.load(run), path)
    assert told.error is None and told.seconds == pytest.approx(1.5, abs=0.1)


def test_a_file_that_cannot_be_read_is_named(run, tmp_path, tone):
    recogniser = predict.load(run)
    whole = tone(tmp_path / "whole.flac", seconds=2)
    (tmp_path / "cut.flac").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text.wav").write_text("no sound")
    sf.write(tmp_path / "empty.wav", np.zeros(0), audio.SR)
    sf.write(tmp_path / "nan.wav", np.full(9000, np.nan), audio.SR, subtype="FLOAT")
    for name, message in {
        "cut.flac": "cannot be decoded",
        "text.wav": "cannot be decoded",
        "empty.wav": "holds no samples",
        "nan.wav": "holds NaN",
        "none.wav": "there is no file",
    }.items():
        told = predict.answer(recogniser, tmp_path / name)
        assert told.emotion is None and message in told.error and name in told.error


def test_the_best_run_is_found(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run with a model .*jupyter execute notebooks/06_cnn_lstm"):
        predict.find(tmp_path)
    record = json.loads((run / "run.json").read_text())
    for name, notebook, corpus, classes in (
        ("build/notebooks/04_cnn", "04_cnn", "tess", CLASSES),
        ("build/demo/runs/06_cnn_lstm/mini-random-seed1", "06_cnn_lstm", "mini", CLASSES),
        ("build/full/runs/06_cnn_lstm/tess-random-seed1", "06_cnn_lstm", "tess", CLASSES),
        ("build/full/runs/13_four_corpora/x", "13_four_corpora", "a+b", None),
        ("build/demo/runs/18_stronger_recogniser/x", "18_stronger_recogniser", "mini", CLASSES),
        ("build/full/runs/18_stronger_recogniser/x", "18_stronger_recogniser", "a+b", CLASSES),
    ):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        told = {"notebook": notebook, "classes": classes, "corpus": {"name": corpus}}
        (folder / "model.keras").touch()
        (folder / "run.json").write_text(json.dumps(record | told))
    assert predict.find(tmp_path) == folder
    shutil.rmtree(folder)
    assert predict.find(tmp_path) == tmp_path / "build/full/runs/06_cnn_lstm/tess-random-seed1"
    shutil.rmtree(tmp_path / "build/full")
    shutil.rmtree(tmp_path / "build/notebooks")
    assert predict.find(tmp_path) == tmp_path / "build/demo/runs/06_cnn_lstm/mini-random-seed1", "not the briefest one"


def test_without_its_training_clips_answers_are_as_the_network_gives_them(run, tone, tmp_path):
    recogniser = predict.with_trust(predict.load(run), run)
    assert recogniser.trust is None, "this run kept no list of its clips"
    assert "networks of its kind got a UAR of" in recogniser.honest


def test_relevance_is_the_map_of_the_emotion_asked_for(run):
    recogniser = predict.load(run)
    x = predict.inputs(recogniser, answers(recogniser, 2))
    for method in ("grad_cam", "smooth_grad"):
        ours = predict.relevance(recogniser, x, ["sadness", "anger"], method)
        np.testing.assert_allclose(ours, explain.maps(recogniser.model, x, [2, 0], method), atol=1e-6)
        assert ours.shape == x.shape and ours.max() > 0
    assert len(recogniser.hertz) == 16
    tone = np.sin(2 * np.pi * recogniser.hertz[9] * np.arange(9920) / audio.SR)
    assert features.extract(tone, WANTED)[:, 16].argmax() == 9, "hertz are those of the band that hears them"


def test_an_lstm_alone_has_maps_without_a_convolution(run):
    frames = keras.Input((32, 4))
    lstm = keras.Model(frames, keras.layers.Dense(3)(keras.layers.LSTM(4)(frames)))
    wanted = features.FeatureSet(("mfcc",), n_mfcc=4, n_frames=32)
    recogniser = predict.Recogniser(lstm, CLASSES, wanted, "mini")
    assert recogniser.hertz is None, "coefficients have no frequency"
    x = predict.inputs(recogniser, answers(recogniser, 1)) / 100
    with pytest.raises(explain.ExplainError, match=r"no convolution .* smooth_grad needs none"):
        predict.relevance(recogniser, x, ["fear"])
    assert predict.relevance(recogniser, x, ["fear"], "smooth_grad").max() > 0


def test_what_is_no_finished_run_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"with a model\. This makes one: .*\s.*{predict.USABLE}"):
        predict.load(tmp_path)
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"features": None}))
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(ValueError, match=r"run\.json does not say what its model is fed"):
        predict.load(tmp_path)


@pytest.mark.parametrize("change", [{"loudness": 1}, {"names": ["smell"]}, {"frames": {"step": 3}}])
def test_a_run_of_another_version_says_what_to_do(run, tmp_path, change):
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"features": record["features"] | change}))
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(ValueError, match=r"run\.json describes features that this version does not know .* again"):
        predict.load(tmp_path)
