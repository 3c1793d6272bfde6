import dataclasses
import json

import keras
import numpy as np
import pandas as pd
import pytest
from answers import about
from typer.testing import CliRunner

from serlib import audit, cli, corpora, features, models, records, splits
from serlib.corpora import REPOSITORY


def clips(n_speakers=4, n_texts=6):
    """Two takes of every text by every speaker."""
    rows = [(f"s{s}", f"t{t}", f"s{s}_t{t}_{k}") for s in range(n_speakers) for t in range(n_texts) for k in range(2)]
    table = pd.DataFrame(rows, columns=["speaker", "text", "utterance"])
    table["gender"] = np.where(table.speaker < "s2", "female", "male")
    return table.assign(corpus="tess", sha256=table.utterance + "#", emotion=["anger", "fear"] * (len(table) // 2))


def membership(table, split, protocol):
    return records.membership(about(protocol=protocol, fold=split.fold), table, split)


@pytest.mark.parametrize(
    ("protocol", "allowed"),
    [
        ("random", {"speakers", "texts"}),
        ("text_independent", {"speakers"}),
        ("speaker_independent", {"texts"}),
        ("speaker_text_independent", set()),
    ],
)
def test_no_split_of_ours_is_at_fault(protocol, allowed):
    table = clips()
    found = audit.leaks(pd.concat(membership(table, split, protocol) for split in splits.make(table, protocol, seed=1)))
    assert audit.FAULT not in set(found.verdict)
    assert set(found.shared[found.parts == "train and test"]) == allowed


NEW = {"utterance": "new", "sha256": "new"}


def windows(clip, *parts):
    """A window of one long clip in each of some parts."""
    return pd.concat(clip.assign(part=part, parent="long", utterance=f"w_{part}", sha256=part) for part in parts)


#: protocol, what is planted (from a row of training, of validation, all of test), and between which parts what is found
PLANTED = {
    "a test clip trains": ("random", lambda a, b, c: c[:1].assign(part="train"), "train and test: the same clips"),
    "a test clip validates": (
        "random",
        lambda a, b, c: c[:1].assign(part="validation"),
        "validation and test: the same clips",
    ),
    "test picks the checkpoint": (
        "random",
        lambda a, b, c: c.assign(part="validation"),
        "validation and test: the same clips",
    ),
    "a validation clip trains": (
        "random",
        lambda a, b, c: b.assign(part="train"),
        "train and validation: the same clips",
    ),
    "one sound under two names": (
        "random",
        lambda a, b, c: c[:1].assign(part="train", utterance="new"),
        "train and test: the same sounds",
    ),
    "a copy of a test clip trains": (
        "random",
        lambda a, b, c: c[:1].assign(part="train", parent=c.utterance.iloc[0], **NEW),
        "train and test: copies or windows of the same clips",
    ),
    "a copy of a training clip is tested": (
        "random",
        lambda a, b, c: a.assign(part="test", parent=a.utterance.iloc[0], **NEW),
        "train and test: copies or windows of the same clips",
    ),
    "windows of a clip train and are tested": (
        "random",
        lambda a, b, c: windows(a, "train", "test"),
        "train and test: copies or windows of the same clips",
    ),
    "windows of a clip validate and are tested": (
        "random",
        lambda a, b, c: windows(a, "validation", "test"),
        "validation and test: copies or windows of the same clips",
    ),
    "a test speaker trains": (
        "speaker_independent",
        lambda a, b, c: c[:1].assign(part="train", **NEW),
        "train and test: speakers",
    ),
    "a test speaker validates": (
        "speaker_independent",
        lambda a, b, c: c[:1].assign(part="validation", **NEW),
        "validation and test: speakers",
    ),
    "a test text trains": (
        "text_independent",
        lambda a, b, c: c[:1].assign(part="train", **NEW),
        "train and test: texts",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_named(name):
    protocol, plant, expected = PLANTED[name]
    table = clips()
    good = membership(table, splits.make(table, protocol, seed=1)[0], protocol)
    train, validation, test = (good[good.part == part] for part in records.PARTS)
    assert audit.FAULT not in set(audit.leaks(good).verdict)
    found = audit.leaks(pd.concat([good, plant(train[:1], validation[:1], test)]))
    faults = found[found.verdict == audit.FAULT]
    assert expected in set(faults.parts + ": " + faults.shared)


def test_no_committed_run_is_at_fault():
    found = audit.leaks(audit.read(REPOSITORY / "data" / "predictions"))
    assert [audit.told(row) for _, row in found[found.verdict == audit.FAULT].iterrows()] == []


def run(*arguments):
    return CliRunner().invoke(cli.app, ["audit", *map(str, arguments)])


def test_a_split_of_ones_own(tmp_path):
    mine = pd.DataFrame({"utterance": ["a", "b", "c", "b"], "part": ["train", "validation", "test", "test"]})
    mine.assign(speaker="me").to_csv(tmp_path / "mine.csv", index=False)
    done = run(tmp_path / "mine.csv", "--protocol", "random")
    assert done.exit_code == 1
    assert "validation and test share the same clips (1, in 1 of 2 rows of test), such as b" in done.stdout
    assert "allowed by protocol: mine, -, random: train and validation share speakers" in done.stdout
    told = json.loads(run(tmp_path / "mine.csv", "--protocol", "speaker_independent", "--json").stdout)
    assert sum(row["verdict"] == "fault" for row in told) == 3  # the clip; the speaker, who trains and validates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("utterance\na\n", "lacks the column part"),
        ("utterance,part\na,held_out\n", "part is held_out; it may be train, validation, test"),
        ("utterance,part\na,test\n", "protocol is None; it may be random"),
    ],
)
def test_a_table_that_cannot_be_audited_is_named(tmp_path, text, message):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        audit.read(tmp_path / "mine.csv")
    with pytest.raises(FileNotFoundError, match="a finished run leaves one"):
        audit.read(tmp_path)
    assert run(tmp_path / "none.csv").exit_code == 2


def test_the_scale_inside_a_network_is_compared_with_its_training_clips(tmp_path, saved_run):
    """A network whose scale was fitted on everything is told from one whose scale knows training clips alone."""
    honest, leaking = (saved_run(tmp_path / name, everything=name == "leaking") for name in ("honest", "leaking"))
    assert audit.scale(honest) is None
    assert "was fitted on other clips than those it trained on" in str(audit.scale(leaking))
    done = run(leaking, "--scales")
    assert done.exit_code == 1 and "its scale was fitted" in done.stdout


@pytest.fixture
def saved_run():
    corpus = corpora.load("mini")
    table = corpora.subset(corpus.utterances, 112)
    wanted = features.FeatureSet(("log_mel",), n_mels=16, n_frames=32)
    x = features.images(table, wanted)
    (split,) = splits.make(table, "random", seed=1)

    def write(folder, *, everything):
        keras.utils.set_random_seed(1)
        rows = np.arange(len(x)) if everything else split.train
        folder.mkdir()
        records.write_run(
            folder,
            notebook="04_cnn",
            parameters={},
            corpus=corpus,
            membership=records.membership(about(train_corpora="mini"), table, split),
            model=models.cnn_lstm(x[rows], 7),
            classes=sorted(table.emotion.unique()),
            features=wanted,
        )
        return folder

    return write


def climbed(recipe, leak):
    """A run of notebook 15 under some recipe, its copies divided as `leak` says."""
    table = clips()
    rows = pd.concat([table, splits.copies(table, copy="noise")], ignore_index=True)
    (split,) = splits.make(rows, "random", seed=1)
    if leak == "copies_before_split":
        shuffled = np.random.default_rng(1).permutation(len(rows))
        test, train = np.split(shuffled, [len(rows) // 5])
        split = splits.Split(0, train, test, test)
    if leak == "chosen_on_test":
        split = dataclasses.replace(split, validation=split.test)
    return audit.leaks(records.membership(about(recipe=recipe, role="ablation"), rows, split))


@pytest.mark.parametrize("leak", audit.LEAKS)
def test_what_a_recipe_declares_is_no_fault_and_under_another_name_it_is(leak):
    declared, hidden = climbed(leak, leak), climbed("default", leak)
    assert audit.FAULT not in set(declared.verdict) and audit.DECLARED in set(declared.verdict)
    assert audit.DECLARED not in set(hidden.verdict)
    on = ["parts", "shared"]
    faults = hidden[hidden.verdict == audit.FAULT]
    assert set(map(tuple, faults[on].values)) == set(
        map(tuple, declared[declared.verdict == audit.DECLARED][on].values)
    )


def test_a_recipe_may_share_what_it_declares_and_nothing_else():
    found = climbed("chosen_on_test", "copies_before_split")
    faults = found[found.verdict == audit.FAULT]
    assert set(faults.parts) >= {"train and test"}, "it declares that test validates, not that copies of test train"
    assert audit.FAULT not in set(climbed("copies", "none").verdict)


def test_declared_leaks_are_told_apart_from_allowed_ones(tmp_path):
    mine = pd.DataFrame({"utterance": ["a", "b", "b"], "part": ["train", "validation", "test"], "speaker": "me"})
    mine.assign(recipe="chosen_on_test").to_csv(tmp_path / "mine.csv", index=False)
    done = run(tmp_path / "mine.csv", "--protocol", "random")
    assert done.exit_code == 0
    assert "declared by its recipe: mine, -, random: validation and test share the same clips" in done.stdout
    assert "allowed by protocol: mine, -, random: train and validation share speakers" in done.stdout
