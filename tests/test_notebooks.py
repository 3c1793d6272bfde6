"""Every notebook runs from top to bottom through papermill, as small as profile smoke makes it."""

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from executed import NOTEBOOKS, execute

from serlib import corpora, measured, pages, records, runs

RUNS = runs.plan("smoke")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.notebook)
def test_runs_on_the_synthetic_corpus(run, tmp_path, monkeypatch):
    execute(run.notebook, run.parameters | {"out_dir": str(tmp_path)}, tmp_path, monkeypatch)
    assert (tmp_path / "run.json").is_file()
    if (tmp_path / "measures.parquet").exists():
        for name, table in records.read(tmp_path, "measures").groupby("measure"):
            if name in measured.FIGURES:
                assert measured.FIGURES[name](table.dropna(axis="columns", how="all")).axes
    pictures = [path for path in tmp_path.glob("figures/*") if path.suffix != ".png"]
    assert pictures == [], "what has data is a measure, and the report draws it"


def test_every_notebook_is_an_experiment_of_smoke_or_an_analysis():
    stems = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    assert {run.notebook for run in RUNS} == stems - set(runs.analyses())
    for stem in runs.analyses():
        assert {"predictions_dir", "figures_dir"} <= set(runs.parameters_of(NOTEBOOKS / f"{stem}.ipynb"))


def test_report_runs_on_what_the_runs_left(tmp_path, monkeypatch):
    run = next(run for run in RUNS if run.notebook == "07_decision_tree_random_forest")
    execute(run.notebook, run.parameters | {"out_dir": str(tmp_path / "run")}, tmp_path, monkeypatch)
    runs.collect([tmp_path / "run"], tmp_path / "predictions", tmp_path / "figures")
    folders = {"predictions_dir": str(tmp_path / "predictions"), "figures_dir": str(tmp_path / "figures")}
    execute("20_report", folders, tmp_path, monkeypatch)
    book = pages.book({"20_report": tmp_path / "executed.ipynb"}, tmp_path / "book").parent
    page = (book / "notebooks" / "20_report.html").read_text()
    assert "random forest" in page
    assert page.count("<img alt=") > 5 and "UAR (%)" in re.search(r'<img alt="([^"]+)"', page)[1]
    assert (tmp_path / "figures" / "20_report" / "gap_mini_140_in_all.svg").is_file()
    drawn = tmp_path / "figures" / run.notebook / "importance_mini_140_in_all_speaker_independent.csv"
    assert {"functional", "impurity", "seed"} <= set(pd.read_csv(drawn))


def test_a_pool_is_tested_corpus_by_corpus(tmp_path, monkeypatch):
    """Two corpora with rooms of their own, one of which lacks an emotion: what is left is shared."""
    labels = pd.read_csv(corpora.mini() / "labels.csv").groupby(["speaker", "emotion"]).head(6)
    for name, speakers in (("one", ["F1", "M1"]), ("two", ["F2", "M2"])):
        own = labels[labels.speaker.isin(speakers) & ((name == "one") | (labels.emotion != "surprise"))]
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in own.path:
            shutil.copy(corpora.mini() / path, tmp_path / "data" / name / Path(path).name)
        own.assign(path=own.path.map(lambda path: Path(path).name)).to_csv(tmp_path / "data" / name / "labels.csv")
    settings = {"corpus": "one+two", "protocol": "cross_corpus", "n_epochs": 1, "data_dir": str(tmp_path / "data")}
    settings |= {"networks": ["cnn1d_lstm"], "speeds": [1.1], "per_emotion": None, "out_dir": str(tmp_path)}
    execute("13_four_corpora", settings, tmp_path, monkeypatch)
    predictions = records.read(tmp_path)
    assert predictions.groupby("fold").corpus.unique().str[0].to_dict() == {0: "one", 1: "two"}
    assert "surprise" not in set(predictions.emotion) and predictions.filter(regex="^p_").notna().all(axis=None)
    assert set(predictions.train_corpora) == {"one+two"}


@pytest.mark.skipif(
    not os.environ.get("SERLIB_DATA") or "tess" not in corpora.available(),
    reason="needs TESS: set SERLIB_DATA to the folder that holds tess/",
)
def test_runs_on_real_speech(tmp_path, monkeypatch):
    settings = {"corpus": "tess", "protocol": "speaker_independent", "fold": 0, "n_epochs": 2, "max_utterances": 280}
    execute("04_cnn", settings | {"out_dir": str(tmp_path)}, tmp_path, monkeypatch)
    predictions = records.read(Path(tmp_path))
    assert predictions.corpus.unique() == ["tess"]
    assert set(predictions[predictions.part == "test"].speaker) == {"OAF"}
