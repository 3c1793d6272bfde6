"""Every notebook runs from top to bottom through papermill, as small as profile smoke makes it."""

import os
from pathlib import Path

import papermill
import pytest

from serlib import corpora, report

NOTEBOOKS = corpora.REPOSITORY / "notebooks"
RUNS = report.plan("smoke")


def execute(notebook: str, parameters: dict, folder: Path, monkeypatch) -> None:
    for threads in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(threads, "1")
    path = str(NOTEBOOKS / f"{notebook}.ipynb")
    papermill.execute_notebook(path, str(folder / "executed.ipynb"), parameters, cwd=str(NOTEBOOKS), progress_bar=False)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.notebook)
def test_runs_on_the_synthetic_corpus(run, tmp_path, monkeypatch):
    execute(run.notebook, run.parameters | {"out_dir": str(tmp_path)}, tmp_path, monkeypatch)
    assert (tmp_path / "run.json").is_file()


def test_smoke_runs_every_notebook_but_the_report():
    stems = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    assert {run.notebook for run in RUNS} == stems - {"18_report"}


def test_report_runs_on_what_the_runs_left(tmp_path, monkeypatch):
    run = next(run for run in RUNS if run.notebook == "07_decision_tree_random_forest")
    execute(run.notebook, run.parameters | {"out_dir": str(tmp_path / "run")}, tmp_path, monkeypatch)
    report.collect([tmp_path / "run"], tmp_path / "predictions", tmp_path / "figures")
    folders = {"predictions_dir": str(tmp_path / "predictions"), "figures_dir": str(tmp_path / "figures")}
    execute("18_report", folders, tmp_path, monkeypatch)
    report.to_html({"18_report": tmp_path / "executed.ipynb"}, tmp_path / "pages")
    page = (tmp_path / "pages" / "18_report.html").read_text()
    assert "random forest" in page and "data:image/png;base64," in page
    assert (tmp_path / "figures" / "18_report" / "gap_mini.svg").is_file()


@pytest.mark.skipif(
    not os.environ.get("SERLIB_DATA") or "tess" not in corpora.available(),
    reason="needs TESS: set SERLIB_DATA to the folder that holds tess/",
)
def test_runs_on_real_speech(tmp_path, monkeypatch):
    settings = {"corpus": "tess", "protocol": "speaker_independent", "fold": 0, "n_epochs": 2, "max_utterances": 280}
    execute("04_cnn", settings | {"out_dir": str(tmp_path)}, tmp_path, monkeypatch)
    predictions, _ = report.read(Path(tmp_path))
    assert predictions.corpus.unique() == ["tess"]
    assert predictions.speaker.unique() == ["OAF"]
