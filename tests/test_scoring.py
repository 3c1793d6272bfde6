import numpy as np
import pandas as pd
import pytest
from answers import augmented, crossed, heard, ideas, pooled, recognised, rows, some

from serlib import audit, claims, scoring, splits


def test_scores():
    table = scoring.scores(some(), ["protocol"]).set_index("protocol")
    assert table.wa["random"] == 95 and table.wa["speaker_independent"] == 60
    assert (table.wa_seed_min["random"], table.wa_seed_max["random"]) == (90, 100)
    assert table.seeds["random"] == 2 and table.utterances["random"] == 40
    assert set(table.interval_over) == {"text"}, "two speakers are too few to draw from"
    assert (table.uar_low <= table.uar).all() and (table.uar <= table.uar_high).all()
    assert (table.constant_wa == 50).all()
    assert scoring.scores(some().head(0), ["model"]).empty


def test_confusions_over_several_columns_are_dense():
    apart = some().query("not (seed == 2 and speaker == 'OAF' and protocol == 'random')")
    counts, classes = scoring.confusions(apart, ["corpus", "speaker"], "seed")
    assert counts.shape == (2, apart.seed.nunique(), len(classes), len(classes))
    whole, _ = scoring.confusions(apart)
    np.testing.assert_array_equal(counts.sum(axis=(0, 1)), whole)
    for k, (_, part) in enumerate(apart.groupby("speaker")):
        np.testing.assert_array_equal(counts[k].sum(), len(part))


def test_three_speakers_are_enough_to_draw_from():
    third = some().query("protocol == 'speaker_independent' and speaker == 'OAF'").assign(speaker="M1")
    (row,) = scoring.scores(pd.concat([some(), third]), ["model"]).to_dict("records")
    assert row["interval_over"] == "speaker"


def test_speakers_of_one_name_in_two_corpora_are_two():
    both = pd.concat([some(), some().assign(corpus="other")])
    (row,) = scoring.scores(both, ["model"]).to_dict("records")
    assert row["interval_over"] == "speaker", "four speakers, though only two names"


def test_results_are_of_one_corpus():
    other = some().assign(train_corpora="mini", predicted="anger")
    table = scoring.results(pd.concat([some(), other]), "tess")
    pd.testing.assert_frame_equal(table, scoring.results(some(), "tess"))
    assert scoring.results(other, "mini").claim_wa.isna().all(), "the paper claims nothing about mini"


def test_results_and_their_markdown():
    table = scoring.results(some(), "tess")
    (row,) = table.to_dict("records")
    assert (row["random_wa"], row["unseen_OAF_uar"], row["unseen_YAF_uar"]) == (95, 50, 70)
    assert row["claim_wa"] == 95.37 and row["source"] == "ijrc2025"
    text = scoring.markdown(table)
    assert "| CNN | 95.37 `ijrc2025` | 95.0 (90.0 to 100.0) | 95.0 | 50.0 | 70.0 |" in text
    assert "| *constant answer* | – | 50.0 | 50.0 | 50.0 | 50.0 |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_score_is_rounded_once_and_who_guesses_is_of_most_seeds():
    odd = pd.concat([rows("random", speaker, 20, 1) for speaker in ("OAF", "YAF")])
    assert scoring.results(odd, "tess").random_uar.tolist() == scoring.scores(odd, ["model"]).uar.tolist()
    once = some().query("seed == 1").reset_index(drop=True).assign(model="vit")
    once = once.drop(once.query("protocol == 'random' and emotion == 'anger'").index[:3])
    both = scoring.results(pd.concat([some(), once]), "tess")
    assert (both.constant_wa == 50).all()


def test_without_texts_there_is_no_interval_over_them():
    unknown = some().assign(text=some().text.where(some().utterance != "OAF0"))
    table = scoring.scores(unknown, ["protocol"])
    assert table.interval_over.isna().all() and table.uar_low.isna().all() and table.uar.notna().all()


@pytest.mark.parametrize(
    "other", [{"part": "train"}, {"task": "gender_emotion"}, {"role": "explained"}, {"label_share": 0.1}]
)
def test_what_is_no_result_stays_out_of_the_results(other):
    table = scoring.results(pd.concat([some(), some().assign(predicted="anger", **other)]), "tess")
    pd.testing.assert_frame_equal(table, scoring.results(some(), "tess"))


def test_every_score_is_in_the_table_of_all():
    parts = [some(), *(some().assign(**o) for o in ({"part": "train"}, {"role": "explained"}, {"label_share": 0.1}))]
    assert len(scoring.scores(pd.concat(parts))) == 8, "two protocols each"


def test_two_starts_are_two_rows():
    table = scoring.results(pd.concat([some(), some().assign(start="pretrained")]), "tess")
    assert [scoring.model_name(*on) for on in zip(table.model, table.start, strict=True)] == [
        "CNN",
        "CNN, pre-trained here",
    ]


def test_a_group_under_another_protocol_alone_has_a_row():
    table = scoring.results(some().assign(protocol="text_independent"), "tess")
    assert (
        len(table) == 1
        and table.random_wa.isna().all()
        and "| CNN | 95.37 `ijrc2025` | – | – | – |" in (scoring.markdown(table))
    )


def test_who_was_asked_about_another_corpus_alone_is_not_in_the_results():
    table = scoring.results(crossed().query("protocol != 'random' or corpus == 'tess'"), "tess")
    assert table.model.tolist() == ["cnn"]
    pool = crossed().query("train_corpora == 'ravdess+tess'")
    both = pd.concat([pool, pool.assign(model="vit", protocol="random")])
    assert scoring.results(both, "ravdess+tess").model.tolist() == ["vit"]


def test_many_speakers_share_a_column_with_an_interval():
    table = scoring.results(pooled(), "a+b", "600_each")
    head, _, cnn, constant = scoring.markdown(table).splitlines()
    assert head.endswith("| `random`: UAR | unseen speakers: UAR |")
    assert cnn.startswith("| CNN | – | – | – | 60.0") and constant == "| *constant answer* | – | – | 50.0 | 50.0 |"


def test_what_was_trained_on_has_a_name():
    both = pd.concat([some(), pooled(), some().assign(task="gender_emotion", train_corpora="other")])
    assert [scoring.label(*on) for on in scoring.trained(both)] == ["tess", "a+b_600_each"]
    assert scoring.title("ravdess+savee", "600_each") == "RAVDESS and SAVEE, 600 clips an emotion"
    assert scoring.title("mini", "140_in_all") == "mini, 140 clips"


def answered(start="scratch", label_share=1.0, *seeds, **other):
    """Predictions from one start: how many of 20 clips of each speaker are answered rightly, in one or more seeds."""
    return pd.concat(
        [
            rows("random", speaker, count, 20 - count, seed=seed, start=start, label_share=label_share, **other)
            for seed, counts in enumerate(seeds)
            for speaker, count in zip("ABC", counts, strict=False)
        ],
        ignore_index=True,
    )


def test_a_gain_is_paired():
    """Speakers differ by 40 points, their gain is the same: drawing both starts at once leaves it without width."""
    both = [answered("pretrained", 1.0, (10, 14, 18)), answered("scratch", 1.0, (8, 12, 16))]
    few = [answered(start, 0.1, (4, 4, 4)) for start in ("pretrained", "scratch")]
    table = scoring.label_shares(pd.concat(both + few, ignore_index=True))
    assert table.label_share.tolist() == [0.1, 1] and table.interval_over.tolist() == ["speaker", "speaker"]
    np.testing.assert_allclose(table[["gain", "gain_low", "gain_high"]], [[0, 0, 0], [10, 10, 10]], atol=1e-9)


def test_a_gain_is_pooled_over_seeds_and_its_extremes_told():
    both = [answered("pretrained", 1.0, (20, 20, 20), (10, 10, 10)), answered("scratch", 1.0, *[(12, 12, 12)] * 2)]
    (row,) = scoring.label_shares(pd.concat(both, ignore_index=True)).itertuples()
    assert (row.seeds, row.uar_pretrained, row.uar_scratch) == (2, 75, 60)
    np.testing.assert_allclose([row.gain, row.gain_seed_min, row.gain_seed_max], [15, -10, 40])


def test_a_gain_on_two_speakers_draws_texts_if_they_are_known():
    two = pd.concat([answered("pretrained", 1.0, (18, 18)), answered("scratch", 1.0, (12, 12))], ignore_index=True)
    (row,) = scoring.label_shares(two).itertuples()
    assert row.interval_over == "text" and row.gain == pytest.approx(30) and row.gain_low < row.gain < row.gain_high
    (row,) = scoring.label_shares(two.assign(text=None)).itertuples()
    assert row.gain == pytest.approx(30) and np.isnan(row.gain_low) and row.interval_over is None


def test_a_gain_needs_the_same_clips_on_both_sides():
    both = [answered("pretrained", 1.0, (18, 18, 18)), answered("scratch", 1.0, (12, 12, 12))]
    both = pd.concat(both, ignore_index=True)
    for wrong in (both.drop(index=0), pd.concat([both, both.head(1)], ignore_index=True)):
        with pytest.raises(ValueError, match="not tested on the same clips"):
            scoring.label_shares(wrong)
    surprised = both.assign(predicted=both.predicted.where(both.index > 0, "surprise"))  # an answer of one start alone
    assert scoring.label_shares(surprised).gain.between(28, 30).all()
    assert scoring.label_shares(both.query("start == 'pretrained'")).empty, "nothing to compare with"


def test_every_emotion_of_every_model_has_a_row():
    table = scoring.by_emotion(pd.concat([some(), some().assign(model="vit", part="train")]))
    assert table.groupby("protocol").emotion.agg(list).tolist() == [["anger", "fear"]] * 2
    unseen = table.query("protocol == 'speaker_independent'").set_index("emotion")
    assert unseen.recall.mean() == 60 and unseen.clips.sum() == 40 and set(table.model) == {"cnn"}
    assert scoring.by_emotion(some().head(0)).empty


def test_of_two_claims_about_one_model_the_higher_is_shown(monkeypatch):
    claimed = claims.systems().query("model == 'cnn'")
    monkeypatch.setattr(claims, "systems", lambda: pd.concat([claimed.assign(wa=97.0, source="other"), claimed]))
    (row,) = scoring.results(some(), "tess").itertuples()
    assert (row.claim_wa, row.source) == (97.0, "other")


def test_what_models_are_fed_is_compared_where_there_are_several_kinds():
    assert scoring.fed(some()).empty
    both = pd.concat([some(), some().assign(features="mfcc", role="ablation")])
    table = scoring.fed(pd.concat([both, both.assign(model="svm", recipe="adapted")]))
    assert set(table.model) == {"cnn"} and set(table.features) == {"log_mel", "mfcc"} and len(table) == 4


def test_two_models_are_compared_on_the_clips_that_both_answered():
    better = pd.concat([rows("speaker_independent", f"S{k}", 18, 2) for k in range(6)])
    worse = pd.concat([rows("speaker_independent", f"S{k}", 10, 10, model="vit") for k in range(8)])
    (pair,) = scoring.compare(pd.concat([better, worse])).to_dict("records")
    assert (pair["a"], pair["b"], pair["over"], pair["groups"]) == ("CNN", "ViT", "speaker", 6)
    assert pair["difference"] == pytest.approx(40) and pair["low"] == pair["high"] == pytest.approx(40)
    assert pair["p"] == pair["p_holm"] == pytest.approx(2 / 2**6, rel=0.2) and pair["p_mcnemar"] < 1e-6


def test_more_pairs_need_more_evidence():
    tables = [rows("speaker_independent", f"S{k}", 18, 2, model=m) for k in range(6) for m in ("cnn", "vit", "lstm")]
    tables = pd.concat(tables)
    tables.loc[tables.model == "vit", "predicted"] = "anger"
    table = scoring.compare(tables)
    assert len(table) == 3 and (table.p_holm >= table.p).all() and table.p.min() < 0.05 < table.p_holm.min()
    assert scoring.compare(some()).empty


def climbing():
    """A model of notebook 15 on four rungs, and a result of another notebook under one protocol."""
    climber = {"notebook": "15_shortcuts", "model": "random_forest", "features": "averages", "role": "ablation"}
    rungs = [("random", "copies_before_split", 19), ("random", "chosen_on_test", 16), ("random", "copies", 15)]
    rungs += [("speaker_independent", "copies", 10)]
    tables = [rows(protocol, "OAF", n, 20 - n, recipe=recipe, **climber) for protocol, recipe, n in rungs]
    return pd.concat([*tables, rows("random", "OAF", 18, 2, model="random_forest", features="functionals")])


def test_a_ladder_has_a_row_a_rung_and_its_steps():
    table = scoring.ladder(climbing())
    climber = table[table.features == "averages"]
    assert climber.rung.tolist() == ["copies_before_split", "chosen_on_test", "random", "speaker_independent"]
    np.testing.assert_allclose(climber.uar, [95, 80, 75, 50])
    np.testing.assert_allclose(climber.step, [np.nan, -15, -5, -25])
    assert (table.constant_uar == 50).all() and (table.uar_low <= table.uar).all()
    (other,) = table[table.features == "functionals"].itertuples()
    assert other.rung == "random" and np.isnan(other.step), "its own features, so no rung of the climber"


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": "adapted"},
        {"role": "control", "recipe": "default"},
        {"part": "validation"},
        {"task": "gender_emotion"},
    ],
)
def test_what_does_not_climb_is_on_no_rung(other):
    table = scoring.ladder(pd.concat([climbing(), climbing().head(20).assign(predicted="anger", **other)]))
    pd.testing.assert_frame_equal(table, scoring.ladder(climbing()))


def test_no_rung_that_leaks_is_a_result():
    assert set(scoring.results(climbing(), "tess").model) == {"random_forest"}
    (row,) = scoring.results(climbing(), "tess").itertuples()
    assert row.random_wa == 90, "the functionals' own"
    assert set(scoring.RUNGS) == {*audit.LEAKS, *splits.PROTOCOLS}
    assert scoring.ladder(climbing().head(0)).empty


def test_what_augmentation_was_worth():
    table = scoring.augmentations(augmented()).set_index("recipe")
    assert table.index.tolist() == ["none", "noise", "specaugment"], "in the order of the notebook, clean clips alone"
    np.testing.assert_allclose(table.uar, [50, 40, 100])
    np.testing.assert_allclose(table.gain, [np.nan, -10, 50])
    assert table.gain_low["specaugment"] == table.gain_high["specaugment"] == 50, "every speaker gains as much"
    assert (table.p_holm.dropna() < 0.05).all() and np.isnan(table.p_holm["none"])
    assert table.rare_uar.isna().all(), "all emotions have equally many clips"


def test_rare_emotions_are_scored_apart():
    fear = augmented().query("emotion == 'fear'").groupby(["recipe", "condition", "speaker"]).head(4)
    few = pd.concat([augmented().query("emotion == 'anger'"), fear])
    table = scoring.augmentations(few).set_index("recipe")
    said = (
        few.query("emotion == 'fear' and condition == 'clean'")
        .groupby("recipe")
        .apply(lambda rows: 100 * (rows.predicted == "fear").mean(), include_groups=False)
    )
    np.testing.assert_allclose(table.rare_uar[said.index], said)


def test_robustness_is_of_those_who_heard_noise():
    table = scoring.robustness(augmented()).set_index(["recipe", "condition"])
    assert table.uar.round(6).to_dict() == {
        ("none", "clean"): 50,
        ("none", "white_10_dB"): 0,
        ("noise", "clean"): 40,
        ("noise", "white_10_dB"): 40,
    }
    assert table.amount[:, "white_10_dB"].eq(10).all() and table.amount[:, "clean"].isna().all()
    assert set(table.disturbance) == {"clean", "white"} and table.constant_uar.eq(50).all()
    assert scoring.robustness(some()).empty and scoring.augmentations(some()).empty
    other = augmented().assign(
        train_corpora="mini", emotion=lambda rows: rows.emotion.where(rows.index % 3 > 0, "calm")
    )
    both = scoring.robustness(pd.concat([augmented(), other])).groupby("train_corpora").constant_uar.first()
    np.testing.assert_allclose(both, [100 / 3, 50], err_msg="chance is of each corpus alone")


def test_chance_is_adjusted_for_the_methods_of_one_classifier():
    alone = scoring.augmentations(augmented())
    two = scoring.augmentations(pd.concat([augmented(), augmented().assign(model="cnn_lstm")]))
    assert set(two.model) == {"cnn", "cnn_lstm"} and len(two) == 2 * len(alone)
    np.testing.assert_array_equal(two[two.model == "cnn"].p_holm, alone.p_holm)
    fewer = scoring.augmentations(augmented().query("recipe != 'noise'")).set_index("recipe")
    assert fewer.p_holm["specaugment"] == alone.set_index("recipe").p_holm["specaugment"] / 2


def test_gains_are_of_seeds_that_both_have():
    more = augmented().query("recipe == 'none' and condition == 'clean'").assign(seed=2, predicted="anger")
    table = scoring.augmentations(pd.concat([augmented(), more])).set_index("recipe")
    assert table.gain["specaugment"] == 50, "of seed 1 alone"


def test_nearly_as_many_clips_are_not_rare():
    clips = augmented()
    fewer = clips[~((clips.emotion == "fear") & (clips.speaker == "S0") & clips.utterance.str.endswith(("2", "4")))]
    assert scoring.augmentations(fewer).rare_uar.isna().all()


def test_the_table_of_augmentations_as_text():
    text = scoring.augmentations_readable(scoring.augmentations(augmented()))
    assert text["training rows changed by"].tolist() == ["nothing", "a noisy copy of each clip", "SpecAugment"]
    assert text["gain in points (95 %)"].tolist()[::2] == ["–", "50.0 (50.0 to 50.0)"]
    assert (text["rare emotions"] == "–").all() and text["by chance"].str.endswith("%").tolist() == [False, True, True]


def test_what_an_idea_is_worth_corpus_by_corpus():
    table = scoring.ideas(ideas())
    assert table.idea.tolist() == ["masks", "mixup"] * 2 and set(table.corpus) == {"ravdess", "tess"}
    np.testing.assert_allclose(table.worth, [50, 0] * 2)
    assert table.complete.eq(100).all() and table.groups.eq(8).all() and table.over.eq("speaker").all()
    assert (table.low[table.idea == "masks"] == 50).all(), "every speaker loses as much"
    assert (table.p_holm < 0.05).tolist() == [True, False] * 2
    text = scoring.ideas_readable(table)
    assert text["what is taken away"].tolist() == ["bands and stretches of time masked", "mixup"]
    assert text["TESS"].tolist() == ["+50.0 (50.0 to 50.0)", "+0.0 (0.0 to 0.0)"]
    assert scoring.ideas(some()).empty


def test_an_emotion_that_is_never_predicted_has_no_precision():
    one, other = sorted(set(some().emotion))[:2]
    always = some().query("protocol == 'random' and emotion in @one").assign(predicted=one)
    table = scoring.scores(pd.concat([always, always.assign(emotion=other)]), ["protocol"])
    assert table.macro_precision.tolist() == [25], "half of one, none of the other"


def test_published_numbers_stand_beside_ours():
    table = scoring.published(recognised())
    assert table.model.tolist() == ["cnn", "recogniser"], "who was asked about fewer clips is another test"
    assert table.uar.tolist() == [50, 100] and table.small.tolist() == [63, 63]
    text = scoring.published_readable(table)
    assert text["published, pre-trained"].tolist() == ["71, wav2vec (ERTK, speakers normalised)"] * 2
    assert text["trained on"].tolist() == ["TESS", "RAVDESS and TESS"]
    assert text["here"].tolist() == ["CNN", "stronger recogniser"], "one kind needs no word"
    other = recognised().query("model == 'cnn'").assign(features="chroma", role="ablation")
    better = scoring.published(pd.concat([recognised(), other.assign(predicted=other.emotion)]))
    assert scoring.published_readable(better)["here"].tolist() == ["CNN, chroma", "stronger recogniser"]
    sample = other.assign(predicted=other.emotion, features="log_mel", role="result", sample="600_each")
    of_sample = scoring.published_readable(scoring.published(pd.concat([recognised(), sample])))
    assert of_sample["trained on"].tolist() == ["TESS, 600 clips an emotion", "RAVDESS and TESS"]
    assert scoring.published(some().query("protocol == 'random'")).empty


def test_every_corpus_alone_and_from_the_others():
    never = rows("speaker_independent", "A", 20, 0, model="vit")
    sample = rows("speaker_independent", "A", 20, 0, sample="600_each", seed=3)
    pooled = rows("speaker_independent", "A", 20, 0, train_corpora="ravdess+tess", seed=3)
    table = scoring.each_corpus(pd.concat([crossed(), never, sample, pooled]))
    assert set(table.model) == {"cnn"}, "who was never asked about another corpus is left out"
    of = table.set_index(["corpus", "protocol"])
    assert of.uar["tess"].tolist() == [100, 80, 60] and of.seeds["tess"].tolist() == [1, 2, 1]
    assert of.constant_uar["tess"].tolist() == [50] * 3, "of its own emotions"
    np.testing.assert_allclose(of.constant_uar["ravdess"], [100 / 3, 50, 50])
    text = scoring.each_corpus_readable(table)
    where = [f"{name}: 20 clips, intervals over texts" for name in ("RAVDESS", "TESS")]
    assert text["tested on"].tolist() == [where[0]] * 2 + [where[1]] * 2
    assert text.model.tolist() == ["CNN", "*constant answer*"] * 2
    assert list(text)[2:] == ["random split", "unseen speakers", "another corpus"]
    unseen, crossed_over = text["unseen speakers"].iloc[2], text["another corpus"].iloc[2]
    assert unseen.startswith("80.0 (") and unseen.endswith("), 2 seeds") and crossed_over.endswith(")")
    assert text["random split"].tolist()[1::2] == ["33.3", "50.0"]
    assert scoring.each_corpus(some()).empty


def test_seeds_that_answer_together():
    """Sure and right, a network outvotes two that are unsure and wrong; of a clip that one lacks nothing is said."""
    seeds = [
        rows("speaker_independent", "S0", right, 2 - right, model="recogniser", seed=k)
        for k, right in ((1, 2), (2, 0), (3, 0))
    ]
    unsure = [t.assign(p_anger=t.p_anger.clip(0.4, 0.6), p_fear=t.p_fear.clip(0.4, 0.6)) for t in seeds[1:]]
    together = scoring.ensemble(pd.concat([seeds[0], *unsure]))
    assert together.networks.tolist() == [3, 3] and set(together.model) == {"recogniser_ensemble"}
    assert (together.predicted == together.emotion).all()
    np.testing.assert_allclose(together[["p_anger", "p_fear"]].sum(axis=1), 1)
    assert len(scoring.ensemble(pd.concat([seeds[0], unsure[0].head(1)]))) == 1
    assert scoring.ensemble(seeds[0]).empty


def test_an_ensemble_stands_below_its_seeds():
    ours = recognised().query("model == 'recogniser'")
    table = scoring.published(pd.concat([recognised(), ours.assign(seed=2), ours.assign(seed=3)]))
    assert table.model.tolist() == ["cnn", "recogniser", "recogniser_ensemble"] and table.seeds.tolist() == [1, 3, 3]
    assert table.uar.tolist() == [50, 100, 100] and set(table.utterances) == {160}
    assert scoring.published_readable(table)["here"].iloc[-1] == "ensemble of stronger recognisers"
    some_clips = scoring.published(pd.concat([recognised(), ours.assign(seed=2).head(20)]))
    assert some_clips.model.tolist() == ["cnn", "recogniser"], "both seeds were asked about fewer clips"


def test_what_was_heard_of_a_speaker_before():
    table = scoring.own_mean(heard())
    assert table[["model", "heard"]].to_numpy().tolist() == [
        ["recogniser", "nothing"],
        *(["speech_svm", what] for what in ("nothing", "any_5", "all", "neutral_5")),
        *(["recogniser_speech_svm", what] for what in ("any_5", "all", "neutral_5")),
    ]
    of_svm = table[table.model == "speech_svm"].set_index("heard").wa
    assert of_svm.to_dict() == {"nothing": 40, "any_5": 60, "all": 100, "neutral_5": 80}
    gains = table.set_index(["model", "heard"]).gain
    assert gains["speech_svm", "all"] == 60 and np.isnan(gains["speech_svm", "nothing"])
    assert gains["recogniser_speech_svm", "all"] == 25, "above the recogniser alone; half of the draws are won"
    text = scoring.own_mean_readable(table)
    assert list(text) == ["model", "heard of the speaker before", "TESS"]
    assert text.iloc[-3, :2].tolist() == ["stronger recogniser and SVM", "up to 5 neutral clips"]
    assert text.TESS.tolist()[-2:] == ["63, DenseNet121", "71, wav2vec"], "published, of the same question"
    assert scoring.own_mean(some()).empty, "no notebook 19, no table"
    assert set(scoring.ladder(heard()).rung) == {"speaker_independent"}, "to have heard the speaker is no rung"


def test_the_recogniser_and_the_svm_answer_together_about_one_clip():
    """The surer of two carries the day, by the mean of the logarithms; fold and seed have to be the same."""
    both = heard().query("role == 'result'").drop_duplicates(["model", "protocol"])
    p = {"recogniser": (0.9, 0.1), "speech_svm": (0.4, 0.6)}
    both = both.assign(
        **{f"p_{name}": both.model.map(lambda m, k=k: p[m][k]) for k, name in enumerate(("anger", "fear"))}
    )
    (row,) = scoring.with_recogniser(both).to_dict("records")
    assert (row["predicted"], row["model"], row["protocol"]) == (
        "anger",
        "recogniser_speech_svm",
        "speaker_independent_adapted",
    )
    assert row["p_anger"] == pytest.approx(0.36**0.5 / (0.36**0.5 + 0.06**0.5), abs=1e-3)
    other_seed = both.assign(seed=both.seed.where(both.model == "recogniser", 9))
    assert scoring.with_recogniser(other_seed).empty
