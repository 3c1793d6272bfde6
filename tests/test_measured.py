import numpy as np
import pandas as pd
import pytest

from serlib import explain, faithfulness, measured, metrics


def clips(n, speakers):
    names = {"utterance": [f"u{k}" for k in range(n)], "speaker": [f"S{k % speakers}" for k in range(n)]}
    return pd.DataFrame(names | {"text": [f"w{k // 2}" for k in range(n)], "emotion": ["anger", "fear"] * (n // 2)})


def test_every_method_and_measure_has_a_plain_name():
    assert set(measured.METHODS) == {*explain.METHODS, *explain.BASELINES}
    assert all(callable(getattr(faithfulness, name)) for name in measured.FAITHFULNESS)


def test_intervals_draw_speakers_where_there_are_three():
    assert measured.drawn_over(clips(6, 3)).tolist() == ["S0", "S1", "S2"] * 2
    two = clips(6, 2)
    assert measured.drawn_over(two).tolist() == ["w0", "w0", "w1", "w1", "w2", "w2"]
    unknown = measured.drawn_over(two.assign(text=None))
    assert unknown.name == "text"
    assert np.isnan(metrics.mean_interval(np.arange(6.0), unknown)).all()


def test_what_belongs_to_one_network_is_of_the_first_seed_and_fold():
    table = pd.DataFrame({"functional": ["a", "b"], "impurity": [0.2, 0.1], "permutation_loss": [3.0, -1.0]})
    runs = [table.assign(seed=seed, fold=fold, impurity=seed + fold / 10) for seed in (2, 1) for fold in (1, 0)]
    fig = measured.importance(pd.concat(runs, ignore_index=True))
    assert [bar.get_width() for bar in fig.axes[0].patches] == [1.0, 1.0]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["a", "b"]


def test_many_speakers_share_a_box_of_their_gender():
    table = clips(28, 7).assign(gender=lambda t: np.where(t.speaker < "S3", "female", "male"), seconds=1.0)
    fig = measured.durations(table)
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == ["female", "male"]
    few = measured.durations(table[table.speaker < "S2"])
    assert [text.get_text() for text in few.axes[0].get_legend().get_texts()] == ["S0", "S1"]


def test_a_correlation_says_its_mean_size():
    r = np.array([[1.0, -0.5], [-0.5, 1.0]])
    table = pd.DataFrame([(i, j, r[i, j], "MFCC over frames") for i, j in np.ndindex(2, 2)])
    fig = measured.mfcc_correlation(table.set_axis(["row", "column", "correlation", "feature"], axis=1).assign(x=1))
    assert fig.axes[0].get_title() == "MFCC over frames\nmean size 0.50"
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), r)


def test_positions_mark_their_own_patch():
    table = pd.DataFrame([(p, i, j, i - j) for p in (1, 5) for i, j in np.ndindex(3, 2)])
    table = table.set_axis(["patch", "time", "frequency", "cosine"], axis=1).assign(seed=1, fold=0)
    fig = measured.positions(table)
    marks = [(ax.lines[0].get_xdata()[0], ax.lines[0].get_ydata()[0]) for ax in fig.axes[:2]]
    assert marks == [(0, 1), (2, 1)], "patch 5 of a grid of two ranges is the third moment's upper one"
    assert fig.axes[0].images[0].get_array().shape == (2, 3)


def test_a_game_has_a_line_a_run_and_mean_baselines():
    epochs = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.1, 0.3], "val_accuracy": [0.2, 0.4]})
    runs = [epochs.assign(seed=1, fold=fold, nearest=10 * fold, frequent=3) for fold in (0, 1)]
    lines = measured.game(pd.concat(runs, ignore_index=True)).axes[0].lines
    assert len(lines) == 2 * 2 + 2
    assert lines[4].get_ydata()[0] == 5 and lines[5].get_ydata()[0] == 3
    assert lines[1].get_ydata().tolist() == [20, 40]


def test_forgetting_is_left_and_other_networks_are_right():
    layers = ["logits", "lstm", "batch_normalization", "last_conv"]
    rows = [(m, name, k, 0, 1 - k / 4) for m in measured.METHODS for k, name in enumerate(layers)]
    rows += [(m, name, np.nan, 0, 0.5) for m in explain.METHODS for name in ("shuffled labels", "random split")]
    table = pd.DataFrame(rows, columns=["method", "layer", "depth", "clip", "correlation"])
    left, right = measured.sanity(table).axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["logits", "lstm", "last norm", "last conv"]
    assert left.lines[0].get_ydata().tolist() == [1, 0.75, 0.5, 0.25]
    assert [label.get_text() for label in right.get_xticklabels()] == [
        "Grad-CAM",
        "Grad-CAM++",
        "Score-CAM",
        "SmoothGrad",
    ]
    assert {bar.get_height() for bar in right.patches} == {0.5}


@pytest.mark.parametrize("names", [["insertion", "deletion"], list(measured.FAITHFULNESS)])
def test_faithfulness_has_a_panel_for_what_was_measured(names):
    table = pd.concat(
        clips(6, 3).assign(network=network, method=method, **dict.fromkeys(names, 0.5))
        for network in ("honest", "leaked")
        for method in measured.METHODS
    )
    fig = measured.faithfulness(table)
    drawn = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert drawn == [measured.FAITHFULNESS[name][0] for name in names]


def test_acoustics_have_a_row_for_all_and_for_each_emotion():
    values = {"RMS (dB)": 1.0, "centroid (Hz)": -20.0, "F0 (semitones)": np.nan}
    fig = measured.acoustics(clips(8, 4).assign(**values))
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["all", "anger", "fear"]
    assert fig.axes[1].lines[0].get_xdata()[0] == -20


def test_segment_lengths_have_a_line_a_run_and_a_colour_a_voice():
    order = ["0.32 s", "1.28 s", "fused"]
    runs = [
        pd.DataFrame({"segments": order, "UAR (%)": [50 + fold, 60, 70 + seed], "tested": voice})
        .assign(fold=fold, seed=seed)
        .iloc[:: -1 if seed == 2 else 1]
        for fold, voice in enumerate(["OAF", "YAF"])
        for seed in (1, 2)
    ]
    ax = measured.segment_lengths(pd.concat(runs, ignore_index=True)).axes[0]
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert [line.get_ydata().tolist() for line in lines] == [[50, 60, 71], [50, 60, 72], [51, 60, 71], [51, 60, 72]]
    assert len({line.get_color() for line in lines}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["OAF", "YAF"]
    assert [label.get_text() for label in ax.get_xticklabels()] == order


def test_fusion_has_a_dot_a_run_and_the_mean_of_each_group():
    rows = [(fed, on, uar + k) for fed, uar in (("MFCC", 40), ("both", 60)) for on in ("OAF", "YAF") for k in (0, 10)]
    fig = measured.fusion(pd.DataFrame(rows, columns=["fed", "tested on", "UAR (%)"]))
    ax = fig.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["MFCC", "both"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["OAF", "YAF"]
    dots, means = ax.lines[::2], ax.lines[1::2]
    assert [sorted(line.get_xdata()) for line in dots] == [[40, 50], [60, 70]] * 2
    assert [line.get_xdata()[0] for line in means] == [45, 65] * 2
    assert ax.get_xlim() == (0, 100)


def test_fusion_shows_the_end_of_the_scale_where_all_are_near_it():
    table = pd.DataFrame({"fed": ["MFCC", "both"], "tested on": "known voices", "UAR (%)": [91.2, 99.0]})
    assert measured.fusion(table).axes[0].get_xlim() == (90, 100)


def test_confounds_have_a_panel_a_task_and_seeds_are_averaged():
    rows = [
        (classes, fed, tested, 10.0 * seed, 5.0, 40.0, 12.5, seed)
        for classes in ("emotion", "emotion and gender")
        for fed in ("gender", "duration")
        for tested in ("random split", "unseen speakers")
        for seed in (1, 2)
    ]
    table = pd.DataFrame(rows, columns=["classes", "fed", "tested on", "UAR", "low", "high", "constant", "seed"])
    left, right = measured.confounds(table).axes
    assert (left.get_title(), right.get_title()) == ("emotion", "emotion and gender")
    assert [label.get_text() for label in left.get_yticklabels()] == ["gender", "duration"]
    assert list(left.lines[0].get_xdata()) == [15, 15]


def test_kinds_of_windows_are_rows_from_short_to_whole_and_folds_are_averaged():
    kinds = [(1.0, 0.5, 60.0), (0.5, 0.5, 40.0), (np.nan, 0.5, 80.0), (1.0, 0.0, 55.0)]
    rows = [(s, o, 2.0, single + fold, single + 10, fold) for s, o, single in kinds for fold in (0, 2)]
    table = pd.DataFrame(rows, columns=["seconds", "overlap", "windows", "single", "fused", "fold"])
    (ax,) = measured.window_lengths(table.assign(task="emotion")).axes
    assert [label.get_text().partition(" (")[0] for label in ax.get_yticklabels()] == [
        "0.5 s, overlap 50 %",
        "1 s, overlap 0 %",
        "1 s, overlap 50 %",
        "whole clips",
    ]
    fused, single = (line.get_xdata().tolist() for line in ax.lines)
    assert single == [41, 56, 61, 81] and fused == [50, 65, 70, 90]
    both = pd.concat(table.assign(task=task) for task in ("emotion", "gender_emotion"))
    titles = [ax.get_title() for ax in measured.window_lengths(both).axes]
    assert titles == ["emotion", "emotion and gender"]
    one = both[(both.task == "emotion") | ((both.seconds == 1) & (both.overlap == 0.5))]
    assert len(measured.window_lengths(one).axes) == 1, "a single kind of window compares nothing"


def test_latency_has_a_row_a_model_and_the_ten_listed_times():
    names = ["group", "what", "by", "median_ms", "p95_ms", "clips_per_second"]
    rows = [("from memory", "in all", "LiteRT", 1, 2, np.nan), ("from a file", "CNN", "LiteRT", 3, 4, 300)]
    rows += [("from a file", "CNN", "Keras", 90, 99, 900), ("from a file", "ViT", "Keras", 95, 120, 800)]
    (ax,) = measured.latency(pd.DataFrame(rows, columns=names).assign(quoted_ms=3.2)).axes
    labels = dict(zip(ax.get_yticks(), (label.get_text() for label in ax.get_yticklabels()), strict=True))
    assert list(labels.values()) == ["in all", "CNN", "ViT", "ten others, as listed in aissms"]
    at = {name: y for y, name in labels.items()}
    medians = {
        (line.get_ydata()[0], line.get_xdata()[0], line.get_markerfacecolor() == "white")
        for line in ax.lines
        if line.get_marker() == "o"
    }
    cnn, vit = at["CNN"], at["ViT"]
    assert medians == {(at["in all"], 1, False), (cnn, 3, False), (cnn, 90, True), (vit, 95, True)}
    (listed,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert len(listed.get_xdata()) == 10 and min(listed.get_xdata()) == 4.7
    assert "LiteRT 300, Keras 900" in [text.get_text() for text in ax.texts]
