"""Sentences say what the predictions say."""

import pandas as pd
import pytest
from answers import pooled, rows, some

from serlib import findings, scoring


def test_update_readme(tmp_path):
    both = pd.concat([some(), pooled()])
    readme = tmp_path / "README.md"
    marks = ["<!-- results tess -->", "<!-- results a+b_600_each -->"]
    readme.write_text("before\n" + "between\n".join(f"{mark}\nold\n{mark}\n" for mark in marks) + "after\n")
    for _ in range(2):
        findings.update_readme(both, readme)
        text = readme.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "between" in text and "old" not in text
        assert text.count("| CNN |") == 2 and text.count("unseen speaker OAF") == 1


@pytest.mark.parametrize("text", ["no mark", "<!-- results tess -->", "<!-- results no -->\n<!-- results no -->"])
def test_a_readme_without_marks_is_left_alone(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match=r"README\.md needs pairs of marks .* known are results tess, .* It has"):
        findings.update_readme(some(), readme)
    assert readme.read_text() == text


def test_models_of_one_sentence_may_have_more_seeds_than_others():
    assert "(2 seeds)" in findings.gap(some(), "tess")
    fewer = some().query("seed == 1").assign(model="cnn_lstm")
    assert "(1 to 2 seeds)" in findings.gap(pd.concat([some(), fewer]), "tess")


def pool(**other):
    """The 1-D network on four corpora: 16 of 20 right under `random`, and 30 of 80 on eight unseen speakers."""
    told = {"train_corpora": findings.POOL, "sample": findings.SAMPLE, "model": "cnn1d_lstm"} | other
    tables = [rows("random", "S0", 16, 4), rows("random", "S1", 2, 0, part="train")]
    tables += [
        rows("speaker_independent", f"S{k}", 30 // 8 + (k < 30 % 8), 10 - 30 // 8 - (k < 30 % 8)) for k in range(8)
    ]
    return pd.concat(tables, ignore_index=True).assign(corpus="cremad", **told)


def test_a_claim_is_reached_or_not():
    told = findings.pool_claim(pool())
    assert "The 81 % of `iiitb2024` is not reached" in told and "80.0 % (one seed)" in told
    assert "81.8 % come out right" in told, "18 of 22, training included"
    better = pool()
    assert "is reached" in findings.pool_claim(better.assign(predicted=better.emotion))
    assert "5 of" not in findings.claimed(some()) and "not reached: the 95.37 %" in findings.claimed(some())
    assert "1 of 1 claimed accuracies" in findings.claimed(some().assign(predicted=some().emotion))


def test_what_is_lost_is_counted_corpus_by_corpus():
    both = pd.concat([pool(), pool().assign(corpus="tess", predicted=lambda table: table.emotion)])
    told = findings.pool_unseen(both)
    assert "16 speakers" in told and "UAR falls from 90.0 to 68.8" in told
    assert "by 42 points on CREMA-D, by 0 on TESS" in told


def test_leaks_are_counted_on_the_ladder():
    told = {"role": "ablation", "features": "averages", "train_corpora": findings.POOL, "sample": findings.SAMPLE}
    first = rows("random", "S0", 18, 2).assign(recipe="copies_before_split", **told)
    honest = rows("random", "S0", 14, 6).assign(recipe="copies", **told)
    told = findings.ladder(pd.concat([first, honest]))
    assert "at most 90.0 % there" in told and "of which 20.0 points are those leaks; it reaches the 81 %" in told
    with pytest.raises(findings.NotRun):
        findings.ladder(honest)


def test_calm_elsewhere_is_counted():
    assert "of 20 test clips in one seed" in findings.pool_corpora(
        pool()
    ) and "calls none calm" in findings.pool_corpora(pool())
    calm = pool()
    calm.loc[calm.protocol == "random", "predicted"] = "calm"
    assert "it calls 20 calm" in findings.pool_corpora(calm)


def test_an_abstract_says_what_it_can():
    told = findings.abstract(some().assign(train_corpora="mini", corpus="mini"))
    assert told.startswith("Under a random split of mini, the 1 models") and "UAR of 60.0" in told
    assert "TESS" in findings.abstract(some()) and "pool" not in findings.abstract(some())
    assert findings.abstract(some().query("protocol == 'random'").assign(train_corpora="a")).startswith("No model was")
    with pytest.raises(findings.NotRun):
        findings.pool_claim(some())
    with pytest.raises(findings.NotRun, match="nothing calibrated"):
        findings.calibration(some().assign(model="cnn_lstm"))


def test_a_fault_is_not_taken_for_a_missing_run(monkeypatch):
    monkeypatch.setattr(scoring, "STARTS", {})
    with pytest.raises(KeyError):
        findings.abstract(some())


def test_the_recogniser_stands_beside_who_learned_from_one_woman():
    alone = some()
    ours = {"model": "recogniser", "train_corpora": findings.POOL}
    pooled = pd.concat([rows("speaker_independent", name, 16, 4, **ours) for name in ("OAF", "YAF")])
    told = findings.recogniser(pd.concat([alone, pooled]))
    assert "UAR of 80.0 (" in told and "the other woman alone got 60.0" in told
    with pytest.raises(findings.NotRun):
        findings.recogniser_random(pooled)
    for right, verdict in ((17, "which is above"), (16, "which is not above")):
        known = [rows("random", "OAF", n, 20 - n, sample=on, **ours) for n, on in ((right, "600_each"), (12, "all"))]
        told = findings.recogniser_random(pd.concat([*known, pooled]))
        assert f"{5 * right:.1f} % of the test clips" in told and f"{verdict} the 81 %" in told
        assert "Of all 40 clips it names 60.0 % (one seed)" in told and "unseen speakers 80.0 % (one seed)" in told
    table = findings.published(pd.concat([alone, pooled])).strip().splitlines()
    assert len(table) == 4 and table[1].count("---:") == 2 and "80.0" in table[3]
    with pytest.raises(findings.NotRun):
        findings.published(alone)
