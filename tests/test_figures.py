import pandas as pd
import pytest
from answers import augmented, crossed, heard, ideas, pooled, recognised, rows, some

from serlib import figures, scoring


def test_many_speakers_share_one_mark():
    fig = figures.gap(scoring.results(pooled(), "a+b", "600_each"))
    assert len(fig.axes[0].collections) == 4
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["CNN"]


def test_a_panel_for_every_protocol_there_is():
    fig, counts = figures.confusion_matrices(some().replace({"protocol": {"random": "text_independent"}}))
    assert [ax.get_title().partition(":")[0] for ax in fig.axes] == ["unseen texts", "unseen speakers"]
    assert counts.utterances.sum() == len(some())


def test_a_pool_is_drawn_corpus_by_corpus():
    predictions = pooled()
    predictions["corpus"] = predictions.speaker.map(lambda speaker: "a" if speaker < "S5" else "b")
    fig, table = figures.by_corpus(predictions)
    assert table.set_index("corpus").uar.to_dict() == {"a": 60, "b": 60}
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["b", "a"]


def test_a_mark_is_of_one_model_in_all_panels_and_chance_of_the_emotions_asked_about():
    pool = crossed()
    known = pool.query("protocol == 'random'").assign(model="vit")
    fig, _ = figures.by_corpus(pd.concat([known, pool.query("protocol == 'cross_corpus'")]))
    vit, cnn = (ax.collections[0] for ax in fig.axes)
    assert vit.get_label() == "ViT" and cnn.get_label() == "CNN"
    assert vit.get_facecolor().tolist() != cnn.get_facecolor().tolist()
    chance = [sorted(round(line.get_xdata()[0], 1) for line in ax.lines) for ax in fig.axes]
    assert chance == [[33.3, 50.0], [50.0, 50.0]], "calm is of RAVDESS alone"


def test_shares_are_ticks_in_per_cent():
    table = {"protocol": "random", "label_share": [1.0, 0.1], "uar_pretrained": 60.0, "uar_scratch": 50.0, "gain": 10.0}
    table = pd.DataFrame(table | {f"gain_{k}": 10.0 for k in ("low", "high", "seed_min", "seed_max")})
    fig = figures.label_shares(table)
    assert [label.get_text() for label in fig.axes[1].get_xticklabels()] == ["10 %", "100 %"]


def test_curves_have_a_row_a_protocol():
    epochs = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "accuracy": [0.5, 0.7]})
    epochs = epochs.assign(val_loss=1.0, val_accuracy=0.5, seed=1, fold=0)
    both = pd.concat([epochs.assign(protocol=p) for p in ("random", "speaker_independent")])
    assert len(figures.learning_curves(both).axes) == 4


def test_printed_epochs_stand_beside_ours():
    epochs = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.5, 0.9], "val_accuracy": 0.4, "seed": 1, "fold": 0})
    fig = figures.printed_epochs(pd.concat([epochs.assign(model=m) for m in ("lstm", "lstm_modified")]))
    (ax,) = fig.axes
    ours, _, printed = ax.lines
    assert list(ours.get_ydata()) == [50, 90] and printed.get_ydata()[0] == pytest.approx(56.93)


def test_our_bars_follow_those_that_are_printed():
    response = pd.DataFrame({"step": ["network", "in all"], "median_ms": [1.0, 40.0], "p95_ms": [2.0, 60.0]})
    _, table = figures.methods(some(), response)
    assert len(table) == 11 + 2 and table.wa[10] == 95.75
    assert table.method[11] == "here: random split" and table.wa[11] == 95 and table.response_ms[11] == 40
    _, table = figures.methods(some().assign(recipe="without_neutral"), response)
    assert table.method[11] == "here: random split, without neutral"


def test_a_row_for_what_models_are_fed():
    fig = figures.fed(scoring.fed(pd.concat([some(), some().assign(features="mfcc+chroma", role="ablation")])))
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["log-mel", "MFCC, chroma"]


def test_seeds_that_agree_but_for_rounding_are_drawn_too():
    table = scoring.fed(pd.concat([some(), some().assign(features="segments_320ms", role="ablation")]))
    fig = figures.fed(table.assign(uar_seed_max=table.uar - 1e-14))
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["log-mel", "segments of 0.32 s"]


def test_what_is_stacked_stands_below_its_parts():
    kinds = ["chroma+mfcc", "mfcc", "log_mel"]
    fig = figures.fed(scoring.fed(pd.concat([some().assign(features=kind) for kind in kinds])))
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()][-1] == "chroma, MFCC"


def test_a_cell_for_every_pair_and_brackets_around_chance():
    table = pd.DataFrame({"a": ["CNN", "CNN", "LSTM"], "b": ["LSTM", "ViT", "ViT"], "difference": [-3.0, 20.0, 23.0]})
    fig = figures.comparisons(table.assign(p_holm=[0.4, 0.01, 0.001]))
    told = {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in fig.axes[0].texts}
    assert told == {(1, 0): "(+3.0)", (2, 0): "-20.0", (2, 1): "-23.0"}
    image = fig.axes[0].images[0].get_array()
    assert (
        image[1, 0] == 3
        and image[2, 1] == -23
        and [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["LSTM", "ViT"]
    )


def test_a_ladder_starts_at_its_least_honest_rung():
    table = pd.DataFrame(
        {
            "model": ["svm", "svm", "cnn1d", "svm"],
            "start": "scratch",
            "features": ["averages", "averages", "averages", "functionals"],
            "rung": ["copies_before_split", "random", "random", "random"],
            "uar": [90.0, 70.0, 60.0, 65.0],
            "constant_uar": 12.5,
        }
    ).assign(uar_low=lambda t: t.uar - 5, uar_high=lambda t: t.uar + 5)
    fig = figures.ladder(table)
    (ax,) = fig.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["copies made before the split", "random split"]
    assert ax.yaxis_inverted(), "downwards, more honest"
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names == ["SVM, tuned, averages over time", "other models", "chance"]
    climber, others = (line for line in ax.lines if line.get_marker() != "None")
    assert list(climber.get_xdata()) == [90, 70] and list(climber.get_ydata()) == [0, 2]
    assert list(others.get_xdata()) == [60, 65] and list(others.get_ydata()) == [3, 3], "a row below the climber's"
    assert others.get_linestyle() == "None" and climber.get_linestyle() == "-"


def test_marks_of_augmentations_are_hollow_where_chance_would_do():
    table = scoring.augmentations(augmented())
    table.loc[table.recipe == "noise", "p_holm"] = 0.5
    (ax,) = figures.augmentations(table).axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a noisy copy of each clip", "SpecAugment"]
    marks = {round(line.get_xdata()[0]): line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert marks[-10] == "white" != marks[50]
    assert "UAR 50.0 %" in ax.get_title()


def test_robustness_begins_at_clean_clips():
    fig = figures.robustness(scoring.robustness(augmented()))
    (ax,) = fig.axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["clean", "10"] and ax.get_title() == "white noise"
    lines = {line.get_linestyle(): list(line.get_ydata()) for line in ax.lines if line.get_marker() != "None"}
    assert lines == {"-": [50, 0], "--": [40, 40]}
    assert len(fig.legends[0].get_texts()) == 3


def test_disturbances_are_drawn_the_mildest_first():
    noisy = augmented().query("condition != 'clean'")
    others = ["white_-5_dB", "reverberation_0.3_s", "reverberation_0.8_s"]
    whole = pd.concat([augmented(), *(noisy.assign(condition=name) for name in others)])
    whole = pd.concat([whole, whole.assign(model="cnn_lstm")])
    white, rooms = figures.robustness(scoring.robustness(whole)).axes
    assert [t.get_text() for t in white.get_xticklabels()] == ["clean", "10", "-5"]
    assert [t.get_text() for t in rooms.get_xticklabels()] == ["clean", "0.3", "0.8"]
    assert "dB" in white.get_xlabel() and "(s)" in rooms.get_xlabel()
    assert len({line.get_color() for line in white.lines if line.get_marker() != "None"}) == 2


def test_a_panel_for_every_corpus_that_ideas_were_tried_on():
    fig = figures.ideas(scoring.ideas(ideas()))
    assert [ax.get_title() for ax in fig.axes] == ["RAVDESS\ncomplete: 100.0 %", "TESS\ncomplete: 100.0 %"]
    labels = [tick.get_text() for tick in fig.axes[0].get_yticklabels()]
    assert labels == ["bands and stretches of time masked", "mixup"]
    full, hollow = sorted(fig.axes[0].lines[:2], key=lambda line: -line.get_xdata()[0])
    assert full.get_markerfacecolor() != "white" and hollow.get_markerfacecolor() == "white"


def test_a_row_for_every_way_to_train():
    fig = figures.published(scoring.published(recognised()))
    rows = [tick.get_text() for tick in fig.axes[0].get_yticklabels()]
    assert rows == ["TESS: CNN\ntrained on it alone", "TESS: stronger recogniser\ntrained on RAVDESS and TESS"]


def test_a_model_that_was_fed_several_kinds_under_one_protocol_alone_is_in_the_legend():
    several = [rows("speaker_independent", "A", 10, 10, features=kind) for kind in ("log_mel", "chroma")]
    known = [rows("random", "A", 20, 0, features=kind, model="lstm") for kind in ("log_mel", "chroma")]
    fig = figures.fed(scoring.fed(pd.concat([*several, *known])))
    assert [ax.get_title() for ax in fig.axes] == ["random split", "unseen speakers"]
    assert sorted(text.get_text() for text in fig.legends[0].get_texts()) == ["CNN", "LSTM over frames"]


def test_a_panel_for_every_corpus_alone_and_from_the_others():
    fig = figures.each_corpus(scoring.each_corpus(crossed()))
    assert [ax.get_title() for ax in fig.axes] == ["RAVDESS", "TESS"]
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["CNN"]
    marks = {line.get_label(): list(line.get_xdata()) for line in fig.axes[1].lines}
    assert marks == {"constant answer": [50], "random split": [100], "unseen speakers": [80], "another corpus": [60]}
    told = [text.get_text() for text in fig.legends[0].get_texts()]
    assert sorted(told) == ["another corpus", "constant answer", "random split", "unseen speakers"]


def test_tables_for_a_paper_have_plain_names(tmp_path, monkeypatch):
    table = scoring.scores(some(), ["model", "start", "protocol"])
    figures.save_table(table, tmp_path / "out" / "scores.csv")
    assert pd.read_csv(tmp_path / "out" / "scores.csv").shape == table.shape and not (tmp_path / "paper").exists()
    monkeypatch.setattr(figures.plots, "paper", tmp_path / "paper")
    figures.save_table(table.assign(note="50 % & more"), tmp_path / "out" / "scores.csv")
    tex = (tmp_path / "paper" / "tables" / "scores.tex").read_text()
    assert tex.count("\\toprule") == tex.count("\\midrule") == tex.count("\\bottomrule") == 1
    assert "CNN & unseen speakers" in tex and r"50 \% \& more" in tex and "speaker_independent" not in tex


def test_many_models_share_marks_and_none_is_left_out():
    models = list(scoring.MODELS)[:9]
    both = [some().assign(model=model, features=fed) for model in models for fed in ("log_mel", "mfcc")]
    fig = figures.fed(scoring.fed(pd.concat(both)))
    marks = {(line.get_marker(), line.get_color()) for line in fig.axes[0].lines}
    assert len(fig.legends[0].get_texts()) == len(marks) == len(models)


def test_without_texts_no_interval_is_named():
    fig, _ = figures.protocols(some().assign(text=None))
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["random split", "unseen speakers"]


def test_a_row_for_what_was_heard_of_a_speaker_and_a_hollow_mark_for_nothing():
    fig = figures.own_mean(scoring.own_mean(heard()))
    (ax,) = fig.axes
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels[0] == "stronger recogniser, nothing heard" and "up to 5 neutral clips heard" in labels[-1]
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert len(labels) == 8 and sum(len(line.get_xdata()) for line in hollow) == 2
