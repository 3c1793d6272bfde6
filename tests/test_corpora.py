import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serlib import corpora


@pytest.fixture
def tess(tmp_path, tone):
    """A small TESS with the oddities of the release: ten clips."""
    root = tmp_path / "tess"
    names = ["OAF_angry/OAF_back_angry", "OAF_Fear/OAF_back_fear", "OAF_neutral/OA_bite_neutral"]
    names += ["OAF_Pleasant_surprise/OAF_back_ps", "YAF_pleasant_surprised/YAF_back_ps", "YAF_sad/YAF_back_sad"]
    names += ["YAF_happy/YAF_back_happy", "YAF_disgust/YAF_back_disgust"]
    for k, name in enumerate(names):
        tone(root / f"{name}.wav", frequency=200 + 10 * k, sr=24_414)
    tone(root / "YAF_angry" / "YAF_germ_angry.wav", sr=24_414, format="AIFF")
    tone(root / "OAF_Fear" / "OAF_food_fear.wav", sr=96_000)
    return root


def load_tess(tess):
    return corpora.load("tess", tess.parent)


def test_tess_as_released(tess):
    found = load_tess(tess)
    table = found.utterances.set_index("utterance")
    assert len(table) == found.n_clips == 10
    assert list(found.utterances.columns) == corpora.COLUMNS
    assert table.speaker["OAF_bite_neutral"] == "OAF", "OA is a slip for OAF"
    assert table.emotion["OAF_back_ps"] == table.emotion["YAF_back_ps"] == "surprise"
    assert table.label["OAF_back_ps"] == "ps"
    assert table.text["YAF_germ_angry"] == "germ"
    assert set(table.gender) == {"female"}
    assert table.seconds.between(0.29, 0.31).all()
    problem = found.problems.set_index("path").loc[str(tess / "OAF_Fear" / "OAF_food_fear.wav")]
    assert "96000 Hz" in problem.reason and problem.action == "converted"
    assert len(found.problems) == 1


def test_found_by_stem_whatever_the_suffix(tess):
    before = set(load_tess(tess).utterances.utterance)
    path = tess / "OAF_angry" / "OAF_back_angry.wav"
    samples, rate = sf.read(path)
    sf.write(path.with_suffix(".FLAC"), samples, rate, format="FLAC")
    path.unlink()
    assert set(load_tess(tess).utterances.utterance) == before


def test_a_tree_nested_in_itself_counts_once(tess):
    shutil.copytree(tess, tess / "TESS Toronto emotional speech set data")
    found = load_tess(tess)
    assert len(found.utterances) == found.n_clips == 10
    assert not found.utterances.path.astype(str).str.contains("Toronto").any()
    copies = found.problems[found.problems.reason.str.contains("second cop")]
    assert copies.reason.str.extract(r"(\d+)")[0].astype(int).sum() == 10, "copies are listed, not hidden"


@pytest.mark.parametrize("name", ["oaf_FEAR/oaf_Bone_FEAR.WAV", "x/y/z/OAF_bone_fear.Flac", "OAF_bone_fear.aiff"])
def test_case_and_folders_do_not_matter(tess, tone, name):
    tone(tess / name, sr=24_414, format=name.rsplit(".")[-1].upper())
    clip = load_tess(tess).utterances.set_index("utterance").loc["OAF_bone_fear"]
    assert (clip.speaker, clip.text, clip.emotion) == ("OAF", "bone", "fear")


@pytest.mark.parametrize("said", ["ps", "pleasant_surprise", "Pleasant Surprise", " surprised ", "SURPRISE"])
def test_one_emotion_has_many_names(folder, said):
    csv = folder / "labels.csv"
    csv.write_text(csv.read_text().replace("Happy", said))
    assert corpora.load(folder.name, folder.parent).utterances.emotion[0] == "surprise"


def test_hidden_files_are_not_clips(tess):
    (tess / "OAF_angry" / "._OAF_back_angry.wav").write_bytes(b"litter of an archive")
    assert len(load_tess(tess).problems) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is no audio", "cannot be decoded"),
        (np.zeros(0), "no samples"),
        (np.zeros(4000), "silent"),
        (np.array([0.1, np.nan, 0.2]), "NaN"),
    ],
    ids=["empty", "text", "no-samples", "silent", "nan"],
)
def test_a_clip_that_cannot_be_used_is_listed(tess, content, reason):
    path = tess / "YAF_sad" / "YAF_back_sad.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        sf.write(path, content, 24_414, subtype="FLOAT")
    found = load_tess(tess)
    left_out = found.problems[found.problems.action == "left out"]
    assert left_out.path.tolist() == [str(path)]
    assert reason in left_out.reason.iloc[0]
    assert found.n_clips == 10 and len(found.utterances) == 9


@pytest.mark.parametrize("suffix", [".m4a", ".WMA", ".raw"])
def test_clips_in_formats_that_cannot_be_read_are_listed(tess, suffix):
    path = tess / "YAF_sad" / f"YAF_bone_sad{suffix}"
    path.write_bytes(bytes(3200))
    found = load_tess(tess)
    assert found.n_clips == 11 and len(found.utterances) == 10
    assert found.problems.set_index("path").reason[str(path)].startswith("cannot be decoded")


def test_unknown_labels_and_stray_names_are_listed(tess, tone):
    label = tone(tess / "YAF_sad" / "YAF_back_bored_stiff.wav")
    unknown = tone(tess / "YAF_sad" / "YAF_back_puzzled.wav", sr=24_414)
    reasons = load_tess(tess).problems.set_index("path").reason
    assert "file name" in reasons[str(label)]
    assert "'puzzled'" in reasons[str(unknown)]


def test_stereo_is_listed_as_converted(tess, tone):
    path = tone(tess / "YAF_sad" / "YAF_back_sad.wav", sr=24_414, channels=2)
    problem = load_tess(tess).problems.set_index("path").loc[str(path)]
    assert "2 channels" in problem.reason and problem.action == "converted"


def test_a_missing_corpus_says_where_how_and_whence(tmp_path):
    with pytest.raises(corpora.CorpusNotFound) as error:
        corpora.load("tess", tmp_path)
    message = str(error.value)
    assert str(tmp_path / "tess") in message
    assert "OAF_angry/OAF_back_angry" in message
    assert "10.5683/SP2/E8H2MF" in message
    with pytest.raises(corpora.CorpusNotFound, match=r"known:.*mini"):
        corpora.listing_hash("nowhere", tmp_path)


def test_auto_says_what_it_takes(tess, tmp_path, capsys):
    assert corpora.load("auto", tmp_path).name == "tess"
    assert corpora.load("auto", tmp_path / "elsewhere").name == "mini"
    said = capsys.readouterr().out
    assert "TESS found" in said and "mini is used" in said and "elsewhere" in said


@pytest.fixture
def folder(tmp_path, tone):
    """Own recordings in a folder whose names need care."""
    root = tmp_path / "my [own] clips"
    for k, name in enumerate(["a b.wav", "c.wav", "d.wav"]):
        tone(root / name, frequency=300 + 40 * k)
    table = "path,speaker,emotion,text\na b.wav,me,Happy,hello\nc.wav,you,anger,\nd.wav,you,sad,bye\n"
    (root / "labels.csv").write_text("\ufeff" + table)  # as spreadsheets save it
    return root


def test_a_folder_with_a_csv(folder):
    found = corpora.load(folder.name, folder.parent)
    table = found.utterances.set_index("utterance")
    assert table.emotion.to_dict() == {"a b": "happiness", "c": "anger", "d": "sadness"}
    assert table.text["a b"] == "hello" and pd.isna(table.text["c"]) and pd.isna(table.gender["c"])
    assert corpora.available(folder.parent) == [folder.name, "mini"]


def test_a_folders_faulty_rows_are_listed(folder):
    csv = folder / "labels.csv"
    csv.write_text(csv.read_text() + "missing.wav,me,happy,x\nc.wav,you,anger,again\n,me,happy,y\nd.wav,me,,\n")
    found = corpora.load(folder.name, folder.parent)
    assert len(found.utterances) == 3
    reasons = " | ".join(found.problems.reason)
    for part in ("file is missing", "an earlier line than 6", "line 7: path", "line 8: path"):
        assert part in reasons


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "none"), ({"a.csv": "path,speaker\n"}, "none"), ({"b.csv": "path,speaker,emotion\n"}, "lists no clip")],
)
def test_a_folder_without_a_usable_csv(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    (tmp_path / "own").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=message):
        corpora.load("own", tmp_path)


def test_two_tables_are_ambiguous(folder):
    shutil.copy(folder / "labels.csv", folder / "old.csv")
    with pytest.raises(ValueError, match=r"exactly one CSV.*2 of them"):
        corpora.load(folder.name, folder.parent)


def test_clips_that_the_csv_forgets_are_listed(folder, tone):
    forgotten = tone(folder / "sub" / "forgotten.wav")
    (problem,) = corpora.load(folder.name, folder.parent).problems.to_dict("records")
    assert problem == {"path": str(forgotten), "reason": "not in labels.csv", "action": "left out", "broken": False}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,speaker,emotion\nc.wav,you,anger\nd.wav,you,sad,oh, no\n", "line 3"),
        ("path,speaker,emotion\nc.wav,you,anger,\nd.wav,you,sad,\n", "more cells"),
        ("path;speaker;emotion\nc.wav;you;anger\n", "separated by commas"),
        ("path,speaker,emotion\nc.wav,Ren\xe9,anger\n", "UTF-8"),
    ],
    ids=["stray-comma", "trailing-comma", "semicolons", "latin-1"],
)
def test_a_faulty_csv_says_what_is_wrong(folder, text, message):
    (folder / "labels.csv").write_bytes(text.encode("latin-1"))
    assert folder.name in corpora.available(folder.parent), "a faulty table does not make the folder vanish"
    with pytest.raises(ValueError, match=message) as error:
        corpora.load(folder.name, folder.parent)
    assert "labels.csv" in str(error.value)


def test_words_that_look_like_missing_values_are_words(folder):
    (folder / "labels.csv").write_text("path,speaker,emotion,text\nc.wav,NA,anger,null\nx.raw,NA,anger,\n.,NA,anger,\n")
    found = corpora.load(folder.name, folder.parent)
    assert found.utterances[["speaker", "text"]].to_numpy().tolist() == [["NA", "null"]]
    assert found.problems.reason.str.contains("file is missing (2 files", regex=False).sum() == 1


def test_names_with_dots_and_without_a_suffix(folder, tone):
    csv = folder / "labels.csv"
    for name in ("take.1", "take.2"):
        tone(folder / name, frequency=500 + ord(name[-1]), format="WAV")
    csv.write_text(csv.read_text() + "take.1,me,sad,x\ntake.2,me,sad,y\n")
    found = corpora.load(folder.name, folder.parent)
    assert {"take.1", "take.2"} < set(found.utterances.utterance)
    assert found.problems.empty


def test_headerless_audio_is_listed(folder):
    (folder / "x.raw").write_bytes(b"1234")
    (folder / "labels.csv").write_text("path,speaker,emotion\nc.wav,you,anger\nx.raw,you,anger\n")
    reasons = corpora.load(folder.name, folder.parent).problems.set_index("path").reason
    assert "cannot be decoded" in reasons[str(folder / "x.raw")]


@pytest.mark.parametrize("asked", [84, 100, 111])
def test_subset_is_balanced_and_repeatable(asked):
    table = corpora.load("mini").utterances
    small = corpora.subset(table, asked)
    assert (small.groupby(["speaker", "emotion"]).size() == 3).all()
    assert len(corpora.subset(table, 5)) == 5
    few = corpora.subset(table, 14)  # half as many as speakers times emotions
    assert set(few.speaker.value_counts()) == {3, 4} and set(few.emotion.value_counts()) == {2}
    pd.testing.assert_frame_equal(small, corpora.subset(table, asked))
    assert not small.equals(corpora.subset(table, asked, seed=1))
    assert corpora.subset(table, None) is table


def test_drawing_evenly_takes_turns():
    """Corpus one has four clips an emotion and two has one: the turns are one, two, one."""
    emotions = ["anger", "fear"]
    table = pd.DataFrame(
        [(c, e, f"{c}{e}{k}") for c, n in (("one", 4), ("two", 1)) for e in emotions for k in range(n)]
    )
    table.columns = ["corpus", "emotion", "utterance"]
    drawn = corpora.draw_evenly(table, 3, seed=1)
    assert drawn.groupby(["emotion", "corpus"]).size().tolist() == [2, 1, 2, 1]
    pd.testing.assert_frame_equal(drawn, corpora.draw_evenly(table, 3, seed=1))
    assert not drawn.equals(corpora.draw_evenly(table, 3, seed=2))
    assert len(corpora.draw_evenly(table, 100, seed=1)) == len(table), "fewer where there are not so many"


def test_subset_of_clips_without_texts():
    table = corpora.load("mini").utterances.assign(text=None)
    small = corpora.subset(table, 56)
    assert (small.groupby(["speaker", "emotion"]).size() == 2).all()


def test_fingerprint_follows_a_label_alone(folder):
    before = corpora.load(folder.name, folder.parent).fingerprint
    csv = folder / "labels.csv"
    csv.write_text(csv.read_text().replace("anger", "fear"))
    assert corpora.load(folder.name, folder.parent).fingerprint != before


@pytest.mark.parametrize("change", ["time", "size", "name"])
def test_listing_hash_follows_the_files(tess, tone, change):
    path = tess / "YAF_sad" / "YAF_back_sad.wav"
    before = corpora.listing_hash("tess", tess.parent)
    assert corpora.listing_hash("tess", tess.parent) == before
    stat = path.stat()
    if change == "name":
        path.rename(path.with_name("YAF_bar_sad.wav"))
    if change == "size":
        tone(path, seconds=0.4)
    if change != "name":
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + (change == "time")))
    assert corpora.listing_hash("tess", tess.parent) != before


def test_fingerprint_follows_labels_and_sound(tess, tone):
    before = load_tess(tess).fingerprint
    assert load_tess(tess).fingerprint == before
    path = tess / "YAF_sad" / "YAF_back_sad.wav"
    listing = corpora.listing_hash("tess", tess.parent)
    path.rename(path.with_name("YAF_back_happier.wav"))
    tone(path, frequency=777, sr=24_414)
    path.with_name("YAF_back_happier.wav").unlink()
    assert load_tess(tess).fingerprint != before
    assert corpora.listing_hash("tess", tess.parent) != listing


def test_relative_data_folder_starts_at_the_repository(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERLIB_DATA", "some/where")
    assert corpora.data_root() == corpora.REPOSITORY / "some" / "where"
    assert corpora.data_root("/abs") == Path("/abs")
    monkeypatch.delenv("SERLIB_DATA")
    assert corpora.data_root() == corpora.REPOSITORY / "data" / "raw"


@pytest.mark.skipif("tess" not in (corpora.available() if os.environ.get("SERLIB_DATA") else []), reason="needs TESS")
def test_tess_itself():
    found = corpora.load("tess")
    assert found.n_clips == len(found.utterances) == 2800
    assert (found.utterances.emotion.value_counts() == 400).all()
    assert sorted(found.utterances.speaker.unique()) == ["OAF", "YAF"]
    assert found.utterances.text.nunique() == 200


def test_corpora_joined_by_plus_are_one_table(tess, folder):
    assert tess.parent == folder.parent
    one, other = corpora.load("tess", tess.parent), corpora.load(folder.name, folder.parent)
    pool = corpora.load(f"tess+{folder.name}", tess.parent)
    turned = corpora.load(f"{folder.name}+tess", tess.parent)
    assert turned.name == pool.name and turned.fingerprint == pool.fingerprint, "the order of names does not matter"
    assert folder.name < "tess"
    assert pool.utterances.utterance.tolist() == [*other.utterances.utterance, *one.utterances.utterance]
    assert set(pool.utterances.corpus) == {"tess", folder.name}
    assert pool.n_clips == one.n_clips + other.n_clips and len(pool.problems) == len(one.problems) + len(other.problems)
    assert pool.utterances.age.dtype == "Int64"
    assert corpora.listing_hash(pool.name, tess.parent).split() == [
        corpora.listing_hash(name, tess.parent) for name in (folder.name, "tess")
    ]


def test_one_name_in_two_corpora_is_refused(tess):
    with pytest.raises(ValueError, match="10 utterances have one name in two of the corpora, such as OAF_back_angry"):
        corpora.load("tess+tess", tess.parent)
    with pytest.raises(ValueError, match=r"'tess\+' joins a corpus without a name"):
        corpora.load("tess+", tess.parent)
