import json

import pandas as pd
import pytest
from answers import about, some

from serlib import provenance, records, runs


@pytest.fixture
def folder(tmp_path):
    """Two runs of one notebook, as records.write_run leaves them."""
    epochs = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5]})
    for name, protocol in (("random", "random"), ("unseen", "speaker_independent")):
        run = tmp_path / "runs" / name
        (run / "figures").mkdir(parents=True)
        some().query("protocol == @protocol").to_parquet(run / "predictions.parquet")
        records.history(about(protocol=protocol), epochs).to_parquet(run / "history.parquet")
        record = {"notebook": "04_cnn", "parameters": {"protocol": protocol, "seed": 1}, "commit": "abc", "seconds": 1}
        record |= {"corpus": {"name": "tess", "fingerprint": "f"}, "python": "3", "backend": None, "versions": {}}
        (run / "run.json").write_text(json.dumps(record | {"code": "0123"}))
        (run / "figures" / "one_clip.png").write_text(name)
        measured = pd.DataFrame({"functional": ["mfcc_0 mean"], "impurity": [0.1]})
        records.measures(about(protocol=protocol), "importance", measured).to_parquet(run / "measures.parquet")
    return tmp_path


def collect(folder):
    runs.collect(sorted((folder / "runs").iterdir()), folder / "predictions", folder / "figures")
    return folder / "predictions"


def test_collect(folder):
    gathered = collect(folder)
    assert len(records.read(gathered)) == 80
    histories = records.read(gathered, "history")
    assert len(histories) == 4 and set(histories.protocol) == {"random", "speaker_independent"}
    assert records.read(gathered, "measures").protocol.tolist() == ["random", "speaker_independent"]
    table = pd.read_csv(gathered / "runs.csv", dtype=str)
    assert table.code.tolist() == ["0123"] * 2 and json.loads(table.parameters[0])["protocol"] == "random"
    assert "commit abc" in runs.provenance_line(gathered)


def test_of_training_rows_the_answers_under_a_random_split_are_kept(folder):
    for path in (folder / "runs").glob("*/predictions.parquet"):
        own = pd.read_parquet(path)
        pd.concat([own, own.assign(part="train")]).to_parquet(path)
    gathered = records.read(collect(folder))
    trained = gathered[gathered.part == "train"]
    assert set(trained.protocol) == {"random"} and (gathered.part == "test").sum() == 80
    assert trained[["p_anger", "p_fear"]].isna().all(axis=None) and trained.predicted.notna().all()
    assert gathered[gathered.part == "test"][["p_anger", "p_fear"]].notna().all(axis=None)


def test_pictures_of_recordings_stay_with_the_run_unless_synthetic(folder):
    collect(folder)
    assert not (folder / "figures").exists()
    for path in (folder / "runs").glob("*/run.json"):
        path.write_text(path.read_text().replace('"tess"', '"mini"'))
    collect(folder)
    assert (folder / "figures" / "04_cnn" / "one_clip.png").read_text() == "random", "the first run's"


def test_half_a_run_is_refused_and_nothing_is_lost(folder):
    before = {path.name: path.read_bytes() for path in collect(folder).iterdir()}
    (folder / "runs" / "unseen" / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"unseen.run\.json"):
        collect(folder)
    assert {path.name: path.read_bytes() for path in (folder / "predictions").iterdir()} == before


def test_a_table_of_other_columns_is_refused_and_nothing_is_lost(folder):
    before = sorted(path.name for path in collect(folder).iterdir())
    some().drop(columns="sample").to_parquet(folder / "runs" / "unseen" / "predictions.parquet")
    with pytest.raises(ValueError, match=r"unseen.predictions\.parquet lacks sample"):
        collect(folder)
    assert sorted(path.name for path in (folder / "predictions").iterdir()) == before


def test_tables_of_a_dropped_notebook_do_not_linger(folder):
    some().to_parquet(collect(folder) / "99_old_predictions.parquet")
    assert len(records.read(collect(folder))) == 80


def write_plan(folder, text):
    cell = {
        "cell_type": "code",
        "id": "p",
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "execution_count": None,
    }
    source = (
        'corpus = "auto"  # one\nseed = 1  # two\nfold = None  # three\nnetworks = ["a"]  # four\nsize = 32  # five\n'
    )
    notebook = {"cells": [cell | {"source": source}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebooks").mkdir(exist_ok=True)
    (folder / "notebooks" / "04_cnn.ipynb").write_text(json.dumps(notebook))
    (folder / "report.yaml").write_text(f"analyses: [20_report]\nexperiments:\n  {text}\n")
    return folder / "report.yaml"


def planned(folder, entry):
    return runs.plan("demo", write_plan(folder, f"demo: [{{notebook: 04_cnn, {entry}}}]"))


def test_a_plan_is_every_combination(tmp_path):
    made = planned(tmp_path, "corpus: [mini, tess], seed: [1, 2], fold: 0, minutes: 3")
    assert [run.name for run in made] == [f"{c}-fold0-seed{s}" for c in ("mini", "tess") for s in (1, 2)]
    assert made[0].parameters == {"corpus": "mini", "seed": 1, "fold": 0} and made[0].minutes == 3
    assert runs.analyses(tmp_path / "report.yaml") == ["20_report"]


def test_a_run_for_a_corpus_that_few_have_is_not_missed_elsewhere(gathered):
    plan = gathered / "report.yaml"
    entry = "{notebook: 04_cnn, corpus: iemocap, where_found: true}"
    plan.write_text(f"analyses: []\nexperiments:\n  smoke: [{entry}]\n")
    (gathered / "notebooks").symlink_to(runs.REPOSITORY / "notebooks")
    (run,) = runs.plan("smoke", plan)
    assert run.where_found and "where_found" not in run.parameters
    assert set(runs.stale(gathered, "smoke", plan).why) == {"no longer in the plan"}  # of the others that are there


def test_a_list_for_a_list_is_one_value(tmp_path):
    (run,) = planned(tmp_path, "networks: [b, c], fold: null")
    assert run.parameters == {"networks": ["b", "c"], "fold": None} and run.name == "default"
    (one,) = planned(tmp_path, "networks: [b]")
    assert one.parameters["networks"] == ["b"], "not the string b"
    (none,) = planned(tmp_path, "networks: []")
    assert none.parameters["networks"] == []
    both = planned(tmp_path, "networks: [[b], [b, c]]")
    assert [run.name for run in both] == ["networksb", "networksb+c"]


def test_runs_that_differ_in_any_parameter_have_names_of_their_own(tmp_path):
    made = planned(tmp_path, "corpus: mini, size: [16, 32]")
    assert [run.name for run in made] == ["mini-size16", "mini-size32"]
    both = planned(tmp_path, "networks: [b], size: 8}, {notebook: 04_cnn, size: 16, networks: [c]")
    assert [run.name for run in both] == ["networksb-size8", "size16-networksc"], "as its own entry has them"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demo: [{notebook: 04_cnn, sead: 1}]", "no parameter sead; it has corpus, seed, fold, networks, size"),
        ("demo: [{notebook: 99_none}]", "no notebook .*99_none"),
        ("full: [{notebook: 04_cnn}]", "no profile 'demo'; it has full"),
        ("demo: [{notebook: [04_cnn, 04_cnn], corpus: mini}]", "twice: 04_cnn/mini"),
    ],
)
def test_a_faulty_plan_stops_before_it_starts(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        runs.plan("demo", write_plan(tmp_path, text))


@pytest.fixture
def gathered(tmp_path):
    """Gathered runs of profile smoke: all up to date but what the tests change."""
    texts, rows = provenance.sources(), []
    for run in runs.plan("smoke"):
        code = provenance.code_hash(run.notebook, texts)
        rows.append({"notebook": run.notebook, "run": run.name, "code": code, "parameters": json.dumps(run.parameters)})
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path


def change(folder, notebook, **columns):
    table = pd.read_csv(folder / "runs.csv", dtype=str)
    for name, value in columns.items():
        table.loc[table.notebook == notebook, name] = value
    table.to_csv(folder / "runs.csv", index=False)


def test_stale_runs_are_named_with_the_reason(gathered):
    assert runs.stale(gathered, "smoke").empty
    change(gathered, "04_cnn", code="0123")
    change(gathered, "05_lstm", run="other")
    change(gathered, "06_cnn_lstm", parameters="{}")
    why = runs.stale(gathered, "smoke").set_index(["notebook", "run"]).why
    assert why["04_cnn", "mini-random-seed1"].startswith("made by code 0123, which is now ")
    assert why["05_lstm", "mini-random-seed1"] == "not made yet" and why["05_lstm", "other"] == "no longer in the plan"
    assert why["06_cnn_lstm", "mini-random-seed1"].startswith("made with another corpus, protocol")
    assert len(why) == 4


def test_a_waiver_holds_until_the_code_changes_again(gathered, monkeypatch):
    change(gathered, "04_cnn", code="0123")
    assert runs.waive(gathered, "04_cnn", "only a name changed") == 1
    assert runs.stale(gathered, "smoke").empty
    assert runs.waivers(gathered).reason.tolist() == ["only a name changed"]
    monkeypatch.setattr(provenance, "code_hash", lambda notebook, texts: "4567")
    assert "04_cnn" in set(runs.stale(gathered, "smoke").notebook)


@pytest.mark.parametrize(
    ("notebook", "reason", "message"), [("04_cnn", " ", "needs a reason"), ("05_lstm", "why", "no run")]
)
def test_a_waiver_needs_a_reason_and_something_to_waive(gathered, notebook, reason, message):
    change(gathered, "04_cnn", code="0123")
    with pytest.raises(ValueError, match=message):
        runs.waive(gathered, notebook, reason)
    assert runs.waivers(gathered).empty
