from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from serlib import splits


def table(n_speakers=4, n_texts=10, emotions=("anger", "fear", "neutral")):
    """Every speaker says every text in every emotion."""
    rows = [
        (f"S{s:02}_{t}_{e}", f"S{s:02}", "female" if s % 2 else "male", e, f"text{t}")
        for s in range(n_speakers)
        for t in range(n_texts)
        for e in emotions
    ]
    frame = pd.DataFrame(rows, columns=["utterance", "speaker", "gender", "emotion", "text"])
    return frame.assign(sha256=frame.utterance)


def pool(**n_speakers):
    """Several corpora as one table; the names of speakers and clips begin with the corpus."""
    frames = []
    for corpus, n in n_speakers.items():
        frame = table(n, n_texts=4).assign(corpus=corpus)
        for column in ("utterance", "speaker", "sha256"):
            frame[column] = corpus + frame[column]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def frame_for(protocol):
    return pool(a=4, b=3) if protocol == "cross_corpus" else table()


def parts(frame, split):
    return [frame.iloc[rows] for rows in (split.train, split.validation, split.test)]


@pytest.mark.parametrize("protocol", splits.PROTOCOLS)
@pytest.mark.parametrize("seed", range(5))
def test_parts_are_disjoint_and_repeatable(protocol, seed):
    frame = frame_for(protocol)
    for split, again in zip(
        splits.make(frame, protocol, seed=seed), splits.make(frame, protocol, seed=seed), strict=True
    ):
        rows = np.concatenate([split.train, split.validation, split.test])
        assert len(np.unique(rows)) == len(rows)
        assert len(rows) == len(frame) or protocol == "speaker_text_independent"
        assert all(len(part) for part in parts(frame, split))
        np.testing.assert_array_equal(split.train, again.train)


@pytest.mark.parametrize("protocol", splits.PROTOCOLS)
def test_seeds_move_the_draws(protocol):
    frame = frame_for(protocol)
    trained = {tuple(splits.make(frame, protocol, seed=seed)[0].train) for seed in range(6)}
    assert len(trained) > 1


def test_random_is_stratified():
    frame = table(n_texts=30)
    train, validation, test = parts(frame, splits.make(frame, "random", seed=1)[0])
    assert len(test) == 0.2 * len(frame) and len(validation) == 0.1 * len(frame)
    for part in (train, validation, test):
        assert part.emotion.value_counts().max() - part.emotion.value_counts().min() <= 1


def test_text_independent_keeps_texts_apart():
    frame = table()
    train, validation, test = parts(frame, splits.make(frame, "text_independent", seed=1)[0])
    assert [p.text.nunique() for p in (train, validation, test)] == [7, 1, 2]
    assert not set(train.text) & set(test.text) and not set(train.text) & set(validation.text)
    assert set(train.speaker) == set(test.speaker)


def test_speakers_are_left_out_one_by_one():
    frame = table(n_speakers=4)
    made = splits.make(frame, "speaker_independent", seed=1)
    assert [set(parts(frame, s)[2].speaker) for s in made] == [{f"S{k:02}"} for k in range(4)]
    for split in made:
        train, validation, _ = parts(frame, split)
        assert len(set(validation.speaker)) == 1
        assert set(train.gender) == {"female", "male"}, "training keeps voices of both genders"


def test_many_speakers_are_cut_into_folds():
    frame = table(n_speakers=12)
    made = splits.make(frame, "speaker_independent")
    tested = [set(parts(frame, s)[2].speaker) for s in made]
    assert len(made) == splits.N_SPEAKER_FOLDS
    assert sorted(name for fold in tested for name in fold) == sorted(frame.speaker.unique())
    assert all(parts(frame, s)[1].speaker.nunique() == 2 for s in made)
    assert all(parts(frame, s)[1].gender.nunique() == 2 for s in made)
    other_seed = [set(parts(frame, s)[2].speaker) for s in splits.make(frame, "speaker_independent", seed=9)]
    assert other_seed == tested, "the seed never moves who is tested together"


def test_ravdess_has_six_folds_of_two_women_and_two_men():
    frame = table(n_speakers=24).assign(corpus="ravdess")
    made = splits.make(frame, "speaker_independent")
    tested = [parts(frame, s)[2].drop_duplicates("speaker") for s in made]
    assert [sorted(fold.gender) for fold in tested] == [["female"] * 2 + ["male"] * 2] * 6
    assert pd.concat(tested).speaker.is_unique


def test_crema_d_has_five_folds_balanced_by_gender():
    frame = table(n_speakers=91, n_texts=1).assign(corpus="cremad")
    tested = [parts(frame, s)[2].drop_duplicates("speaker") for s in splits.make(frame, "speaker_independent")]
    assert [len(fold) for fold in tested] == [19, 18, 18, 18, 18]
    assert all(abs((fold.gender == "female").sum() - 9) <= 1 for fold in tested)


@pytest.mark.parametrize(("n_speakers", "n_validation"), [(4, 1), (11, 2), (24, 2), (91, 7)])
def test_a_tenth_of_the_training_speakers_validates(n_speakers, n_validation):
    frame = table(n_speakers, n_texts=1)
    for split in splits.make(frame, "speaker_independent"):
        assert parts(frame, split)[1].speaker.nunique() == n_validation


def test_every_fold_of_a_pool_tests_every_large_corpus():
    frame = pool(cremad=91, ravdess=24, savee=4, tess=2)
    made = splits.make(frame, "speaker_independent")
    tested = pd.concat([parts(frame, s)[2].drop_duplicates("speaker").assign(fold=s.fold) for s in made])
    assert len(made) == 5 and sorted(tested.speaker) == sorted(frame.speaker.unique())
    counts = pd.crosstab([tested.corpus, tested.gender], tested.fold)
    for corpus in ("cremad", "ravdess"):
        assert counts.loc[corpus].to_numpy().min() > 0
        assert all(counts.loc[corpus].max(axis=1) - counts.loc[corpus].min(axis=1) <= 1)
    for corpus in ("savee", "tess"):
        assert tested.fold[tested.corpus == corpus].is_unique, "training never lacks a whole corpus"
    assert {parts(frame, s)[1].speaker.nunique() for s in made} == {10}


def test_a_pool_of_small_corpora_is_cut_into_folds():
    frame = pool(a=4, b=4, c=4)
    tested = [set(parts(frame, s)[2].speaker) for s in splits.make(frame, "speaker_independent")]
    assert sorted(map(len, tested)) == [2, 2, 2, 3, 3] and set().union(*tested) == set(frame.speaker)


def sessions(n=5):
    """IEMOCAP's ten speakers, named by session."""
    frame = table(2 * n).assign(corpus="iemocap")
    number = frame.speaker.str[1:].astype(int)
    return frame.assign(speaker=[f"Ses{k // 2 + 1:02}{'FM'[k % 2]}" for k in number])


def test_iemocap_leaves_one_session_out():
    frame = sessions()
    made = splits.make(frame, "speaker_independent", seed=1)
    assert [sorted(set(parts(frame, s)[2].speaker)) for s in made] == [[f"Ses0{k}F", f"Ses0{k}M"] for k in range(1, 6)]
    assert all(set(parts(frame, s)[1].gender) == {"female", "male"} for s in made)
    with pytest.raises(ValueError, match="two speakers or more"):
        splits.make(sessions(1), "speaker_independent")


def test_a_pool_keeps_the_speakers_of_a_session_together():
    frame = pd.concat([sessions(), pool(cremad=20)], ignore_index=True)
    for split in splits.make(frame, "speaker_independent"):
        tested = parts(frame, split)[2].drop_duplicates("speaker")
        assert tested.corpus.value_counts().to_dict() == {"cremad": 4, "iemocap": 2}
        assert len(set(tested.speaker[tested.corpus == "iemocap"].str[:5])) == 1


def test_two_texts_validate_on_other_clips_of_the_training_text():
    frame = table(n_texts=2, n_speakers=10)
    frame.loc[[1, 7], "sha256"] = "one sound"
    tested = set()
    for seed in range(8):
        (split,) = splits.make(frame, "text_independent", seed=seed)
        train, validation, test = parts(frame, split)
        assert set(train.text) == set(validation.text) != set(test.text)
        assert len(test) == 30 and len(validation) in (3, 4) and len(train) + len(validation) == 30
        tested |= set(test.text)
    assert tested == {"text0", "text1"}


def test_two_speakers_validate_on_other_words():
    frame = table(n_speakers=2)
    for split in splits.make(frame, "speaker_independent", seed=1):
        train, validation, test = parts(frame, split)
        assert set(train.speaker) == set(validation.speaker)
        assert set(train.speaker).isdisjoint(test.speaker)
        assert set(train.text).isdisjoint(validation.text)


@pytest.mark.parametrize("seed", range(3))
def test_unseen_speakers_say_unseen_texts(seed):
    frame = table()
    made = splits.make(frame, "speaker_text_independent", seed=seed)
    (by_text,) = splits.make(frame, "text_independent", seed=seed)
    by_speaker = splits.make(frame, "speaker_independent", seed=seed)
    for split, speakers in zip(made, by_speaker, strict=True):
        for part in ("train", "validation", "test"):
            both = np.intersect1d(getattr(speakers, part), getattr(by_text, part))
            np.testing.assert_array_equal(getattr(split, part), both)
    tested = np.concatenate([split.test for split in made])
    np.testing.assert_array_equal(np.sort(tested), by_text.test)  # each once


@pytest.mark.parametrize(("n_speakers", "n_texts"), [(2, 10), (5, 2)])
def test_unseen_speakers_and_texts_of_a_corpus_with_two(n_speakers, n_texts):
    frame = table(n_speakers, n_texts)
    for split in splits.make(frame, "speaker_text_independent", seed=1):
        train, validation, test = parts(frame, split)
        for part in (train, validation):
            assert not set(part.speaker) & set(test.speaker) and not set(part.text) & set(test.text)
        assert (set(train.speaker) == set(validation.speaker)) == (n_speakers == 2)
        assert (set(train.text) == set(validation.text)) == (n_texts == 2)
        assert test.text.nunique() == max(1, 0.2 * n_texts)


def test_every_corpus_is_tested_on_what_the_others_know():
    frame = pool(savee=4, ravdess=24, tess=2)
    frame.loc[(frame.corpus == "ravdess") & (frame.emotion == "neutral"), "emotion"] = "calm"
    frame.loc[(frame.corpus == "savee") & (frame.emotion == "fear"), "emotion"] = "surprise"
    made = splits.make(frame, "cross_corpus", seed=1)
    assert [set(parts(frame, s)[2].corpus) for s in made] == [{"ravdess"}, {"savee"}, {"tess"}]
    shared = [{"anger", "fear"}, {"anger", "neutral"}, {"anger", "fear", "neutral"}]
    n_validation = [2, 3, 3]  # of 6, 26 and 28 training speakers
    for split, emotions, n in zip(made, shared, n_validation, strict=True):
        train, validation, test = parts(frame, split)
        assert set(train.emotion) == set(test.emotion) == emotions and set(validation.emotion) <= emotions
        assert validation.speaker.nunique() == n and not set(train.speaker) & set(validation.speaker)
        rows = np.concatenate([split.train, split.validation, split.test])
        np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(frame.emotion.isin(emotions)))


def test_a_sound_in_two_corpora_is_refused():
    frame = pool(a=3, b=3)
    frame.loc[[0, len(frame) - 1], "sha256"] = "one sound"
    with pytest.raises(splits.LeakError, match="sha256"):
        splits.make(frame, "cross_corpus")


def test_a_table_names_every_clip_of_every_part():
    frame = table()
    made = splits.make(frame, "speaker_text_independent", seed=1)
    written = splits.to_table(frame, made)
    assert written.columns.tolist() == ["utterance", "fold", "part"]
    assert written.sort_values(["fold", "utterance"]).index.is_monotonic_increasing
    for split in made:
        for part in ("train", "validation", "test"):
            names = written.query("fold == @split.fold and part == @part").utterance
            assert sorted(names) == sorted(frame.utterance.iloc[getattr(split, part)])


def test_random_keeps_the_same_sound_together():
    frame = table()
    frame.loc[[1, 4, 7], "sha256"] = "one sound"
    for seed in range(8):
        (split,) = splits.make(frame, "random", seed=seed)
        holders = [{1, 4, 7} <= set(rows) for rows in (split.train, split.validation, split.test)]
        assert sum(holders) == 1


@pytest.mark.parametrize("protocol", ["text_independent", "speaker_independent", "speaker_text_independent"])
def test_the_same_sound_across_groups_is_refused(protocol):
    frame = table()
    frame["sha256"] = np.where(frame.emotion == "fear", "one sound", frame.utterance)
    with pytest.raises(splits.LeakError, match="sha256"):
        splits.make(frame, protocol)


def test_fold_asks_for_one():
    frame = table()
    (one,) = splits.make(frame, "speaker_independent", seed=3, fold=2)
    np.testing.assert_array_equal(one.train, splits.make(frame, "speaker_independent", seed=3)[2].train)
    with pytest.raises(ValueError, match="folds 0 to 3"):
        splits.make(frame, "speaker_independent", fold=4)


@pytest.mark.parametrize(
    ("protocol", "frame", "message"),
    [
        ("by_moonlight", table(), "known: random"),
        ("text_independent", table().assign(text=None), "needs the text"),
        ("text_independent", table(n_texts=1), "two texts or more"),
        ("speaker_independent", table(n_speakers=1), "two speakers or more"),
        ("speaker_independent", table(n_speakers=2).assign(text=None), "needs the text"),
        ("speaker_text_independent", table(n_texts=1), "two texts or more"),
        ("speaker_text_independent", table(n_speakers=1), "two speakers or more"),
        ("speaker_text_independent", table(n_speakers=2, n_texts=2), "three texts or more"),
        ("cross_corpus", pool(savee=4), "such as corpus 'ravdess.savee'; there is only savee"),
    ],
)
def test_what_cannot_be_split_says_why(protocol, frame, message):
    with pytest.raises(ValueError, match=message):
        splits.make(frame, protocol)


@pytest.mark.parametrize(
    ("protocol", "column"),
    [
        ("random", "utterance"),
        ("text_independent", "text"),
        ("speaker_independent", "speaker"),
        ("speaker_text_independent", "speaker"),
        ("speaker_text_independent", "text"),
        ("cross_corpus", "corpus"),
    ],
)
@pytest.mark.parametrize("part", ["train", "validation"])
def test_check_catches_a_planted_leak(protocol, column, part):
    frame = frame_for(protocol)
    split = splits.make(frame, protocol, seed=1)[0]
    kept = split.test if column == "utterance" else split.test[1:]  # else the row itself moves, its group stays
    leaking = replace(split, test=kept, **{part: np.append(getattr(split, part), split.test[0])})
    if protocol == "speaker_text_independent":  # the row shares only one of the two
        frame.loc[split.test[0], "speaker" if column == "text" else "text"] = "another"
    with pytest.raises(splits.LeakError, match=rf"{part} and test share .*'{column}'"):
        splits.check(frame, leaking, protocol)


@pytest.mark.parametrize(
    ("n_speakers", "protocol", "column"),
    [
        (4, "random", "sha256"),
        (4, "text_independent", "text"),
        (4, "speaker_independent", "speaker"),
        (2, "speaker_independent", "text"),
        (4, "speaker_text_independent", "speaker"),
        (2, "speaker_text_independent", "text"),
        (4, "cross_corpus", "speaker"),
    ],
)
def test_check_catches_training_clips_that_validate(n_speakers, protocol, column):
    frame = frame_for(protocol) if protocol == "cross_corpus" else table(n_speakers)
    split = splits.make(frame, protocol, seed=1)[0]
    frame.loc[split.train[0], column] = frame.loc[split.validation[0], column]
    with pytest.raises(splits.LeakError, match=f"train and validation share 1 values of '{column}'"):
        splits.check(frame, split, protocol)


@pytest.mark.parametrize(("n_speakers", "n_folds"), [(3, 3), (10, 10), (11, 5), (24, 5)])
def test_folds_by_number_of_speakers(n_speakers, n_folds):
    frame = table(n_speakers, n_texts=2)
    made = splits.make(frame, "speaker_independent")
    assert [split.fold for split in made] == list(range(n_folds))
    np.testing.assert_array_equal(np.sort(np.concatenate([split.test for split in made])), np.arange(len(frame)))


def test_genders_too_rare_for_every_fold():
    frame = table(11, n_texts=2)
    frame["gender"] = frame.speaker.str[1:].astype(int).map(lambda k: ("female", "male", None)[k % 3])
    assert len(splits.make(frame, "speaker_independent")) == splits.N_SPEAKER_FOLDS


@pytest.mark.parametrize("protocol", ["text_independent", "speaker_independent", "speaker_text_independent"])
def test_the_order_of_the_table_does_not_matter(protocol):
    frame = table(n_speakers=2)
    mixed = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    for one, other in zip(splits.make(frame, protocol), splits.make(mixed, protocol), strict=True):
        for part, same in zip(parts(frame, one), parts(mixed, other), strict=True):
            assert set(part.utterance) == set(same.utterance)


def test_check_refuses_an_empty_part():
    frame = table()
    split = replace(splits.make(frame, "random")[0], validation=np.array([], dtype=int))
    with pytest.raises(splits.LeakError, match="validation part is empty"):
        splits.check(frame, split, "random")


def with_rows_made_from_clips(frame):
    return pd.concat([frame, splits.copies(frame, speed=0.9), splits.copies(frame, speed=1.1)], ignore_index=True)


@pytest.mark.parametrize("protocol", splits.PROTOCOLS)
def test_copies_of_training_clips_train_and_others_go_nowhere(protocol):
    frame = frame_for(protocol)
    rows = with_rows_made_from_clips(frame)
    for split, longer in zip(splits.make(frame, protocol, seed=1), splits.make(rows, protocol, seed=1), strict=True):
        np.testing.assert_array_equal(longer.test, split.test)
        np.testing.assert_array_equal(longer.validation, split.validation)
        expected = np.concatenate([split.train + k * len(frame) for k in range(3)])
        np.testing.assert_array_equal(longer.train, expected)


def test_copies_name_their_parent():
    frame = table()
    copied = splits.copies(frame, speed=0.9)
    assert copied.utterance[0] == "S00_0_anger@speed=0.9" and copied.parent[0] == "S00_0_anger"
    assert copied.augmented.all() and set(copied.speed) == {0.9} and copied.speaker.equals(frame.speaker)


@pytest.mark.parametrize(
    ("part", "message"),
    [("train", "train and test share 1 values of 'utterance'"), ("validation", "validation has changed copies")],
)
def test_a_copy_of_a_test_clip_is_a_leak(part, message):
    frame = table()
    rows = pd.concat([frame, splits.copies(frame, speed=0.9)], ignore_index=True)
    (split,) = splits.make(rows, "random", seed=1)
    copy_of_test = split.test[0] + len(frame)
    leaking = replace(split, **{part: np.append(getattr(split, part), copy_of_test)})
    with pytest.raises(splits.LeakError, match=message):
        splits.check(rows, leaking, "random")


def test_windows_go_where_their_clip_went():
    frame = table()
    windows = pd.concat([frame.assign(utterance=frame.utterance + f"#{k}", parent=frame.utterance) for k in range(2)])
    rows = pd.concat([frame, windows], ignore_index=True)
    (split,) = splits.make(rows, "random", seed=1)
    (own,) = splits.make(frame, "random", seed=1)
    for part in ("train", "validation", "test"):
        names = set(frame.utterance.iloc[getattr(own, part)])
        assert set(rows.parent.fillna(rows.utterance).iloc[getattr(split, part)]) == names
        assert len(getattr(split, part)) == 3 * len(names)
    torn = replace(split, train=np.sort(np.append(split.train, split.test[-1])), test=split.test[:-1])
    with pytest.raises(splits.LeakError, match="share 1 values of 'utterance'"):
        splits.check(rows, torn, "random")


def test_speakers_of_one_name_in_two_corpora_are_two():
    frame = pool(a=3, b=3)
    same = frame.assign(speaker=frame.speaker.str[1:])  # S00, S01 and S02 in both
    for one, other in zip(
        splits.make(frame, "speaker_independent"), splits.make(same, "speaker_independent"), strict=True
    ):
        for name in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
