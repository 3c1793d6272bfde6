"""How far predictions may be relied on: calibration, coverage, groups of speakers, listeners."""

import numpy as np
import pandas as pd
import pytest
from answers import rows, some

from serlib import corpora, reliability, sources


def fitted(right=60, wrong=40):
    """A network that is 90 % sure of each answer, on validation and test clips alike."""
    of = [rows("speaker_independent", "A", right, wrong, part="validation")]
    return pd.concat([*of, rows("speaker_independent", "B", right, wrong)], ignore_index=True)


def test_a_temperature_brings_confidence_to_what_is_right():
    (row,) = reliability.calibration(reliability.calibrated(fitted())).to_dict("records")
    assert (row["wa"], row["clips"]) == (60, 100) and row["confidence"] == pytest.approx(90)
    assert row["confidence_cooled"] == pytest.approx(60, abs=1) and row["temperature"] > 2
    assert row["ece"] == pytest.approx(30) and row["ece_cooled"] < 1
    (row,) = reliability.calibration(reliability.calibrated(fitted(95, 5))).to_dict("records")
    assert row["temperature"] == pytest.approx(1, abs=1e-3) and row["confidence_cooled"] == pytest.approx(90, abs=0.1)


def test_the_surest_answers_are_given_first():
    sure = fitted(50, 50)
    right = sure.emotion == sure.predicted
    for name in ("anger", "fear"):
        sure[f"p_{name}"] = np.where(sure.predicted == name, np.where(right, 0.9, 0.6), np.where(right, 0.1, 0.4))
    (row,) = reliability.calibration(reliability.calibrated(sure)).to_dict("records")
    assert row["wa_50"] == 100 and row["wa_90"] == pytest.approx(100 * 50 / 90)


def test_without_validation_clips_there_is_no_temperature():
    assert reliability.calibrated(some()).empty
    assert reliability.calibration(reliability.calibrated(some())).empty


def test_groups_are_compared_inside_corpora_that_have_several():
    speakers = pd.DataFrame({"corpus": "tess", "speaker": [f"S{k}" for k in range(8)], "age": np.nan})
    speakers["gender"] = ["female"] * 4 + ["male"] * 4
    women_alone = speakers.assign(corpus="other", gender="female")
    tested = [rows("speaker_independent", f"S{k}", 18 if k < 4 else 10, 2 if k < 4 else 10) for k in range(8)]
    tested = pd.concat(tested)
    tested = pd.concat([tested, tested.assign(corpus="other", predicted="anger")])
    table = reliability.groups(tested, pd.concat([speakers, women_alone])).set_index("group")
    assert (
        table.uar.to_dict() == {"female": 90, "male": 50} and set(table.speakers) == {4} and set(table.by) == {"gender"}
    )
    assert reliability.groups(tested, women_alone).empty


def test_groups_have_an_order():
    speakers = pd.DataFrame({"corpus": "tess", "speaker": [f"S{k}" for k in range(9)], "gender": None})
    speakers["age"] = [70, 45, 20] * 3
    tested = pd.concat([rows("speaker_independent", f"S{k}", 5, 5) for k in range(9)])
    assert reliability.groups(tested, speakers).group.tolist() == ["under 30", "30 to 49", "50 and over"]
    speakers = speakers.assign(age=np.nan, gender=["other", "male", "female"] * 3)
    assert reliability.groups(tested, speakers).group.tolist() == ["female", "male", "other"]


def test_every_committed_speaker_is_known():
    known = pd.concat(map(pd.read_csv, reliability.SPLITS.glob("*_speakers.csv")))
    assert known.groupby("corpus").speaker.nunique().to_dict() == {
        **{"cremad": 91, "mini": 4, "ravdess": 24, "savee": 4, "tess": 2}
    }
    assert known.gender.isin(["female", "male"]).all()
    assert (known[known.corpus == "ravdess"].gender == "female").sum() == 12


def test_listeners(tmp_path):
    """Ties share their clip."""
    votes = pd.DataFrame({"FileName": ["1001_DFA_ANG_XX", "1001_DFA_SAD_XX", "1002_DFA_SAD_HI"]})
    votes["VoiceVote"] = ["A", "N:S", "S"]
    votes.to_csv(tmp_path / "summary.csv")
    heard = sources.cremad_listeners(tmp_path / "summary.csv")
    heard.to_csv(tmp_path / "listeners.csv", index=False)
    (row,) = reliability.listeners(tmp_path / "listeners.csv").to_dict("records")
    assert row == {"corpus": "cremad", "clips": 3, "uar": pytest.approx(87.5), "wa": pytest.approx(100 * 2.5 / 3)}


def test_committed_listeners_are_those_of_the_release():
    (row,) = reliability.listeners().to_dict("records")
    assert row["clips"] == 7442, "every clip of the release once"
    summary = corpora.data_root() / "cremad" / "processedResults" / "summaryTable.csv"
    if not summary.is_file():
        pytest.skip("needs the release of CREMA-D: set SERLIB_DATA")
    pd.testing.assert_frame_equal(sources.cremad_listeners(summary), pd.read_csv(reliability.LISTENERS))
