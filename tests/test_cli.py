import json

import pytest
from typer.testing import CliRunner

from serlib.cli import app


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


def test_help_lists_the_commands():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0 and "corpora" in result.stdout and "download" in result.stdout
