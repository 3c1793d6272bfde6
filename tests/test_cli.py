import json

import keras
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from typer.testing import CliRunner

from serlib import corpora, explain, listening, litert, models, plots, predict, records, transformer
from serlib.cli import Method, app
from serlib.features import FeatureSet


@pytest.fixture
def data(tmp_path, tone):
    for word in ("back", "bite"):
        tone(tmp_path / "tess" / "OAF_angry" / f"OAF_{word}_angry.wav")
    (tmp_path / "tess" / "OAF_angry" / "OAF_bar_angry.wav").write_text("no audio")
    return tmp_path


def test_json_is_a_list_and_nothing_else(data):
    result = CliRunner().invoke(app, ["corpora", "--json", "--data", str(data)])
    assert result.exit_code == 0
    tess, mini = json.loads(result.stdout)
    assert set(tess) == {"corpus", "clips", "speakers", "emotions", "problems"}
    assert (
        tess["corpus"] == "tess" and tess["clips"] == 3 and tess["speakers"] == 1 and tess["emotions"] == {"anger": 2}
    )
    (problem,) = tess["problems"]
    assert problem["path"].endswith("OAF_bar_angry.wav") and "cannot be decoded" in problem["reason"]
    assert mini["clips"] == 560 and mini["speakers"] == 4 and set(mini["emotions"].values()) == {80}


def test_the_table_names_problems_and_what_is_missing(data, tmp_path):
    result = CliRunner().invoke(app, ["corpora", "--data", str(data)])
    assert "OAF_bar_angry.wav" in result.stdout and "cannot be decoded" in result.stdout
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(app, ["corpora", "--data", str(tmp_path / "empty")])
    assert result.exit_code == 0 and "tess not found" in result.stdout and "10.5683/SP2/E8H2MF" in result.stdout


def test_a_broken_folder_fails_and_says_why(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "labels.csv").write_text("path,speaker,emotion\n")
    result = CliRunner().invoke(app, ["corpora", "--data", str(tmp_path)])
    assert result.exit_code == 1 and "lists no clip" in result.stderr


def test_splits_are_written_and_named(data, tone, tmp_path):
    for speaker in ("DC", "JE", "JK"):
        for label in ("a", "sa"):
            for number in range(1, 11):
                tone(data / "savee" / "ALL" / f"{speaker}_{label}{number:02}.wav", seconds=0.05)
    result = CliRunner().invoke(app, ["splits", "--data", str(data), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    of_savee = {"savee_random.csv", "savee_speaker_independent.csv", "savee_speakers.csv"}
    assert {name for name in written if name.startswith("savee")} == of_savee
    speakers = pd.read_csv(tmp_path / "out" / "savee_speakers.csv")
    assert (
        speakers.speaker.tolist() == ["DC", "JE", "JK"]
        and set(speakers.gender) == {"male"}
        and speakers.age.isna().all()
    )
    assert len(written) == 9 and all(str(tmp_path / "out" / name) in result.stdout for name in written)
    assert "no speaker_independent: speaker_independent needs two speakers or more" in result.stdout  # TESS: OAF alone
    assert "found 60 of 480 official speech clips" in result.stdout


def test_splits_of_what_is_not_there_fail(tmp_path):
    result = CliRunner().invoke(app, ["splits", "savee", "mini", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert result.exit_code == 1 and "No Surrey" in result.stderr
    assert len(list(tmp_path.glob("mini_*.csv"))) == 5


def test_help_lists_the_commands():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(command in result.stdout for command in ("corpora", "download", "features", "predict", "splits"))


def test_features_fills_the_cache_and_says_where(data, tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "MEMORY", tmp_path / "features")
    result = CliRunner().invoke(
        app, ["features", "tess", "--data", str(data), "--features", "mfcc+zcr", "--n-mfcc", "13"]
    )
    assert result.exit_code == 0 and result.stdout.startswith("tess: 2 clips, 0 MB"), result.output
    (folder,) = (tmp_path / "features").glob("mfcc+zcr_*")
    assert len(list(folder.glob("*.npy"))) == 2 and str(folder) in result.stdout
    result = CliRunner().invoke(app, ["features", "tess", "--data", str(data), "--features", "jitter"])
    assert result.exit_code == 1 and "unknown features ['jitter']" in result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = models.cnn_lstm(np.random.default_rng(0).normal(-40, 15, size=(4, 32, 16)).astype("float32"), 2)
    return written(tmp_path_factory.mktemp("cli") / "run", model)


def written(folder, model):
    folder.mkdir(exist_ok=True)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini"), "classes": ["anger", "fear"]}
    records.write_run(folder, model=model, features=FeatureSet(("log_mel",), n_mels=16, n_frames=32), **about)
    return folder


def ask(run, *paths):
    return CliRunner().invoke(app, ["predict", *map(str, paths), "--run", str(run)])


def test_predict_names_the_emotion_or_the_remedy(run, tmp_path, tone, monkeypatch):
    clip = tone(tmp_path / "clip.wav")
    result = ask(tmp_path, clip)
    assert result.exit_code == 1 and "jupyter execute notebooks/06_cnn_lstm.ipynb" in result.stderr
    (answer,) = json.loads(ask(run, clip, "--json").stdout)
    assert answer["emotion"] in ("anger", "fear") and abs(answer["p_anger"] + answer["p_fear"] - 1) < 1e-3
    assert len(answer["over_time"]) == 1 and answer["reasons"] == [] and answer["error"] is None
    result = ask(run, clip)
    assert "clip.wav" in result.stdout and "synthetic speech" in result.stdout and "not calibrated" in result.stdout
    assert "got a UAR of" in result.stdout
    monkeypatch.setattr(predict, "find", lambda: run)
    assert str(run) in CliRunner().invoke(app, ["predict", str(clip)]).stdout.replace("\n", "")


def test_where_litert_cannot_answer_keras_does_and_it_is_said(run, tmp_path, tone, monkeypatch):
    def refuse(_):
        raise litert.LiteRTError("no LiteRT")

    clip = tone(tmp_path / "clip.wav")
    light = ask(run, clip, "--json")
    monkeypatch.setattr(litert, "load", refuse)
    by_keras = ask(run, clip, "--json")
    assert light.stderr == "" and by_keras.stderr == "no LiteRT; Keras answers, which takes longer to start.\n"
    (one,), (other,) = json.loads(light.stdout), json.loads(by_keras.stdout)
    assert one["p_anger"] == pytest.approx(other["p_anger"], abs=2e-4) and one["emotion"] == other["emotion"]


def test_a_bad_file_costs_its_own_answer_only(run, tmp_path, tone):
    (tmp_path / "text.wav").write_text("no sound")
    sf.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    result = ask(run, tone(tmp_path / "a.wav"), tmp_path / "text.wav", tmp_path / "silence.wav", tmp_path / "none.wav")
    assert result.exit_code == 1
    assert "there is no file" in result.stderr and "text.wav cannot be decoded" in result.stderr
    rows = [line.split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    assert [row[3].strip() for row in rows][1::2] == ["not read", "not read"] and rows[2][3].strip() == "none"
    assert rows[0][3].strip() in ("anger", "fear") and "silence.wav: silence:" in result.stdout


def test_predict_draws_emotion_over_time(run, tmp_path, tone):
    result = ask(run, tone(tmp_path / "a.wav", seconds=3), "--over-time", tmp_path / "time.png")
    assert result.exit_code == 0 and matplotlib.image.imread(tmp_path / "time.png").shape[1] == 9 * 130


def test_predict_says_what_to_do_with_what_it_cannot_read(run, tmp_path, tone):
    (tmp_path / "memo.m4a").write_bytes(b"not sound")
    png = tmp_path / "why.png"
    result = ask(run, tmp_path / "memo.m4a", tmp_path, "--explain", png, "--over-time", png)
    assert result.exit_code == 1 and not png.exists()
    assert "Save it as wav, flac, ogg or mp3." in result.stderr and "is a folder; name the files in it" in result.stderr
    assert "UAR" not in result.stdout and "why.png" not in result.stdout, "nothing was read, nothing drawn"
    result = ask(run, tone(tmp_path / "clip.wav"), "--method", "grad_cam")
    assert result.exit_code == 1 and "give a picture to --explain as well" in result.stderr


def test_predict_draws_why_or_nothing(run, tmp_path, monkeypatch):
    assert tuple(Method) == (*explain.METHODS, *explain.ATTENTION)
    drawn, draw = [], plots.explanations
    monkeypatch.setattr(plots, "explanations", lambda *a, **options: drawn.append(a) or draw(*a, **options))
    png, clips = tmp_path / "why.png", corpora.load("mini").utterances.path.iloc[:2]
    result = ask(run, *clips, "--explain", png)
    assert result.exit_code == 0 and f"{png} shows" in result.stdout, result.output
    height, width, _ = matplotlib.image.imread(png).shape
    assert width == 1300 and 600 < height < 900
    ((x, maps, times, titles),) = drawn
    answers = json.loads(ask(run, *clips, "--json").stdout)
    target = [("anger", "fear").index(answer["emotion"]) for answer in answers]
    model = keras.saving.load_model(run / "model.keras")
    np.testing.assert_allclose(maps, explain.maps(model, x, target), atol=1e-6)
    assert len(times) == 32 and maps.max() > 0
    for title, answer in zip(titles, answers, strict=True):
        share = f"{answer['p_' + answer['emotion']]:.0%}"
        name = answer["path"].split("/")[-1]
        assert title == f"{name}: {answer['emotion']}, {share} (the 0.62 of {answer['seconds']:.2f} s that say so most)"
    png.unlink()
    result = ask(run, *clips, "--explain", tmp_path / "why.wav")
    assert result.exit_code == 1 and "must end in .png" in result.stderr and not (tmp_path / "why.wav").exists()
    result = ask(run, *clips, "--explain", tmp_path / "nowhere" / "why.png")
    assert result.exit_code == 1 and "there is no folder" in result.stderr
    frames = keras.Input((32, 16))
    lstm = keras.Model(frames, keras.layers.Dense(2)(keras.layers.LSTM(4)(frames)))
    run = written(tmp_path / "other", lstm)
    result = ask(run, *clips, "--explain", png, "--method", "grad_cam")
    assert result.exit_code == 1 and "--method smooth_grad" in result.stderr and not png.exists()
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    result = ask(run, *clips, "--explain", png)
    assert result.exit_code == 0 and "according to smooth_grad" in result.stdout and png.exists()
    vit = transformer.classifier(transformer.Config((32, 16), (8, 8), hidden_dim=8, num_layers=1, num_heads=2), 2)
    result = ask(written(run, vit), *clips, "--explain", png)
    assert result.exit_code == 0 and "what attention gathered" in result.stdout
