"""What is committed as the full report is what its predictions say, and holds nothing that can be played."""

import re
import subprocess

import numpy as np
import pandas as pd
import pytest
from executed import execute

from serlib import audit, cards, claims, findings, records, runs, scoring
from serlib.corpora import REPOSITORY

PREDICTIONS = REPOSITORY / "data" / "predictions"
POOL = "cremad+ravdess+savee+tess"
MODEL = [name for name in records.ABOUT if name not in ("fold", "seed")]


@pytest.fixture(scope="module")
def predictions():
    return records.read(PREDICTIONS)


def test_readme_tables_and_sentences_are_what_the_predictions_give(predictions, tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text((REPOSITORY / "README.md").read_text())
    findings.update_readme(predictions, copy)
    assert copy.read_text() == (REPOSITORY / "README.md").read_text(), "`make figures` writes them"


def test_readme_has_no_number_of_a_result_that_nothing_fills_in():
    told = (REPOSITORY / "README.md").read_text().partition("## What comes out")[2].partition("The papers:")[0]
    told = re.sub(r"(?s)<!-- (\S+ \S+) -->.*?<!-- \1 -->", "", told)
    assert re.findall(r"\d+\.\d+|\d+ (?:%|points)", told.replace("the 95 % interval", "")) == []


def test_committed_tables_are_what_the_predictions_give(predictions):
    tables = {path.stem.removeprefix("results_"): path for path in (REPOSITORY / "figures").glob("*/results_*.csv")}
    trained = {scoring.label(*on): on for on in scoring.trained(predictions)}
    assert tables.keys() == trained.keys()
    for name, path in tables.items():
        expected = scoring.results(predictions, *trained[name]).round(2)
        pd.testing.assert_frame_equal(pd.read_csv(path), expected, check_dtype=False)


def test_every_planned_run_is_there_and_no_other():
    made = pd.read_csv(PREDICTIONS / "runs.csv")
    planned = {(run.notebook, run.name): run.where_found for run in runs.plan("full")}
    there = list(made[["notebook", "run"]].itertuples(index=False, name=None))
    assert set(there) <= planned.keys() and len(there) == len(set(there))
    assert all(planned[run] for run in planned.keys() - set(there))


def test_every_claimed_system_has_runs_and_a_card(predictions):
    planned = {}
    for run in runs.plan("full"):
        on = run.parameters["corpus"], records.sample_name(run.parameters.get("per_emotion"), None)
        planned.setdefault((run.notebook, *on, run.parameters.get("protocol")), []).append(run.where_found)
    systems = claims.systems()
    for system in systems.itertuples():
        for protocol in ("random", "speaker_independent"):
            assert (system.notebook, system.corpus, system.sample, protocol) in planned, system
    found_by_few = [all(planned[s.notebook, s.corpus, s.sample, "random"]) for s in systems.itertuples()]
    made = cards.cards(predictions)[~np.array(found_by_few)]
    assert made[["random_wa", "random_uar", "unseen_wa", "unseen_uar"]].notna().all(axis=None)
    assert not made["why they differ"].str.contains("not run").any()
    assert systems.corpus[found_by_few].tolist() == ["iemocap"]


def test_committed_runs_are_those_of_the_code():
    """Where this fails: make the runs again, or `serlib waive` a notebook with the reason why its runs still hold."""
    found = runs.stale(PREDICTIONS)
    assert found.to_dict("records") == []


def test_every_test_utterance_is_predicted_once(predictions):
    test = predictions.query("part == 'test' and role == 'result'")
    key = [name for name in records.ABOUT if name not in ("notebook", "fold")]
    assert not test.duplicated([*key, "corpus", "utterance"]).any()
    counts = test.groupby(key).size().reset_index(name="n")
    everybody = {"tess": 2800, "ravdess": 1440, "savee": 480, "cremad": 7425, "mini": 560}
    everybody |= {"ravdess+savee": 1920, POOL: 12_145}
    everybody[f"{POOL}_600_each"] = 7 * 600 + 192
    on = zip(counts.train_corpora, counts["sample"], strict=True)
    counts["everybody"] = [everybody[scoring.label(*trained)] for trained in on]
    whole = counts[counts.protocol == "speaker_independent"]
    assert (whole.n == whole.everybody).all()
    crossed = counts[counts.protocol == "cross_corpus"]
    assert (crossed.n == crossed.everybody - 192).all(), "without calm, which is RAVDESS's alone"
    part = counts[counts.protocol == "random"]
    # one more where both names of one sound are drawn (RAVDESS has a pair)
    assert (part.n - np.ceil(part.everybody / 5)).isin([0, 1]).all()
    seeds = counts[counts.train_corpora == "tess"].groupby(["model", "protocol"]).seed.agg(set)
    assert seeds.pop(("multiscale_lstm", "random")) == {1, 2, 3, 4, 5}
    assert all(found == {1, 2, 3} for found in seeds)
    files = PREDICTIONS.glob("*_predictions.parquet")
    assert set(predictions.notebook) == {path.stem.removesuffix("_predictions") for path in files}


def test_runs_trained_and_tested_on_the_committed_splits():
    """Whole corpora, seed 1: every run's parts are those of data/splits, copies of training clips aside."""
    own = records.read(PREDICTIONS, "membership").query("seed == 1 and sample == 'all' and label_share == 1")
    own = own[~own.recipe.isin(list(audit.LEAKS))]  # which say themselves that theirs are other parts
    own = own[own.recipe != "without_neutral"]  # nor is that a whole corpus
    compared = 0
    for (stem, corpus, protocol, fold), made in own[own.parent.isna()].groupby(
        ["notebook", "train_corpora", "protocol", "fold"]
    ):
        path = REPOSITORY / "data" / "splits" / f"{corpus}_{protocol}.csv"
        if path.exists():  # not of every pool
            split = pd.read_csv(path).query("fold == @fold")
            parts = made[["utterance", "part"]].drop_duplicates().sort_values("utterance").to_numpy().tolist()
            assert parts == split.sort_values("utterance")[["utterance", "part"]].to_numpy().tolist(), (stem, fold)
            compared += 1
    assert compared > 0


def test_unseen_speakers_are_unseen(predictions):
    """No speaker is tested in two folds; where training rows are recorded too, test speakers are not among them."""
    unseen = predictions.query("protocol == 'speaker_independent'")
    tested = unseen.query("part == 'test'").groupby([*MODEL, "seed", "corpus", "speaker"])
    assert (tested.fold.agg(set).str.len() == 1).all()
    for _, fold in unseen.groupby([*MODEL, "fold", "seed"]):
        speakers = fold.groupby("part").speaker.agg(set)
        assert speakers["test"].isdisjoint(speakers.get("train", set()))


def test_figures_with_data_have_all_three_files():
    drawn = list((REPOSITORY / "figures").rglob("*.svg"))
    assert len(drawn) > 20
    for path in drawn:
        assert path.with_suffix(".png").is_file() and path.with_suffix(".csv").is_file(), path
    single = [p for p in (REPOSITORY / "figures").rglob("*.png") if not p.with_suffix(".csv").exists()]
    assert [p for p in single if not re.search(r"_mini(_|$)", p.stem)] == [], "single clips are shown of mini only"


def test_make_figures_restores_every_figure_that_has_data(tmp_path, monkeypatch):
    """What the report draws from the committed tables is what is committed, no more and no less, number for number."""
    folders = {"predictions_dir": "data/predictions", "figures_dir": str(tmp_path)}
    execute("20_report", folders, tmp_path, monkeypatch)
    committed = {path.relative_to(REPOSITORY / "figures"): path for path in (REPOSITORY / "figures").rglob("*.csv")}
    drawn = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*.csv")}
    assert set(drawn) == set(committed)
    for name, path in drawn.items():
        pd.testing.assert_frame_equal(pd.read_csv(path), pd.read_csv(committed[name]), check_dtype=False)


def test_nothing_committed_can_be_played():
    listing = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in listing.stdout.splitlines():
        path = REPOSITORY / name
        if path.suffix in {".ipynb", ".html", ".svg", ".md", ".json"}:
            text = path.read_text()
            assert "data:" + "audio" not in text and "<" + "audio" not in text.replace("`<audio", ""), name
