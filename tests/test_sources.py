"""Every corpus as it is really released: names, layouts, odd files, labels, and what is remembered of them."""

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from serlib import corpora, listening, splits
from serlib.sources import EMOTIONS, HARMONISED, SOURCES

OFFICIAL = {
    "tess": ["OAF_Fear/OAF_back_fear", "OAF_neutral/OA_bite_neutral", "YAF_pleasant_surprised/YAF_back_ps"],
    "ravdess": ["Actor_01/03-01-01-01-01-01-01", "Actor_02/03-01-08-02-02-02-02", "Actor_02/03-02-03-01-01-01-02"],
    "cremad": ["AudioWAV/1001_DFA_ANG_XX", "AudioWAV/1002_IEO_SAD_HI", "AudioWAV/1040_ITH_SAD_X"],
    "savee": ["AudioData/DC/a01", "AudioData/DC/sa02", "AudioData/KL/su15", "AudioData/JE/n30"],
    "emodb": ["wav/03a01Fa", "wav/08b10Wb", "wav/16a07Lc"],
    "iemocap": [
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001",
        "Session3/sentences/wav/Ses03M_impro05a/Ses03M_impro05a_M002",
        "Session5/sentences/wav/Ses05M_script02_2/Ses05M_script02_2_F013",
    ],
}
DEMOGRAPHICS = (
    '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
    '1002,21,"Female","Caucasian","Not Hispanic"\n1040,42,"Male","Caucasian","Not Hispanic"\n'
)
EVALUATION = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n{lines}"
TURN = "[6.2901 - 8.2357]\t{turn}\t{label}\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2;\t()\n\n"


def add_tables(corpus, root, labels=None):
    """The tables that CREMA-D and IEMOCAP come with; every utterance of IEMOCAP is angry unless `labels` says."""
    root.mkdir(parents=True, exist_ok=True)
    if corpus == "cremad":
        (root / "VideoDemographics.csv").write_text(DEMOGRAPHICS)
    if corpus == "iemocap":
        turns = labels or {Path(name).name: "ang" for name in OFFICIAL["iemocap"]}
        for turn, label in turns.items():
            folder = root / f"Session{turn[4]}" / "dialog" / "EmoEvaluation"
            (folder / "Categorical").mkdir(parents=True, exist_ok=True)
            (folder / "Categorical" / f"{turn}_e2_cat.txt").write_text(f"{turn} :Sadness; ()\n")
            path = folder / f"{turn.rpartition('_')[0]}.txt"
            before = path.read_text() if path.exists() else EVALUATION.format(lines="")
            path.write_text(before + TURN.format(turn=turn, label=label))


@pytest.fixture
def release(tmp_path, tone):
    """Function that makes a small release of a corpus in its official layout, or of other clips in it."""

    def make(corpus, names=None, **options):
        root = tmp_path / "data" / corpus
        for name in names or OFFICIAL[corpus]:
            tone(root / f"{name}.wav", **options)
        add_tables(corpus, root)
        return root

    return make


def load(root):
    return corpora.load(root.name, root.parent)


def rows(corpus, root):
    return corpora.load(corpus, root.parent).utterances.drop(columns=["path", "seconds", "sample_rate", "sha256"])


# Names


@pytest.mark.parametrize(
    ("corpus", "name", "expected"),
    [
        ("tess", "OAF_Fear/OAF_back_fear", ("OAF_back_fear", "OAF", "female", 64, "fear", "back")),
        ("tess", "OAF_neutral/OA_bite_neutral", ("OAF_bite_neutral", "OAF", "female", 64, "neutral", "bite")),
        ("tess", "YAF_back_ps", ("YAF_back_ps", "YAF", "female", 26, "surprise", "back")),
        ("savee", "ALL/DC_a01", ("DC_a01", "DC", "male", None, "anger", "a01")),
        ("savee", "AudioData/JK/sa07", ("JK_sa07", "JK", "male", None, "sadness", "sa07")),
        ("savee", "KL_su15", ("KL_su15", "KL", "male", None, "surprise", "su15")),
        ("savee", "AudioData/je/N30", ("JE_n30", "JE", "male", None, "neutral", "n30")),
        ("emodb", "wav/03a01Fa", ("03a01Fa", "03", "male", 31, "happiness", "a01")),
        ("emodb", "wav/08b10WB", ("08b10Wb", "08", "female", 34, "anger", "b10")),
        ("iemocap", "x/Ses01F_impro01_M003", ("Ses01F_impro01_M003", "Ses01M", "male", None, None, "impro01")),
        ("iemocap", "Ses03M_impro05a_F010", ("Ses03M_impro05a_F010", "Ses03F", "female", None, None, "impro05")),
        ("iemocap", "Ses05F_script01_1b_F0", None),
        ("iemocap", "Session1/dialog/wav/Ses01F_impro01", None),
        ("iemocap", "ses05m_script02_2_f013", ("Ses05M_script02_2_F013", "Ses05F", "female", None, None, "script02_2")),
        ("ravdess", "01-01-03-01-02-01-07", None),
        ("ravdess", "03-01-09-01-02-01-07", None),
        ("ravdess", "03-01-03-01-02-01-25", None),
        ("cremad", "1092_DFA_ANG_XX", None),
        ("emodb", "wav/07a01Fa", None),
        ("savee", "AudioData/XDC/a01", None),
    ],
)
def test_names(corpus, name, expected):
    source = SOURCES[corpus]
    match = source.match(Path("/any") / f"{name}.wav", Path("/any"))
    if expected is None:
        assert match is None
    else:
        row = source.parse(match)
        emotion = source.labels.get((row["label"] or "").lower())
        found = (row["utterance"], row["speaker"], row["gender"], row.get("age"), emotion, row["text"])
        assert found == expected


def test_ravdess_names_state_everything():
    def row(name):
        source = SOURCES["ravdess"]
        found = source.parse(source.match(Path(f"/r/{name}.flac"), Path("/r")))
        emotion = source.labels[found["label"]]
        return *(found[key] for key in ("speaker", "gender", "intensity", "text", "channel")), emotion

    assert row("03-01-03-01-02-01-07") == ("Actor_07", "male", "normal", "statement_02", "speech", "happiness")
    assert row("03-02-06-02-01-02-24") == ("Actor_24", "female", "strong", "statement_01", "song", "fear")
    words = ["neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise"]
    assert [row(f"03-01-{k:02}-01-01-01-01")[-1] for k in range(1, 9)] == words


def test_label_letters():
    letters = {"w": "anger", "l": "boredom", "e": "disgust", "a": "fear", "f": "happiness", "t": "sadness"}
    assert SOURCES["emodb"].labels == letters | {"n": "neutral"}
    emotions = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
    assert SOURCES["savee"].labels == dict(zip(["a", "d", "f", "h", "n", "sa", "su"], emotions, strict=True))
    assert [*SOURCES["cremad"].labels] == ["ang", "dis", "fea", "hap", "neu", "sad"]
    for source in SOURCES.values():
        assert set(source.labels.values()) <= set(EMOTIONS)
    assert set(HARMONISED.values()) == set(EMOTIONS)


def test_emodb_speakers():
    gender = {}
    for number in range(1, 20):
        name = f"{number:02}a01Na"
        match = SOURCES["emodb"].match(Path(name), Path())
        if match:
            gender[f"{number:02}"] = SOURCES["emodb"].parse(match)["gender"]
    assert [*gender] == ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"]
    assert [number for number in gender if gender[number] == "male"] == ["03", "10", "11", "12", "15"]


# Layouts


def nested(root):
    shutil.copytree(root, root.with_name("copy"))
    (root.with_name("copy")).rename(root / "the whole release again")


def flat(root):
    for path in [p for p in root.rglob("*.wav")]:
        speaker = f"{path.parent.name}_" if root.name == "savee" else ""  # names of SAVEE repeat in every folder
        path.rename(root / f"{speaker}{path.name}")


def one_folder(root):
    flat(root)
    (root / "ALL").mkdir()
    for path in root.glob("*.wav"):
        path.rename(root / "ALL" / path.name)


def deeper(root):
    shutil.move(root, root.with_name("unpacked"))
    shutil.move(root.with_name("unpacked"), root / "archive" / "release")


def shouting(root):
    for path in [p for p in root.rglob("*.wav")]:
        path.rename(path.with_name(path.name.upper()))


def flac(root):
    for path in [p for p in root.rglob("*.wav")]:
        samples, rate = sf.read(path)
        sf.write(path.with_suffix(".FLAC"), samples, rate, format="FLAC")
        path.unlink()


def unpacked_on_a_mac(root):
    for path in [p for p in root.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7 litter")
        litter = root / "__MACOSX" / path.relative_to(root)
        litter.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, litter)
    (root / ".DS_Store").write_bytes(b"litter")


@pytest.mark.parametrize("corpus", SOURCES)
@pytest.mark.parametrize("change", [nested, flat, one_folder, deeper, shouting, flac, unpacked_on_a_mac])
def test_any_layout_gives_the_same_table(release, corpus, change):
    root = release(corpus)
    before = rows(corpus, root)
    assert len(before) == len(OFFICIAL[corpus]) and before.utterance.is_unique
    change(root)
    found = load(root)
    pd.testing.assert_frame_equal(rows(corpus, root), before)
    assert found.n_clips == len(before)
    reasons = [reason.partition(" (")[0] for reason in found.problems.reason]
    assert reasons == (["second copy of a clip found elsewhere"] if change is nested else [])
    assert corpora.available(root.parent) == [corpus, "mini"]


def test_the_best_copy_is_read(release, tone):
    root = release("cremad")
    for name in OFFICIAL["cremad"]:
        tone(root / "AudioMP3" / f"{Path(name).name}.mp3", format="MP3")
    found = load(root)
    assert {path.parent.name for path in found.utterances.path} == {"AudioWAV"}
    assert "second copy" in found.problems.reason.item() and "3 files" in found.problems.reason.item()
    assert found.problems.path.item() == str(root / "AudioMP3")


@pytest.mark.parametrize(("name", "folder"), [("cremad", "CREMA-D"), ("emodb", "Emo-DB"), ("ravdess", "RAVDESS")])
def test_a_folder_may_be_spelled_as_the_corpus_is(release, name, folder):
    root = release(name)
    root.rename(root.with_name(folder))
    assert corpora.load(name, root.parent).root == root.with_name(folder)
    assert corpora.available(root.parent) == [name, "mini"]
    assert corpora.listing_hash(name, root.parent)


@pytest.mark.parametrize("corpus", SOURCES)
def test_a_missing_corpus_says_where_how_and_whence(tmp_path, corpus):
    with pytest.raises(corpora.CorpusNotFound) as error:
        corpora.load(corpus, tmp_path)
    for part in (str(tmp_path / corpus), SOURCES[corpus].layout, SOURCES[corpus].home):
        assert part in str(error.value)
    example = SOURCES[corpus].layout.split()[0].removeprefix(f"{corpus}/")
    assert SOURCES[corpus].match(Path(example), Path()), "the example is a clip's name"


# What names do not say


def test_crema_d_actors(release):
    table = load(release("cremad")).utterances.set_index("utterance")
    assert table.gender.to_dict() == {
        "1001_DFA_ANG_XX": "male",
        "1002_IEO_SAD_HI": "female",
        "1040_ITH_SAD_XX": "male",  # released as 1040_ITH_SAD_X
    }
    assert table.age.tolist() == [51, 21, 42]
    assert table.intensity.tolist() == ["XX", "HI", "XX"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is missing"),
        ("", "not a table"),
        ("ActorID,Sex\n1001,Male\n", "not a table"),
        (DEMOGRAPHICS.replace("1040", "1041"), "lacks 1040"),
    ],
)
def test_crema_d_without_its_actors(release, content, reason):
    root = release("cremad")
    path = root / "VideoDemographics.csv"
    path.unlink() if content is None else path.write_text(content)
    found = load(root)
    table = found.utterances.set_index("utterance")
    assert len(table) == 3 and pd.isna(table.gender["1040_ITH_SAD_XX"]) and pd.isna(table.age["1040_ITH_SAD_XX"])
    assert reason in found.problems.reason.item() and found.problems.action.item() == "kept"


def test_iemocap_labels(tmp_path, tone):
    labels = ["neu", "sad", "ang", "hap", "exc", "sur", "fea", "dis", "fru", "fru", "xxx", "oth", None, None]
    turns = {f"Ses02F_script01_3_{'FM'[k % 2]}{k:03}": label for k, label in enumerate(labels)}
    root = tmp_path / "iemocap"
    for turn in turns:
        tone(root / "Session2" / "sentences" / "wav" / turn[:-5] / f"{turn}.wav")
    tone(root / "Session2" / "dialog" / "wav" / "Ses02F_script01_3.wav")
    (root / "Session2" / "sentences" / "wav" / "._Ses02F_script01_3_F000.wav").write_bytes(b"litter")
    add_tables("iemocap", root, {turn: label for turn, label in turns.items() if label})
    found = load(root)
    table = found.utterances
    assert table.label.tolist() == labels[:8:2] + labels[1:8:2]
    assert dict(zip(table.label, table.emotion, strict=True)) == {
        "neu": "neutral",
        "sad": "sadness",
        "ang": "anger",
        "hap": "happiness",
        "exc": "happiness",
        "sur": "surprise",
        "fea": "fear",
        "dis": "disgust",
    }
    assert table.speaker.tolist() == ["Ses02F"] * 4 + ["Ses02M"] * 4
    assert table.gender.tolist() == ["female"] * 4 + ["male"] * 4
    assert found.n_clips == 14
    reasons = sorted(reason.partition(",")[0] for reason in found.problems.reason)
    assert reasons == [
        "file name is not of the form iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        "the release has no label for it (2 files: Ses02F_script01_3_F012.wav",
        "unknown label 'fru' (2 files: Ses02F_script01_3_F008.wav",
        "unknown label 'oth'",
        "unknown label 'xxx'",
    ]
    assert set(found.problems.action) == {"left out"}


def test_the_tables_are_part_of_the_listing(release):
    root = release("iemocap")
    before = corpora.listing_hash("iemocap", root.parent)
    path = root / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    path.write_text(path.read_text().replace("\tang\t", "\thap\t") + "\n")
    assert corpora.listing_hash("iemocap", root.parent) != before


def test_many_files_with_one_fault_are_one_row(release, tone):
    root = release("tess")
    for k in range(9):
        tone(root / "OAF_Fear" / f"notes {k}.wav")
    (problem,) = load(root).problems.itertuples()
    assert problem.path == str(root / "OAF_Fear") and "9 files: notes 0.wav" in problem.reason
    assert problem.reason.endswith("…)")


def test_stereo_and_other_rates_are_converted(release, tone):
    root = release("ravdess", sr=48_000)
    odd = tone(root / "Actor_05" / "03-01-02-01-02-02-05.wav", sr=48_000, channels=2)
    found = load(root)
    assert found.problems.to_dict("records") == [
        {"path": str(odd), "reason": "2 channels: averaged when loaded", "action": "converted", "broken": False}
    ]
    assert found.found == {"speech": 3, "song": 1}


def test_own_recordings_may_state_age_and_channel(tmp_path, tone):
    for name in "abc":
        tone(tmp_path / "own" / f"{name}.wav")
    table = "path,speaker,emotion,age,channel\na.wav,me,happy,31,song\nb.wav,me,sad,29.6,\nc.wav,you,sad,old,\n"
    (tmp_path / "own" / "labels.csv").write_text(table)
    found = corpora.load("own", tmp_path)
    assert found.utterances.age.fillna(0).tolist() == [31, 30, 0]
    assert found.found == {"song": 1, "speech": 2}
    assert found.card["clips"] == "1 song, 2 speech"


def test_nothing_usable_is_still_a_table(release):
    root = release("emodb")
    for path in root.rglob("*.wav"):
        sf.write(path, np.zeros(1000), 16_000)
    found = load(root)
    assert found.n_clips == 3 and found.utterances.empty
    assert [*found.utterances.columns] == corpora.COLUMNS
    assert found.card["hours"] == "0.00" and "3 files" in found.problems.reason.item()


# The same sound twice


def test_the_same_sound_under_two_labels_is_left_out(release, tone):
    root = release("cremad")
    pairs = {"1006_TIE": ("HAP", "NEU"), "1013_WSI": ("DIS", "SAD"), "1017_IWW": ("ANG", "FEA")}
    for k, (name, labels) in enumerate(pairs.items()):
        for label in labels:
            tone(root / "AudioWAV" / f"{name}_{label}_XX.wav", frequency=300 + 50 * k)
    found = load(root)
    assert found.n_clips == 9 and len(found.utterances) == 3
    said = found.problems[found.problems.action == "left out"].reason
    for name, (a, b) in pairs.items():
        (line,) = said[said.str.contains(name)]
        assert line == f"same sound under two labels: {name}_{a}_XX is {a}, {name}_{b}_XX is {b}"
    assert len(said) == 3


def test_excited_and_happy_do_not_contradict_each_other(tmp_path, tone):
    turns = {"Ses01F_impro01_F000": "exc", "Ses01F_impro01_F001": "hap", "Ses01F_impro01_F002": "fru"}
    for turn in turns:
        tone(tmp_path / "iemocap" / "wav" / f"{turn}.wav", frequency=440 if turns[turn] != "fru" else 550)
    add_tables("iemocap", tmp_path / "iemocap", turns)
    assert load(tmp_path / "iemocap").utterances.emotion.tolist() == ["happiness", "happiness"]


@pytest.mark.parametrize("protocol", [p for p in splits.PROTOCOLS if p != "cross_corpus"])
def test_no_split_separates_the_same_sound(tmp_path, tone, protocol):
    names = [
        f"03-01-{emotion}-01-{text}-{take}-{actor:02}"
        for emotion in ("03", "05")
        for text in ("01", "02")
        for take in ("01", "02")
        for actor in range(1, 9)
    ]
    twice = ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]
    for name in names:
        tone(tmp_path / "ravdess" / f"{name}.wav", frequency=440 if name in twice else None, seconds=0.05)
    found = load(tmp_path / "ravdess")
    assert found.problems.reason.tolist() == [f"same sound, which no split separates: {', '.join(twice)}"]
    table = found.utterances
    assert len(table) == len(names) and table.sha256.nunique() == len(names) - 1
    for seed in range(8):
        for split in splits.make(table, protocol, seed=seed):
            parts = [set(table.utterance.iloc[part]) for part in (split.train, split.validation, split.test)]
            assert [len(part & set(twice)) for part in parts if part & set(twice)] in ([2], [])


# What is remembered


@pytest.fixture
def remembering(release, tmp_path, monkeypatch):
    """A corpus, and a list of the files decoded since."""
    decoded, listen = [], listening.listen
    monkeypatch.setattr(listening, "listen", lambda path: decoded.append(path.name) or listen(path))
    monkeypatch.setattr(listening, "MEMORY", tmp_path / "heard")
    return release("tess"), decoded


def test_a_clip_is_decoded_once_until_it_changes(remembering, tone):
    root, decoded = remembering
    before = {p: p.stat().st_mtime_ns for p in [root, *root.rglob("*")]}
    first = load(root)
    assert len(decoded) == 3
    pd.testing.assert_frame_equal(load(root).utterances, first.utterances)
    assert len(decoded) == 3
    assert {p: p.stat().st_mtime_ns for p in [root, *root.rglob("*")]} == before, "nothing is written there"
    tone(root / "OAF_Fear" / "OAF_back_fear.wav", seconds=0.4)
    assert load(root).fingerprint != first.fingerprint
    assert decoded[3:] == ["OAF_back_fear.wav"]


def test_a_fault_is_looked_for_again(remembering):
    root, decoded = remembering
    path = root / "OAF_Fear" / "OAF_back_fear.wav"
    path.write_bytes(b"")
    assert len(load(root).utterances) == len(load(root).utterances) == 2
    assert decoded[3:] == ["OAF_back_fear.wav"]


def flip_a_bit(content):
    """One letter of a stored path changed."""
    place = content.index(b"OAF_back_fear.wav")
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def write_plainly(*arguments, write=pq.write_table, **options):
    """As bytes that a test can find: uncompressed, each value once."""
    write(*arguments, **options, compression="none", use_dictionary=False, write_statistics=False)


DAMAGE = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "no parquet": lambda content: b"hello",
    "a bit flipped": flip_a_bit,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_memory_is_rebuilt(remembering, monkeypatch, damage):
    root, decoded = remembering
    monkeypatch.setattr(pq, "write_table", write_plainly)
    first = load(root)
    (cache,) = listening.MEMORY.iterdir()
    cache.write_bytes(DAMAGE[damage](cache.read_bytes()))
    pd.testing.assert_frame_equal(load(root).utterances, first.utterances)
    assert len(decoded) == 6
    load(root)
    assert len(decoded) == 6, "rebuilt"


@pytest.mark.parametrize("change", ["column", "version"])
def test_a_memory_of_another_kind_is_rebuilt(remembering, change):
    root, decoded = remembering
    load(root)
    (cache,) = listening.MEMORY.iterdir()
    table = pq.read_table(cache)
    table = table.drop_columns("sha256") if change == "column" else table.replace_schema_metadata({"version": "0"})
    pq.write_table(table, cache)
    assert len(load(root).utterances) == 3 and len(decoded) == 6


def test_readers_at_once_do_not_spoil_it(remembering):
    root, decoded = remembering
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(lambda _: load(root).utterances, range(16)))
    for table in tables:
        pd.testing.assert_frame_equal(table, tables[0])
    assert [path.suffix for path in listening.MEMORY.iterdir()] == [".parquet"], "nothing half-written is left"
    count = len(decoded)
    load(root)
    assert len(decoded) == count


def test_a_repository_that_cannot_be_written_to_is_only_slower(remembering, monkeypatch, tmp_path):
    root, decoded = remembering
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(listening, "MEMORY", tmp_path / "file" / "heard")
    assert len(load(root).utterances) == len(load(root).utterances) == 3
    assert len(decoded) == 6


# Cards

BIBLIOGRAPHY = (corpora.REPOSITORY / "docs" / "references.bib").read_text()


@pytest.mark.parametrize("corpus", SOURCES)
def test_what_is_official_is_cited(release, corpus):
    source = SOURCES[corpus]
    entry = re.search(rf"^@\w+{{{source.cite},\n(.*?)^}}", BIBLIOGRAPHY, re.MULTILINE | re.DOTALL)
    assert entry, f"{source.cite} is in docs/references.bib"
    for doi in re.findall(r"https://doi\.org/(\S+)", source.reference):
        assert f"{{{doi}}}" in entry[1]
    assert re.search(r"year\s+= {(\d+)}", entry[1])[1] in source.reference
    card = load(release(corpus)).card
    official = [line for line in card.values() if "(official: " in line]
    assert len(official) == 2 and all(source.cite in line for line in official)
    for key, value in {"title": source.title, "licence": source.licence, "get it": source.home}.items():
        assert card[key] == value


def test_official_counts():
    counts = {name: sum(source.clips.values()) for name, source in SOURCES.items()}
    assert counts == {"tess": 2800, "ravdess": 2452, "cremad": 7442, "savee": 480, "emodb": 535, "iemocap": 10039}
    assert SOURCES["ravdess"].clips == {"speech": 1440, "song": 1012}


def test_a_card_counts_each_channel(release):
    card = load(release("ravdess")).card
    assert card["clips"].startswith("2 of 1,440 speech, 1 of 1,012 song")
    assert card["files"].startswith("3 wav at 16,000 Hz (official: wav at 48,000 Hz")


# The releases themselves

needs_data = pytest.mark.skipif(not os.environ.get("SERLIB_DATA"), reason="needs SERLIB_DATA")
DOCUMENTED = {
    "tess": (2800, 2800, 2, 7, []),
    "ravdess": (
        1440,
        1440,
        24,
        8,
        ["same sound, which no split separates: 03-01-03-01-02-01-07, 03-01-03-01-02-02-07"],
    ),
    "savee": (480, 480, 4, 7, []),
    "cremad": (
        7431,
        7425,
        91,
        6,
        [
            "same sound under two labels: 1006_TIE_HAP_XX is HAP, 1006_TIE_NEU_XX is NEU",
            "same sound under two labels: 1013_WSI_DIS_XX is DIS, 1013_WSI_SAD_XX is SAD",
            "same sound under two labels: 1017_IWW_ANG_XX is ANG, 1017_IWW_FEA_XX is FEA",
        ],
    ),
}


@needs_data
@pytest.mark.parametrize("corpus", DOCUMENTED)
def test_the_releases(corpus):
    if corpus not in corpora.available():
        pytest.skip(f"{corpus} is not there")
    found = corpora.load(corpus)
    table = found.utterances
    counted = found.n_clips, len(table), table.speaker.nunique(), table.emotion.nunique(), [*found.problems.reason]
    assert counted == DOCUMENTED[corpus]
    assert table.gender.isin(["female", "male"]).all()
    assert table.utterance.is_unique and np.isfinite(table.seconds).all()
    if corpus == "savee":
        assert table.emotion.value_counts().to_dict() == {e: 60 for e in set(table.emotion)} | {"neutral": 120}
    if corpus == "ravdess":
        assert table.emotion.value_counts().to_dict() == {e: 192 for e in set(table.emotion)} | {"neutral": 96}
    if corpus == "cremad":
        assert "1040_ITH_SAD_XX" in set(table.utterance) and table.age.between(20, 74).all()


@needs_data
def test_the_original_odd_files_have_the_same_names():
    originals = corpora.data_root().with_name("releases_quirks")
    if not originals.is_dir():
        pytest.skip("the odd files are not there")
    for corpus in ("tess", "ravdess"):
        odd = corpora.load(corpus, originals)
        assert len(odd.utterances) == odd.n_clips == {"tess": 4, "ravdess": 7}[corpus]
        assert set(odd.utterances.utterance) <= set(corpora.load(corpus).utterances.utterance)
    reasons = " ".join(odd.problems.reason)
    assert "2 channels: averaged when loaded (5 files" in reasons and "same sound" in reasons
