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


def test_every_planned_run_is_there_and_no_other():
    key = ["notebook", "corpus", "protocol", "fold", "seed"]
    runs = pd.read_csv(PREDICTIONS / "runs.csv", dtype={"fold": "Int64", "seed": "Int64"})[key]
    planned = pd.DataFrame([{"notebook": run.notebook, **run.parameters} for run in report.plan("full")])[key]
    planned = planned.astype({"fold": "Int64", "seed": "Int64"})
    explicit = planned.seed.notna()  # 01 to 03 have a seed of their own, which the plan leaves as it is
    listed, expected = (set(map(tuple, t.fillna(-1).to_numpy())) for t in (runs, planned[explicit]))
    assert expected <= listed
    assert {(r[0], r[1]) for r in listed} == set(map(tuple, planned[["notebook", "corpus"]].to_numpy()))
    assert len(runs) == len(planned)


def test_every_test_utterance_is_predicted_once(predictions):
    test = predictions.query("part == 'test'")
    key = ["model", "variant", "corpus", "protocol", "seed"]
    assert not test.duplicated([*key, "utterance"]).any()
    counts = test.groupby(key).size().reset_index(name="n")
    everybody = {"tess": 2800, "mini": 560}
    whole = counts[counts.protocol == "speaker_independent"]
    assert (whole.n == whole.corpus.map(everybody)).all()
    part = counts[counts.protocol == "random"]
    assert (part.n == part.corpus.map(everybody) // 5).all()
    seeds = counts[counts.corpus == "tess"].groupby(["model", "protocol"]).seed.agg(set)
    assert all(found == {1, 2, 3} for found in seeds)
    assert set(predictions.notebook) == {path.stem for path in PREDICTIONS.glob("[0-9]*.parquet")} - {
        path.stem for path in PREDICTIONS.glob("*_history.parquet")
    }


def test_unseen_speakers_are_unseen(predictions):
    """A fold tests one speaker; where training rows are recorded too, that speaker is not among them."""
    unseen = predictions.query("protocol == 'speaker_independent'")
    for _, fold in unseen.groupby(["model", "corpus", "fold", "seed"]):
        speakers = fold.groupby("part").speaker.agg(set)
        assert len(speakers["test"]) == 1
        assert speakers["test"].isdisjoint(speakers.get("train", set()))


def test_figures_with_data_have_all_three_files():
    drawn = list((REPOSITORY / "figures").rglob("*.svg"))
    assert len(drawn) > 20
    for path in drawn:
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
