"""What data/splits promises, proved from the files themselves: no recording is needed but those of mini."""

import functools
import os

import pandas as pd
import pytest
from typer.testing import CliRunner

from serlib import corpora
from serlib.cli import POOL, app
from serlib.sources import SOURCES

SPLITS = corpora.REPOSITORY / "data" / "splits"
WITH_TEXT = ("random", "text_independent", "speaker_independent", "speaker_text_independent")
PROTOCOLS = {
    "tess": WITH_TEXT,
    "ravdess": WITH_TEXT,
    "cremad": WITH_TEXT,
    "savee": ("random", "speaker_independent"),
    "mini": WITH_TEXT,
    POOL: ("random", "speaker_independent", "cross_corpus"),
}
FILES = [(corpus, protocol) for corpus, protocols in PROTOCOLS.items() for protocol in protocols]
N_CLIPS = {"tess": 2800, "ravdess": 1440, "cremad": 7425, "savee": 480, "mini": 560, POOL: 12_145}
TWICE = {"03-01-03-01-02-01-07", "03-01-03-01-02-02-07"}  # one sound under two names

# The release's VideoDemographics.csv; clips' names do not tell it
CREMAD_WOMEN = (
    "1002 1003 1004 1006 1007 1008 1009 1010 1012 1013 1018 1020 1021 1024 1025 1028 1029 1030 1037 1043 1046 1047 "
    "1049 1052 1053 1054 1055 1056 1058 1060 1061 1063 1072 1073 1074 1075 1076 1078 1079 1082 1084 1089 1091"
)


def parse(utterance):
    """What the name of a clip tells."""
    ((name, source, match),) = [
        (name, source, match) for name, source in SOURCES.items() if (match := source.grammar.fullmatch(utterance))
    ]
    row = source.parse(match)
    assert row["utterance"] == utterance
    gender = row.get("gender") or ("female" if row["speaker"] in CREMAD_WOMEN else "male")
    return row | {"corpus": name, "gender": gender, "emotion": source.labels[row["label"].lower()]}


@functools.cache
def read(corpus, protocol):
    """A file, with what is known of each clip."""
    table = pd.read_csv(SPLITS / f"{corpus}_{protocol}.csv")
    assert table.columns.tolist() == ["utterance", "fold", "part"]
    names = table.utterance.unique()
    known = corpora.load("mini").utterances if corpus == "mini" else pd.DataFrame(map(parse, names))
    columns = ["utterance", "corpus", "speaker", "gender", "emotion", "text"]
    return table.merge(known[columns], on="utterance", validate="many_to_one")


def folds(corpus, protocol):
    """(train, validation, test) of every fold."""
    for _, fold in read(corpus, protocol).groupby("fold"):
        yield tuple(fold[fold.part == part] for part in ("train", "validation", "test"))


def held_out(corpus, protocol):
    return [test for _, _, test in folds(corpus, protocol)]


@pytest.mark.parametrize(("corpus", "protocol"), FILES)
def test_files_are_whole(corpus, protocol):
    table = pd.read_csv(SPLITS / f"{corpus}_{protocol}.csv")
    assert len(read(corpus, protocol)) == len(table)
    assert table.equals(table.sort_values(["fold", "utterance"], ignore_index=True))
    assert not table.duplicated(["fold", "utterance"]).any()
    assert sorted(table.fold.unique()) == list(range(table.fold.nunique()))
    assert (table.groupby("fold").part.nunique() == 3).all() and set(table.part) == {"train", "validation", "test"}


@pytest.mark.parametrize(("corpus", "protocol"), FILES)
def test_clips_are_counted(corpus, protocol):
    table = read(corpus, protocol)
    if protocol == "cross_corpus":
        assert table.utterance.nunique() == N_CLIPS[corpus] - 192  # calm is in RAVDESS alone
    elif protocol == "speaker_text_independent":
        known = read(corpus, "text_independent")
        clips = sorted(known.utterance[known.part == "test"])
        assert sorted(pd.concat(held_out(corpus, protocol)).utterance) == clips  # each once
    else:
        assert (table.groupby("fold").size() == N_CLIPS[corpus]).all()


@pytest.mark.parametrize(("corpus", "protocol"), FILES)
def test_parts_share_nothing_that_the_protocol_forbids(corpus, protocol):
    forbidden = [column for column in ("speaker", "text") if column in protocol]
    forbidden += ["corpus"] if protocol == "cross_corpus" else []
    for train, validation, test in folds(corpus, protocol):
        for column in forbidden:
            assert not set(test[column]) & (set(train[column]) | set(validation[column]))
        if protocol == "cross_corpus" or ("speaker" in protocol and corpus != "tess"):
            assert not set(train.speaker) & set(validation.speaker)
        if corpus == "tess" and protocol != "random":
            assert not set(train.text) & set(validation.text)
        if "text" in protocol and corpus != "ravdess":
            assert not set(train.text) & set(validation.text)


@pytest.mark.parametrize("corpus", PROTOCOLS)
def test_every_clip_is_tested_once_by_somebody_who_never_heard_the_speaker(corpus):
    names = pd.concat(held_out(corpus, "speaker_independent")).utterance
    assert names.is_unique and len(names) == N_CLIPS[corpus]


@pytest.mark.parametrize("corpus", PROTOCOLS)
def test_random_is_stratified_by_emotion(corpus):
    for train, validation, test in folds(corpus, "random"):
        counts = pd.DataFrame({k: p.emotion.value_counts() for k, p in enumerate((train, validation, test))})
        shares = counts.div(counts.sum(axis=1), axis=0)
        assert (shares - [0.7, 0.1, 0.2]).abs().max(axis=None) < 0.02


def test_tess_goes_both_directions():
    for protocol, n_words in (("speaker_independent", (180, 20, 200)), ("speaker_text_independent", (140, 20, 40))):
        directions = [tuple(part.speaker.unique().item() for part in fold) for fold in folds("tess", protocol)]
        assert directions == [("YAF", "YAF", "OAF"), ("OAF", "OAF", "YAF")]
        assert all(tuple(part.text.nunique() for part in fold) == n_words for fold in folds("tess", protocol))


@pytest.mark.parametrize("protocol", ["speaker_independent", "speaker_text_independent"])
def test_ravdess_has_six_folds_of_two_women_and_two_men(protocol):
    speakers = [test.drop_duplicates("speaker") for test in held_out("ravdess", protocol)]
    assert [sorted(fold.gender) for fold in speakers] == [["female"] * 2 + ["male"] * 2] * 6
    assert all(
        sorted(v.drop_duplicates("speaker").gender) == ["female", "male"] for _, v, _ in folds("ravdess", protocol)
    )


@pytest.mark.parametrize("protocol", ["speaker_independent", "speaker_text_independent"])
def test_cremad_has_five_folds_balanced_by_gender(protocol):
    speakers = [test.drop_duplicates("speaker") for test in held_out("cremad", protocol)]
    assert [len(fold) for fold in speakers] == [19, 18, 18, 18, 18]
    assert all((fold.gender == "female").sum() in (8, 9) for fold in speakers)
    assert {validation.speaker.nunique() for _, validation, _ in folds("cremad", protocol)} == {7}


def test_savee_leaves_one_speaker_out():
    assert [set(test.speaker) for test in held_out("savee", "speaker_independent")] == [{"DC"}, {"JE"}, {"JK"}, {"KL"}]


def test_every_fold_of_the_pool_tests_both_large_corpora_and_trains_on_all():
    for train, validation, test in folds(POOL, "speaker_independent"):
        assert {"cremad", "ravdess"} <= set(test.corpus)
        assert set(train.corpus) == set(POOL.split("+")) and validation.speaker.nunique() == 10


def test_cross_corpus_tests_each_corpus_on_shared_emotions():
    every = {"anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"}
    for corpus, (train, validation, test) in zip(POOL.split("+"), folds(POOL, "cross_corpus"), strict=True):
        assert set(test.corpus) == {corpus} and set(train.corpus) | {corpus} == set(POOL.split("+"))
        shared = every - {"surprise"} if corpus == "cremad" else every
        assert set(train.emotion) == set(test.emotion) == shared and set(validation.emotion) <= shared


@pytest.mark.parametrize(("corpus", "protocol"), [file for file in FILES if file[0] in ("ravdess", POOL)])
def test_one_sound_under_two_names_stays_on_one_side(corpus, protocol):
    table = read(corpus, protocol)
    for _, fold in table[table.utterance.isin(TWICE)].groupby("fold"):
        assert len(fold) == 2 and len(set(fold.part)) == 1


@pytest.mark.parametrize("corpus", PROTOCOLS)
def test_one_command_writes_them_again(corpus, tmp_path):
    if corpus != "mini":
        if not os.environ.get("SERLIB_DATA") or not set(corpus.split("+")) <= set(corpora.available()):
            pytest.skip(f"needs {corpus}: set SERLIB_DATA")
        if set(corpora.load(corpus).utterances.utterance) != set(read(corpus, "random").utterance):
            pytest.skip(f"{corpus} has other clips here")
    result = CliRunner().invoke(app, ["splits", corpus, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    expected = [*PROTOCOLS[corpus], *([] if "+" in corpus else ["speakers"])]
    assert written == {f"{corpus}_{name}.csv": (SPLITS / f"{corpus}_{name}.csv").read_bytes() for name in expected}
