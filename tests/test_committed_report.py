"""What is committed as the full report is what its predictions say, and holds nothing that can be played."""

import subprocess

import pandas as pd
import pytest

from serlib import report
from serlib.corpora import REPOSITORY

PREDICTIONS = REPOSITORY / "data" / "predictions"


@pytest.fixture(scope="module")
def predictions():
    return report.read(PREDICTIONS)[0]


def test_readme_table_is_what_the_predictions_give(predictions):
    table = report.markdown(report.results(predictions, "tess"))
    assert table in (REPOSITORY / "README.md").read_text(), "`make figures` writes the table into the README"


def test_committed_tables_are_what_the_predictions_give(predictions):
    for corpus in ("tess", "mini"):
        committed = pd.read_csv(REPOSITORY / "figures" / "18_report" / f"results_{corpus}.csv")
        pd.testing.assert_frame_equal(committed, report.results(predictions, corpus), check_dtype=False)


def test_every_planned_run_is_there(predictions):
    """Each run that report.yaml plans is in runs.csv, and no test utterance is missing or counted twice."""
    runs = pd.read_csv(PREDICTIONS / "runs.csv")
    listed = set(zip(runs.notebook, runs.corpus, runs.protocol, runs.fold, runs.seed, strict=True))
    for run in report.plan("full"):
        about = [run.parameters.get(key) for key in ("corpus", "protocol", "fold", "seed")]
        if about[1] is not None:
            match = [row for row in listed if row[:3] == (run.notebook, *about[:2]) and row[4] == about[3]]
            assert match, f"{run.notebook} {run.name} is not in runs.csv"
    key = ["notebook", "model", "variant", "corpus", "protocol", "fold", "seed", "part", "utterance"]
    assert not predictions.duplicated(key).any()
    whole = predictions.query("corpus == 'tess' and protocol == 'speaker_independent' and part == 'test'")
    assert whole.groupby(["model", "variant", "seed"]).utterance.nunique().unique().tolist() == [2800]


def test_unseen_speakers_are_unseen(predictions):
    """Where training rows are recorded too, no tested speaker is among them."""
    trees = predictions.query("protocol == 'speaker_independent' and notebook == '07_decision_tree_random_forest'")
    assert len(trees) > 0
    for _, fold in trees.groupby(["corpus", "fold", "seed"]):
        speakers = fold.groupby("part").speaker.agg(set)
        assert speakers["test"].isdisjoint(speakers["train"])


def test_figures_with_data_have_all_three_files():
    for path in (REPOSITORY / "figures").rglob("*.svg"):
        assert path.with_suffix(".png").is_file() and path.with_suffix(".csv").is_file(), path
    single = [p for p in (REPOSITORY / "figures").rglob("*.png") if not p.with_suffix(".csv").exists()]
    assert [p for p in single if not p.stem.endswith("_mini")] == [], "single clips are shown of mini only"


def test_nothing_committed_can_be_played():
    listing = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in listing.stdout.splitlines():
        path = REPOSITORY / name
        if path.suffix in {".ipynb", ".html", ".svg", ".md", ".json"}:
            text = path.read_text()
            assert "data:" + "audio" not in text and "<" + "audio" not in text.replace("`<audio", ""), name
