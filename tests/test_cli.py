import json

import keras
import matplotlib.image
import numpy as np
import pytest
from typer.testing import CliRunner

from serlib import corpora, explain, listening, models, plots, records, transformer
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
    assert {name for name in written if "mini" not in name} == {"savee_random.csv", "savee_speaker_independent.csv"}
    assert len(written) == 6 and all(str(tmp_path / "out" / name) in result.stdout for name in written)
    assert "no speaker_independent: speaker_independent needs two speakers or more" in result.stdout  # TESS: OAF alone
    assert "found 60 of 480 official speech clips" in result.stdout


def test_splits_of_what_is_not_there_fail(tmp_path):
    result = CliRunner().invoke(app, ["splits", "savee", "mini", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert result.exit_code == 1 and "No Surrey" in result.stderr
    assert len(list(tmp_path.glob("mini_*.csv"))) == 4


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
    result = CliRunner().invoke(app, ["features", "tess", "--data", str(data), "--features", "pitch"])
    assert result.exit_code == 1 and "unknown features ['pitch']" in result.stderr


def test_predict_names_the_emotion_or_the_remedy(tmp_path, tone):
    clip = tone(tmp_path / "clip.wav")
    result = CliRunner().invoke(app, ["predict", str(tmp_path), str(clip)])
    assert result.exit_code == 1 and "run notebook 04, 05, 06, 08, 09 or 10" in result.stderr
    model = models.cnn_lstm(np.random.default_rng(0).normal(size=(4, 16, 8)).astype("float32"), 2)
    wanted = FeatureSet(("log_mel",), n_mels=8, n_frames=16)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini")}
    (tmp_path / "run").mkdir()
    records.write_run(tmp_path / "run", model=model, classes=["anger", "fear"], features=wanted, **about)
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(clip), "--json"])
    (answer,) = json.loads(result.stdout)
    assert answer["emotion"] in ("anger", "fear") and abs(answer["p_anger"] + answer["p_fear"] - 1) < 1e-3
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(clip)])
    assert "clip.wav" in result.stdout and "the first 0.3 s of each recording are heard" in result.stdout
    assert "synthetic speech" in result.stdout
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(tmp_path / "none.wav")])
    assert result.exit_code == 1 and "there is no file" in result.stderr and "none.wav" in result.stderr


def test_predict_draws_why_or_nothing(tmp_path, monkeypatch):
    assert tuple(Method) == (*explain.METHODS, *explain.ATTENTION)
    mini = corpora.load("mini")
    model = models.cnn_lstm(np.random.default_rng(0).normal(-40, 15, size=(4, 32, 16)).astype("float32"), 2)
    wanted = FeatureSet(("log_mel",), n_mels=16, n_frames=32)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": mini, "classes": ["anger", "fear"]}
    records.write_run(tmp_path, model=model, features=wanted, **about)
    drawn, draw = [], plots.explanations
    monkeypatch.setattr(plots, "explanations", lambda *a, **options: drawn.append(a) or draw(*a, **options))
    png = tmp_path / "why.png"
    ask = ["predict", str(tmp_path), *map(str, mini.utterances.path.iloc[:2]), "--explain", str(png)]
    assert CliRunner().invoke(app, [*ask, str(tmp_path / "none.wav")]).exit_code == 1 and not png.exists()
    result = CliRunner().invoke(app, ask)
    assert result.exit_code == 0 and f"{png} shows" in result.stdout, result.output
    height, width, _ = matplotlib.image.imread(png).shape
    assert width == 1300 and 600 < height < 900
    ((x, maps, times, titles),) = drawn
    answers = json.loads(CliRunner().invoke(app, [*ask, "--json"]).stdout)
    target = [("anger", "fear").index(answer["emotion"]) for answer in answers]
    np.testing.assert_allclose(maps, explain.maps(model, x, target), atol=1e-6)
    assert len(times) == 32 and maps.max() > 0
    for title, answer, clip in zip(titles, answers, mini.utterances.itertuples(), strict=False):
        share = f"{answer['p_' + answer['emotion']]:.0%}"
        name = answer["path"].split("/")[-1]
        assert title == f"{name}: {answer['emotion']}, {share} (cut to 0.62 of {clip.seconds:.2f} s)"
    png.unlink()
    result = CliRunner().invoke(app, [*ask[:-1], str(tmp_path / "why.wav")])
    assert result.exit_code == 1 and "must end in .png" in result.stderr and not (tmp_path / "why.wav").exists()
    result = CliRunner().invoke(app, [*ask[:-1], str(tmp_path / "nowhere" / "why.png")])
    assert result.exit_code == 1 and "there is no folder" in result.stderr
    frames = keras.Input((32, 16))
    lstm = keras.Model(frames, keras.layers.Dense(2)(keras.layers.LSTM(4)(frames)))
    records.write_run(tmp_path, model=lstm, features=wanted, **about)
    result = CliRunner().invoke(app, [*ask, "--method", "grad_cam"])
    assert result.exit_code == 1 and "--method smooth_grad" in result.stderr and not png.exists()
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    result = CliRunner().invoke(app, ask)
    assert result.exit_code == 0 and "according to smooth_grad" in result.stdout and png.exists()
    vit = transformer.classifier(transformer.Config((32, 16), (8, 8), hidden_dim=8, num_layers=1, num_heads=2), 2)
    records.write_run(tmp_path, model=vit, features=wanted, **about)
    result = CliRunner().invoke(app, ask)
    assert result.exit_code == 0 and "what attention gathered" in result.stdout
