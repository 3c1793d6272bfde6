import json

import numpy as np
import pandas as pd
import pytest

from serlib import report


def rows(protocol, speaker, right, wrong, *, model="cnn", seed=1, fold=0, part="test"):
    """Predictions with the given numbers of right and wrong answers, half of the clips angry, half fearful."""
    n = right + wrong
    emotion = np.where(np.arange(n) % 2, "anger", "fear")
    said = np.where(np.arange(n) < right, emotion, np.where(emotion == "anger", "fear", "anger"))
    about = {"notebook": "04_cnn", "model": model, "variant": "default", "corpus": "tess", "train_corpora": "tess"}
    about |= {"protocol": protocol, "fold": fold, "seed": seed, "part": part}
    about |= {
        "utterance": [f"{speaker}{k}" for k in range(n)],
        "speaker": speaker,
        "text": [f"w{k // 2}" for k in range(n)],
    }
    probabilities = {f"p_{e}": np.where(said == e, 0.9, 0.1) for e in ("anger", "fear")}
    return pd.DataFrame(about | {"emotion": emotion} | probabilities)


@pytest.fixture
def folder(tmp_path):
    """Two runs of one notebook, as training.write_run leaves them."""
    runs = {
        "random": [rows("random", "OAF", 20, 0), rows("random", "YAF", 18, 2, seed=2)],
        "unseen": [rows("speaker_independent", "OAF", 10, 10), rows("speaker_independent", "YAF", 14, 6, fold=1)],
    }
    for name, tables in runs.items():
        run = tmp_path / "runs" / name
        (run / "figures").mkdir(parents=True)
        pd.concat(tables).to_parquet(run / "predictions.parquet")
        history = pd.DataFrame({"fold": 0, "epoch": [1, 2], "loss": [1.0, 0.5], "accuracy": [0.5, 0.7], "model": "cnn"})
        history.assign(val_loss=1.0, val_accuracy=0.5).to_csv(run / "history.csv", index=False)
        record = {"notebook": "04_cnn", "parameters": {"protocol": name, "seed": 1}, "commit": "abc", "seconds": 1}
        record |= {"corpus": {"name": "tess", "fingerprint": "f"}, "python": "3", "backend": None, "versions": {}}
        (run / "run.json").write_text(json.dumps(record))
        for figure in ("counts.png", "counts.csv", "one_clip.png"):
            (run / "figures" / figure).write_text(name)
    return tmp_path


def collected(folder):
    report.collect(sorted((folder / "runs").iterdir()), folder / "predictions", folder / "figures")
    return report.read(folder / "predictions")


def test_collect_and_read(folder):
    predictions, histories = collected(folder)
    assert len(predictions) == 80 and set(predictions.predicted) == {"anger", "fear"}
    assert len(histories) == 4 and set(histories.protocol) == {"random", "unseen"}
    assert len(pd.read_csv(folder / "predictions" / "runs.csv")) == 2
    assert "commit abc" in report.provenance(folder / "predictions")


def test_collect_publishes_only_figures_with_data(folder):
    collected(folder)
    assert sorted(p.name for p in (folder / "figures" / "04_cnn").iterdir()) == ["counts.csv", "counts.png"]
    for path in (folder / "runs").glob("*/run.json"):
        path.write_text(path.read_text().replace('"tess"', '"mini"'))
    collected(folder)
    assert (folder / "figures" / "04_cnn" / "one_clip.png").exists(), "the synthetic corpus may be shown"


def test_of_runs_that_draw_the_same_figure_the_first_is_kept(folder):
    collected(folder)
    assert (folder / "figures" / "04_cnn" / "counts.png").read_text() == "random"
    collected(folder)
    assert (folder / "figures" / "04_cnn" / "counts.png").read_text() == "random"


def test_half_a_run_is_refused(folder):
    (folder / "runs" / "random" / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"random.run\.json"):
        collected(folder)


def test_nothing_to_read_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make report"):
        report.read(tmp_path)


def test_of_equal_probabilities_the_first_by_name_counts(folder):
    predictions, _ = collected(folder)
    tied = predictions.drop(columns="predicted").assign(p_anger=0.0, p_fear=0.4, p_calm=0.4)
    tied.to_parquet(folder / "predictions" / "04_cnn.parquet")
    assert set(report.read(folder / "predictions")[0].predicted) == {"calm"}


def test_scores(folder):
    predictions, _ = collected(folder)
    table = report.scores(predictions, ["protocol"]).set_index("protocol")
    assert table.wa["random"] == 95 and table.wa["speaker_independent"] == 60
    assert (table.wa_seed_min["random"], table.wa_seed_max["random"]) == (90, 100)
    assert table.seeds["random"] == 2 and table.utterances["random"] == 40
    assert set(table.interval_over) == {"text"}, "two speakers are too few to draw from"
    assert (table.uar_low <= table.uar).all() and (table.uar <= table.uar_high).all()
    assert (table.constant_wa == 50).all()
    assert report.scores(predictions.head(0), ["model"]).empty


def test_three_speakers_are_enough_to_draw_from(folder):
    predictions, _ = collected(folder)
    third = predictions.query("protocol == 'speaker_independent' and speaker == 'OAF'").assign(speaker="M1")
    (row,) = report.scores(pd.concat([predictions, third]), ["model"]).to_dict("records")
    assert row["interval_over"] == "speaker"


def test_histories_keep_their_folds(folder):
    history = pd.read_csv(folder / "runs" / "unseen" / "history.csv").assign(fold=1)
    history.to_csv(folder / "runs" / "unseen" / "history.csv", index=False)
    _, histories = collected(folder)
    assert histories.groupby("protocol").fold.unique().str[0].to_dict() == {"random": 0, "unseen": 1}


def test_results_are_of_one_corpus(folder):
    predictions, _ = collected(folder)
    other = predictions.assign(train_corpora="mini", predicted="anger")
    table = report.results(pd.concat([predictions, other]), "tess")
    pd.testing.assert_frame_equal(table, report.results(predictions, "tess"))
    assert report.results(other, "mini").claim_wa.isna().all(), "the paper claims nothing about mini"


def test_results_and_their_markdown(folder):
    predictions, _ = collected(folder)
    table = report.results(predictions, "tess")
    (row,) = table.to_dict("records")
    assert (row["random_wa"], row["unseen_OAF_uar"], row["unseen_YAF_uar"]) == (95, 50, 70)
    assert row["claim_wa"] == 95.37 and row["source"] == "ijrc2025"
    text = report.markdown(table)
    assert "| CNN | 95.37 `ijrc2025` | 95.0 (90.0 to 100.0) | 95.0 | 50.0 | 70.0 |" in text
    assert "| *constant answer* | – | 50.0 | 50.0 | 50.0 | 50.0 |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_without_texts_there_is_no_interval_over_them(folder):
    predictions, _ = collected(folder)
    unknown = predictions.assign(text=predictions.text.where(predictions.utterance != "OAF0"))
    table = report.scores(unknown, ["protocol"])
    assert table.interval_over.isna().all() and table.uar_low.isna().all() and table.uar.notna().all()


def test_predictions_of_a_dropped_notebook_do_not_linger(folder):
    predictions, _ = collected(folder)
    predictions.to_parquet(folder / "predictions" / "99_old.parquet")
    assert len(collected(folder)[0]) == len(predictions)


def test_training_rows_and_variants_stay_out_of_the_results(folder):
    predictions, _ = collected(folder)
    extra = predictions.assign(part="train"), predictions.assign(variant="gender_emotion")
    table = report.results(pd.concat([predictions, *(e.assign(predicted="anger") for e in extra)]), "tess")
    pd.testing.assert_frame_equal(table, report.results(predictions, "tess"))


def pooled(predictions):
    """As if a pool had been trained on: twelve speakers tested, under the paper's sample."""
    clips = predictions.query("protocol == 'speaker_independent'").assign(train_corpora="a+b", variant="paper_600")
    return pd.concat([clips.assign(speaker=f"S{k}") for k in range(12)], ignore_index=True)


def test_many_speakers_share_a_column_with_an_interval(folder):
    table = report.results(pooled(collected(folder)[0]), "a+b", "paper_600")
    head, _, cnn, constant = report.markdown(table).splitlines()
    assert head.endswith("| `random`: UAR | unseen speakers: UAR |")
    assert cnn.startswith("| CNN | – | – | – | 60.0") and constant == "| *constant answer* | – | – | 50.0 | 50.0 |"
    assert len(report.draw_gap(table).axes[0].collections) == 4


def test_a_pool_is_drawn_corpus_by_corpus(folder):
    predictions = pooled(collected(folder)[0])
    predictions["corpus"] = predictions.speaker.map(lambda speaker: "a" if speaker < "S5" else "b")
    fig, table = report.draw_by_corpus(predictions)
    assert table.set_index("corpus").uar.to_dict() == {"a": 60, "b": 60}
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["b", "a"]


def test_what_was_trained_on_has_a_name(folder):
    predictions, _ = collected(folder)
    both = pd.concat([predictions, pooled(predictions), predictions.assign(variant="gender_emotion")])
    assert [report.label(*on) for on in report.trained(both)] == ["tess", "a+b_paper_600"]


def answered(**right):
    """Predictions of variants: how many of 20 clips of each speaker are answered rightly, in one or more seeds."""
    tables = [
        rows("random", speaker, count, 20 - count, seed=seed).assign(variant=variant)
        for variant, seeds in right.items()
        for seed, counts in enumerate(seeds)
        for speaker, count in zip("ABC", counts, strict=False)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(predicted=table.filter(like="p_").idxmax(axis=1).str.removeprefix("p_"))


def test_a_gain_is_paired():
    """Speakers differ by 40 points, their gain is the same: drawing both starts at once leaves it without width."""
    some = answered(default=[(10, 14, 18)], scratch=[(8, 12, 16)], labels_10=[(4, 4, 4)], scratch_labels_10=[(4, 4, 4)])
    table = report.label_shares(some)
    assert table.share.tolist() == [10, 100] and table.interval_over.tolist() == ["speaker", "speaker"]
    np.testing.assert_allclose(table[["gain", "gain_low", "gain_high"]], [[0, 0, 0], [10, 10, 10]], atol=1e-9)
    fig = report.draw_label_shares(table)
    assert [label.get_text() for label in fig.axes[1].get_xticklabels()] == ["10 %", "100 %"]


def test_a_gain_is_pooled_over_seeds_and_its_extremes_told():
    (row,) = report.label_shares(
        answered(default=[(20, 20, 20), (10, 10, 10)], scratch=[(12, 12, 12)] * 2)
    ).itertuples()
    assert (row.seeds, row.uar_pretrained, row.uar_scratch) == (2, 75, 60)
    np.testing.assert_allclose([row.gain, row.gain_seed_min, row.gain_seed_max], [15, -10, 40])


def test_a_gain_on_two_speakers_draws_texts_if_they_are_known():
    two = answered(default=[(18, 18)], scratch=[(12, 12)])
    (row,) = report.label_shares(two).itertuples()
    assert row.interval_over == "text" and row.gain_low < row.gain == 30 < row.gain_high
    (row,) = report.label_shares(two.assign(text=None)).itertuples()
    assert row.gain == 30 and np.isnan(row.gain_low) and row.interval_over is None


def test_a_gain_needs_the_same_clips_on_both_sides():
    some = answered(default=[(18, 18, 18)], scratch=[(12, 12, 12)])
    for wrong in (some.drop(index=0), pd.concat([some, some.head(1)], ignore_index=True)):
        with pytest.raises(ValueError, match="not tested on the same clips"):
            report.label_shares(wrong)
    surprised = some.assign(predicted=some.predicted.where(some.index > 0, "surprise"))  # an answer of one start alone
    assert report.label_shares(surprised).gain.between(28, 30).all()


def test_only_variants_of_labels_and_start_have_gains():
    some = answered(default=[(18, 18, 18)], scratch=[(12, 12, 12)])
    others = answered(snr_10=[(20, 20, 20)], explained=[(20, 20, 20)], game=[(20, 20, 20)])
    assert len(report.label_shares(pd.concat([some, others], ignore_index=True))) == 1
    paper = some.replace({"variant": {"default": "paper_600", "scratch": "paper_600_scratch"}})
    assert report.label_shares(paper)["sample"].tolist() == ["paper_600"]
    assert report.label_shares(others).empty


def test_update_readme(folder):
    predictions, _ = collected(folder)
    both = pd.concat([predictions, pooled(predictions)])
    readme = folder / "README.md"
    marks = ["<!-- results tess -->", "<!-- results a+b_paper_600 -->"]
    readme.write_text("before\n" + "between\n".join(f"{mark}\nold\n{mark}\n" for mark in marks) + "after\n")
    for _ in range(2):
        report.update_readme(both, readme)
        text = readme.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "between" in text and "old" not in text
        assert text.count("| CNN |") == 2 and text.count("unseen speaker OAF") == 1


@pytest.mark.parametrize("text", ["no mark", "<!-- results tess -->", "<!-- results no -->\n<!-- results no -->"])
def test_a_readme_without_marks_is_left_alone(folder, text):
    readme = folder / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match=r"README\.md needs pairs of marks .* NAME may be tess\. It has"):
        report.update_readme(collected(folder)[0], readme)
    assert readme.read_text() == text


def write_plan(folder, text):
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": ""}}}
    cell = {
        "cell_type": "code",
        "id": "p",
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "execution_count": None,
    }
    notebook["cells"].append(cell | {"source": 'corpus = "auto"  # one\nseed = 1  # two\nfold = None  # three\n'})
    (folder / "notebooks").mkdir(exist_ok=True)
    (folder / "notebooks" / "04_cnn.ipynb").write_text(json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 5}))
    (folder / "report.yaml").write_text(text)
    return folder / "report.yaml"


def test_a_plan_is_every_combination(tmp_path):
    text = "demo:\n  - {notebook: 04_cnn, corpus: [mini, tess], seed: [1, 2], fold: 0, minutes: 3}\n"
    runs = report.plan("demo", write_plan(tmp_path, text))
    assert [run.name for run in runs] == [f"{c}-fold0-seed{s}" for c in ("mini", "tess") for s in (1, 2)]
    assert runs[0].parameters == {"corpus": "mini", "seed": 1, "fold": 0} and runs[0].minutes == 3
    lists = "demo:\n  - {notebook: 04_cnn, corpus: [[a, b]], fold: null}\n"
    (run,) = report.plan("demo", write_plan(tmp_path, lists))
    assert run.parameters == {"corpus": ["a", "b"], "fold": None}, "a list within a list is one value"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("demo:\n  - {notebook: 04_cnn, sead: 1}\n", "no parameter sead; it has corpus, seed, fold"),
        ("demo:\n  - {notebook: 99_none}\n", "no notebook .*99_none"),
        ("full:\n  - {notebook: 04_cnn}\n", "no profile 'demo'; it has full"),
        ("demo:\n  - {notebook: [04_cnn, 04_cnn], corpus: mini}\n", "twice: 04_cnn/mini"),
    ],
)
def test_a_faulty_plan_stops_before_it_starts(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        report.plan("demo", write_plan(tmp_path, text))


def test_code_hash_is_deaf_to_prose(tmp_path):
    write_plan(tmp_path, "")
    path = tmp_path / "notebooks" / "04_cnn.ipynb"
    notebook = json.loads(path.read_text())
    before = report.code_hash([path])
    notebook["cells"].append({"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["prose"]})
    path.write_text(json.dumps(notebook))
    assert report.code_hash([path]) == before
    notebook["cells"][0]["source"] += "x = 1\n"
    path.write_text(json.dumps(notebook))
    assert report.code_hash([path]) != before


def test_pages_link_to_each_other_and_hold_no_licensed_player(tmp_path):
    import nbformat

    player = nbformat.v4.new_output("display_data", {"text/html": '<audio src="data:audio/wav;base64,AAAA"></audio>'})
    noise = nbformat.v4.new_output("stream", name="stderr", text="I0000 00:00 cudart_stub.cc:31] no\nmind this\n")
    for corpus in ("tess", "mini"):
        cells = [
            nbformat.v4.new_markdown_cell("![gap](../figures/18_report/gap_tess.png)"),
            nbformat.v4.new_markdown_cell("<details><summary>Answer</summary>\n\nFolded.\n\n</details>"),
            nbformat.v4.new_markdown_cell(
                "[next](05_lstm.ipynb) [map](../README.md#the-course) [yaml](../report.yaml)"
            ),
            nbformat.v4.new_code_cell("play()", outputs=[player, noise]),
        ]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {"parameters": {"corpus": corpus}}})
        nbformat.write(notebook, tmp_path / f"{corpus}.ipynb")
    report.to_html({"04_cnn": tmp_path / "tess.ipynb", "05_lstm": tmp_path / "mini.ipynb"}, tmp_path / "pages")
    real, synthetic = ((tmp_path / "pages" / f"{name}.html").read_text() for name in ("04_cnn", "05_lstm"))
    assert "data:audio" not in real and "the recording is licensed" in real
    assert "data:audio" in synthetic
    assert 'href="05_lstm.html"' in real and 'href="index.html#The-course"' in real
    assert 'src="../' not in real and 'src="data:image/png;base64,' in real
    assert real.index("Folded.") < real.index("</details>"), "the answer stays inside its fold"
    assert "cudart_stub" not in real and "mind this" in real
    assert (tmp_path / "pages" / "index.html").exists()
