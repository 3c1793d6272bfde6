import json

import numpy as np
import pandas as pd
import pytest
from answers import about, rows, some

from serlib import corpora, provenance, records
from serlib.splits import Split


def test_a_sample_has_a_name():
    names = [records.sample_name(*given) for given in ((), (600,), (None, 140), (20, 140))]
    assert names == ["all", "600_each", "140_in_all", "140_in_all_20_each"]
    assert [about(sample=name).sample for name in names] == names


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"start": "downloaded"}, "start is 'downloaded'; it may be scratch, pretrained, published"),
        ({"task": "gender"}, "task is 'gender'"),
        ({"role": "default"}, "role is 'default'"),
        ({"sample": "paper_600"}, "sample is 'paper_600'"),
        ({"sample": ""}, "sample is ''"),
        ({"label_share": 10}, "label_share is 10"),
    ],
)
def test_what_a_model_is_about_is_checked(other, message):
    with pytest.raises(ValueError, match=message):
        about(**other)


def test_predictions():
    table = rows("random", "OAF", 3, 1, seed=2)
    assert tuple(table.columns) == (*records.ABOUT, *records.CLIP, "p_anger", "p_fear")
    assert (table.predicted == table.emotion).tolist() == [True, True, True, False]
    assert set(table.seed) == {2} and set(table.corpus) == set(table.train_corpora) == {"tess"}


def test_of_equal_probabilities_the_first_by_name_counts():
    clips = some().head(1)[["corpus", "utterance", "speaker", "text", "emotion"]]
    table = records.predictions(about(), clips, np.array([[0.4, 0.4, 0.2]]), ["fear", "calm", "anger"])
    assert table.predicted.tolist() == ["calm"] and table.p_fear.tolist() == [0.4]


@pytest.mark.parametrize("p", [np.ones((2, 2)), np.ones((1, 3)), np.array([[np.nan, 1]])])
def test_probabilities_that_do_not_fit_are_refused(p):
    clips = some().head(1)[["corpus", "utterance", "speaker", "text", "emotion"]]
    with pytest.raises(ValueError, match="1 clips of 2 classes are wanted"):
        records.predictions(about(), clips, p, ["anger", "fear"])


def test_membership_names_parts_and_parents():
    clips = pd.DataFrame({"utterance": list("abcde"), "parent": [None] * 4 + ["a"]})
    clips = clips.assign(corpus="tess", speaker="OAF", text=None, sha256="0123456789abcdef" * 4)
    table = records.membership(about(), clips, Split(0, np.array([0, 3, 4]), np.array([1]), np.array([2])))
    assert dict(zip(table.utterance, table.part, strict=True)) == dict(
        a="train", d="train", e="train", b="validation", c="test"
    )
    assert set(table.sha256) == {"0123456789abcdef"}
    assert table.set_index("utterance").parent.dropna().to_dict() == {"e": "a"}
    assert tuple(table.columns) == records.MEMBERSHIP


def test_measures_keep_their_own_columns():
    table = records.measures(about(), "importance", pd.DataFrame({"functional": ["mfcc_0 mean"], "impurity": [0.1]}))
    assert table.measure.tolist() == ["importance"] and table.model.tolist() == ["cnn"]
    told = {"notebook": "01", "train_corpora": "mini", "sample": "all"}
    of_corpus = records.measures(told, "seconds", pd.DataFrame({"x": [1]}))
    assert of_corpus.columns.tolist() == [*told, "measure", "x"]
    with pytest.raises(ValueError, match="importance: columns fold are given"):
        records.measures(about(), "importance", pd.DataFrame({"fold": [1]}))


def test_a_run_is_written_and_read(tmp_path):
    epochs = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5]})
    found = corpora.load("mini")
    tables = {"predictions": some(), "history": records.history(about(), epochs)}
    records.write_run(tmp_path, notebook="04_cnn", parameters={"seed": 1}, corpus=found, **tables)
    pd.testing.assert_frame_equal(records.read(tmp_path), some())
    pd.testing.assert_frame_equal(records.read(tmp_path, "history"), tables["history"])
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["code"] == provenance.code_hash("04_cnn", provenance.sources())
    assert record["corpus"]["name"] == "mini" and record["parameters"] == {"seed": 1}
    assert records.read(tmp_path, "membership").empty
    records.write_run(tmp_path, notebook="04_cnn", parameters={}, predictions=some())
    assert not (tmp_path / "history.parquet").exists(), "an earlier run's table does not pass for this one's"


def test_run_json_comes_last(tmp_path):
    records.write_run(tmp_path, notebook="04_cnn", parameters={})

    class Failing:
        def save(self, path):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        records.write_run(tmp_path, notebook="04_cnn", parameters={}, model=Failing())
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="sample"), "lacks sample"),
        (lambda t: t.assign(part="tested"), "part is tested; it may be train, validation, test"),
        (lambda t: t.assign(role=["result"] * (len(t) - 1) + ["default"]), "role is default"),
        (lambda t: t.assign(speaker=None), "80 rows have no speaker"),
        (lambda t: t.assign(hop_length=320), "columns hop_length are unknown"),
        (lambda t: t.assign(predicted="calm"), "columns p_calm are unknown or missing"),
    ],
)
def test_a_table_of_other_columns_is_refused_by_name(tmp_path, spoil, message):
    spoil(some()).to_parquet(tmp_path / "04_cnn_predictions.parquet")
    with pytest.raises(ValueError, match=rf"04_cnn_predictions\.parquet.*{message}.*make the run again"):
        records.read(tmp_path)


def test_nothing_to_read_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make report"):
        records.read(tmp_path)
    some().to_parquet(tmp_path / "04_cnn_predictions.parquet")
    assert records.read(tmp_path, "history").empty, "trees have no epochs"
