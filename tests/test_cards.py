import numpy as np
import pandas as pd
from answers import rows, some

from serlib import cards, claims

SYSTEM = {"source": "ijrc2025", "model": "cnn", "start": "scratch", "task": "emotion", "corpus": "tess"}
SYSTEM |= {"sample": "all", "features": "log_mel", "recipe": "default", "wa": 99.0, "notebook": "04_cnn"}


def card(predictions, **other):
    return cards.cards(predictions, pd.DataFrame([SYSTEM | {"what": "split not stated"} | other])).iloc[0]


def test_a_card_says_what_both_protocols_give():
    known = card(pd.concat([some(), rows("random", "OAF", 20, 0, part="train")]))
    assert known.claimed == "99 (split not stated)"
    assert known["same protocol"].startswith("WA 95.0 (90.0 to 100.0); 40 test clips, seeds: 2")
    assert known["same protocol"].endswith("on its training clips 100.0")
    assert known["unseen speakers"].startswith("UAR 60.0 (")
    why = known["why they differ"]
    assert "4.0 points less than the claim; training clips give 100.0; its best seed reaches it; 35.0 points of" in why


def test_below_the_claim_the_card_says_what_a_leak_would_give():
    leaky = rows("random", "OAF", 24, 1, role="ablation", recipe="copies_before_split", model="random_forest")
    told = card(pd.concat([some(), leaky]), wa=100.5)["why they differ"]
    assert "5.5 points less than the claim; copies made before the split give at most 96.0 (notebook 15);" in told
    assert "copies" not in card(pd.concat([some(), leaky]), wa=90.0)["why they differ"], "nothing is left to explain"
    assert "copies" not in card(pd.concat([some(), leaky]))["why they differ"], "a seed reaches 99 without them"
    joint = pd.concat([some().assign(task="gender_emotion"), leaky])
    assert (
        "at most 96.0 for the emotions alone (notebook 15)"
        in card(joint, task="gender_emotion", wa=100.5)["why they differ"]
    )


def test_below_the_claim_the_card_says_what_people_heard():
    told = card(some().assign(train_corpora="cremad"), corpus="cremad", wa=100.5)["why they differ"]
    assert "5.5 points less than the claim; most listeners, hearing the voice alone" in told
    assert "listeners" not in card(some())["why they differ"], "of TESS no ratings are at hand"


def test_a_system_with_augmentation_says_what_augmentation_was_worth_here():
    about = {"notebook": "16_augmentation", "model": "cnn_lstm", "role": "ablation", "train_corpora": "savee"}
    tried = [
        rows("speaker_independent", speaker, right, 20 - right, recipe=recipe, **about)
        for recipe, rights in (("none", (10, 12, 14, 16)), ("caemocygan", (8, 10, 12, 14)))
        for speaker, right in zip("ABCD", rights, strict=True)
    ]
    answers = pd.concat([some(), *tried])
    told = card(answers, what="with augmentation; corpus not said")["why they differ"]
    assert "brings a CNN-LSTM -10.0 points of UAR on SAVEE (-10.0 to -10.0, 95 % over speakers) (notebook 16)" in told
    assert "augmentation" not in card(answers)["why they differ"], "no other system is said to be augmented"
    assert "augmentation" not in card(some(), what="with augmentation")["why they differ"], "nothing was tried"


def test_a_claim_on_songs_says_where_none_was_heard():
    spoken = some().assign(train_corpora="ravdess", utterance=lambda t: "03-01-" + t.utterance)
    sung = {"corpus": "ravdess", "what": "RAVDESS speech and song"}
    told = card(spoken, **sung)["same protocol"]
    assert (
        "; speech alone: `make report PROFILE=full` does it with the songs at hand" in told
        and "download ravdess`" in told
    )
    songs = spoken.utterance.str.replace("03-01-", "03-02-")
    assert "speech alone" not in card(spoken.assign(utterance=songs), **sung)["same protocol"]
    assert "speech alone" not in card(spoken, corpus="ravdess")["same protocol"]


def test_more_than_claimed_is_said_too():
    assert "5.0 points more than the claim" in card(some(), wa=90.0)["why they differ"]
    for claim in (94.96, 95.0, 95.04):
        assert "gives what is claimed, to a tenth of a point" in card(some(), wa=claim)["why they differ"]
    assert card(some(), wa=np.nan).claimed == "no number (split not stated)"


def test_another_recipe_or_features_is_another_system():
    for other in ({"recipe": "100_epochs"}, {"features": "mfcc"}, {"task": "gender_emotion"}, {"corpus": "savee"}):
        assert card(some(), **other)["same protocol"].startswith("not run: `make report PROFILE=full`")


def test_other_roles_and_fewer_labels_are_no_part_of_a_card():
    others = [{"role": "explained"}, {"label_share": 0.1}, {"condition": "white_10_dB"}]
    more = pd.concat([some(), *(rows("random", "OAF", 0, 20, seed=3, **other) for other in others)])
    assert card(more).equals(card(some()))


def test_where_no_claimed_corpus_is_there_the_synthetic_one_answers_and_says_so():
    stands_in = card(some().assign(train_corpora="mini"))
    assert stands_in["same protocol"].startswith("on mini in its place: WA 95.0")
    assert stands_in["unseen speakers"].startswith("on mini in its place: UAR")
    assert stands_in["why they differ"].startswith("another corpus than the claim's, which was not run: `make report")


def test_an_empty_place_names_the_command_for_every_corpus_of_a_pool():
    told = card(some(), corpus="ravdess+savee")["same protocol"]
    assert told.startswith("not run: `make report PROFILE=full` does it with RAVDESS and SAVEE at hand")
    assert "`.venv/bin/serlib download ravdess` and `.venv/bin/serlib download savee`" in told


def test_no_cell_is_empty_and_a_card_leads_to_its_predictions():
    table = cards.cards(some())
    assert len(table) == len(claims.systems())
    assert not table[["source", "system", "corpus", *cards.SAID]].isna().any(axis=None)
    assert "(../data/predictions/04_cnn_predictions.parquet)" in cards.markdown(table.iloc[0])
