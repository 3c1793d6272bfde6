import os

import pandas as pd
import pytest

from serlib import claims, corpora, scoring, sources


def write(folder, **tables):
    """A folder of claims: the given tables, each (rows, what tables.csv says)."""
    listed = {"source": "paper", "where": "Table 1", "corpora": "tess"}
    listed |= dict.fromkeys(("test_share", "per_emotion", "wa"))
    table = pd.DataFrame([listed | told | {"table": name} for name, (_, told) in tables.items()])
    table.to_csv(folder / "tables.csv", index=False)
    for name, (rows, _) in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    return folder


def report(counts, *, wa=None):
    """A classification report of a confusion matrix, as papers print them."""
    rows = []
    for k in range(len(counts)):
        right, said, there = counts[k][k], sum(row[k] for row in counts), sum(counts[k])
        precision, recall = right / said, right / there
        rows.append((f"class_{k}", precision, recall, 2 * precision * recall / (precision + recall), there))
    table = pd.DataFrame(rows, columns=["class", "precision", "recall", "f1", "support"]).round(2)
    exact = sum(counts[k][k] for k in range(len(counts))) / table.support.sum()
    total = {"class": "accuracy", "f1": round(exact, 2) if wa is None else wa, "support": table.support.sum()}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


SOUND = [[50, 6, 0], [4, 41, 3], [1, 2, 60]]


def test_every_finding_is_computed():
    found = claims.audit()
    assert {finding.code for finding in found} == {f"C{k}" for k in range(1, 9)}
    follows = {(f.code, f.where): f.follows for f in found}
    assert follows["C1", "Figure 11"] == "the clips tested are 99 % of such a sample"
    assert follows["C6", "Section 4.3"] == "8 outputs"
    assert [f.printed.split(":")[0] for f in found if f.code == "C4"] == ["disgust_male", "fearful_male"]
    (recalls,) = [f.calculation for f in found if f.code == "C7"]
    assert "85.3 %" in recalls
    (precision,) = [f.calculation for f in found if f.code == "C8"]
    assert "= 49.3 %" in precision
    share = [f.calculation for f in found if f.code == "C2"]
    assert len(share) == 2 and "2,452 clips, of which 80 % are 1,961.6" in share[0]


def test_a_consistent_table_gives_no_finding(tmp_path):
    n = sum(map(sum, SOUND))
    told = {"corpora": "savee", "test_share": n / 480}
    epochs = pd.DataFrame({"epoch": range(1, 7), "cnn": [0.1234, 0.3333, 0.5171, 0.6119, 0.7003, 0.7311]})
    quotes = pd.DataFrame({"where": ["Abstract", "Section 4"], "model": "cnn", "corpus": "", "wa": 80.0})
    equal = pd.DataFrame({"class": ["a", "b"], "precision": [100 * 50 / 60, 100], "recall": [100, 80.0]}).round(2)
    equal["f1"] = (2 * equal.precision * equal.recall / (equal.precision + equal.recall)).round(2)
    parameters = pd.DataFrame({"model": ["lstm_modified"], "parameters": [305_799]})
    tables = {"report": (report(SOUND), told), "epochs": (epochs, {}), "quotes": (quotes, {"corpora": ""})}
    tables |= {"equal": (equal, {"wa": 90}), "parameters": (parameters, {})}
    assert claims.audit(write(tmp_path, **tables)) == []


def doubled():
    """The same report, every clip twice, and a quarter more than the paper's whole sample."""
    return report([[2 * n for n in row] for row in SOUND])


@pytest.mark.parametrize(
    ("rows", "told", "code", "says"),
    [
        (doubled(), {"per_emotion": 30, "corpora": "savee"}, "C1", "are 210 clips, and 20 % of them 42"),
        (report(SOUND), {"test_share": 0.2, "corpora": "savee"}, None, ""),
        (doubled(), {"test_share": 1 - 334 / 480, "corpora": "savee"}, "C2", "480 clips, of which 70 % are 334.0"),
        (report(SOUND, wa=0.8), {}, "C3", "0.901, between 0.896 and 0.906"),
        (report(SOUND).replace({"f1": {0.85: 0.7}}), {}, "C4", "2 × 0.84 × 0.85"),
    ],
)
def test_a_planted_disagreement_is_found(tmp_path, rows, told, code, says):
    found = claims.audit(write(tmp_path, report=(rows, told)))
    assert [finding.code for finding in found] == ([code] if code else [])
    assert all(says in finding.calculation for finding in found)


def test_quotes_epochs_outputs_and_recalls_are_compared(tmp_path):
    quotes = pd.DataFrame({"where": ["Abstract", "Section 4"], "model": "cnn", "corpus": ["tess", ""], "wa": [98, 80]})
    epochs = pd.DataFrame({"epoch": range(1, 7), "cnn": [round(k / 96, 4) for k in (5, 17, 31, 40, 61, 77)]})
    parameters = pd.DataFrame({"model": ["lstm_modified", "lstm_traditional"], "parameters": [305_798, 77_160 - 33]})
    equal = pd.DataFrame({"class": ["a", "b"], "precision": [90.0, 100], "recall": [100, 80.0], "f1": [94.74, 88.89]})
    tables = {
        "quotes": (quotes, {}),
        "epochs": (epochs, {}),
        "parameters": (parameters, {}),
        "equal": (equal, {"wa": 95}),
    }
    found = {finding.code: finding for finding in claims.audit(write(tmp_path, **tables))}
    assert found["C5"].printed == "cnn: 98 % (Abstract, TESS), 80 % (Section 4)"
    assert found["C7"].calculation.startswith("mean of the recalls: 90.0 %")
    assert "= 83.3 %" in found["C8"].calculation
    both = [f for f in claims.audit(tmp_path) if f.code == "C6"]
    assert [f.follows for f in both] == ["they fit a fifth of SAVEE, not of TESS", "no whole number of outputs"]


def test_tables_and_their_list_agree(tmp_path):
    write(tmp_path, report=(report(SOUND), {}))
    (tmp_path / "another.csv").write_text("a\n")
    with pytest.raises(ValueError, match=r"differ in another"):
        claims.tables(tmp_path)


def test_official_counts_add_up_to_the_release():
    for name, source in sources.SOURCES.items():
        for channel, n in source.clips.items():
            if name in {"tess", "ravdess", "savee", "cremad"}:
                assert claims.clips_of(f"{name}:{channel}").sum() == n


@pytest.mark.skipif(not os.environ.get("SERLIB_DATA"), reason="needs corpora: set SERLIB_DATA")
@pytest.mark.parametrize("name", ["tess", "ravdess", "savee"])
def test_official_counts_are_those_of_the_recordings(name):
    if name not in corpora.available():
        pytest.skip(f"{name} is not there")
    counted = corpora.load(name).utterances.emotion.value_counts()
    assert counted.to_dict() == claims.clips_of(name).to_dict()


def test_every_claimed_model_has_a_name():
    assert set(claims.systems().model) <= set(scoring.MODELS)


def test_published_scores_name_a_corpus_of_ours_and_a_paper_that_is_cited():
    table = claims.published()
    assert set(table.corpus) <= set(sources.SOURCES) and set(table.kind) == {"small", "large"}
    assert table.uar.between(0, 100).all() and not table.duplicated(["corpus", "kind", "model"]).any()
    entries = (corpora.REPOSITORY / "docs" / "references.bib").read_text()
    assert [key for key in table.key.unique() if f"{{{key}," not in entries] == []
