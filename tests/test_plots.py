import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from serlib import plots, predict, sources


@pytest.fixture
def figure():
    plots.use_style()
    fig, ax = plt.subplots()
    ax.plot([0, 1])
    yield fig
    plt.close(fig)


def test_every_emotion_has_a_colour_of_its_own():
    assert set(plots.COLOURS) == set(sources.EMOTIONS)
    assert len(set(plots.COLOURS.values())) == len(sources.EMOTIONS)


def test_a_figure_with_data_has_three_files_and_says_what_it_is(figure, tmp_path):
    data = pd.DataFrame({"x": [0, 1]})
    png = plots.save(figure, tmp_path / "new" / "line.v1", data, about="corpus mini, seed 1, commit abc")
    assert png == tmp_path / "new" / "line.v1.png"
    assert {p.suffix for p in png.parent.iterdir()} == {".png", ".svg", ".csv"}
    assert b"commit abc" in png.read_bytes() and "commit abc" in png.with_suffix(".svg").read_text()
    pd.testing.assert_frame_equal(pd.read_csv(png.with_suffix(".csv")), data)


def test_a_figure_of_one_recording_has_no_data_beside_it(figure, tmp_path):
    plots.save(figure, tmp_path / "clip", pd.DataFrame({"x": [0, 1]}))
    plots.save(figure, tmp_path / "clip")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.png"]


def test_for_a_paper_there_are_pdfs_of_two_widths(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "paper", tmp_path / "paper")
    figure.set_size_inches(10, 4)
    figure.suptitle("in words", fontsize=6)
    plots.save(figure, tmp_path / "20_report" / "line", pd.DataFrame({"x": [0, 1]}))
    for name, width in plots.COLUMNS.items():
        pdf = (tmp_path / "paper" / "figures" / f"20_report_line_{name}.pdf").read_bytes()
        left, _, right, _ = map(float, re.search(rb"/MediaBox \[([^\]]+)\]", pdf)[1].split())
        assert (right - left) / 72 == pytest.approx(width, abs=0.01)
    assert figure.get_size_inches().tolist() == [10, 4], "as it was"
    assert (tmp_path / "20_report" / "line.png").is_file()


def test_the_same_figure_gives_the_same_bytes(figure, tmp_path):
    data = pd.DataFrame({"x": [1]})
    for name in "ab":
        plots.save(figure, tmp_path / name / "line", data)
    for suffix in ("png", "svg", "csv"):
        assert (tmp_path / "a" / f"line.{suffix}").read_bytes() == (tmp_path / "b" / f"line.{suffix}").read_bytes()


def test_confusion_is_drawn_as_share_of_the_true_class(figure):
    ax = figure.axes[0]
    plots.confusion(ax, np.array([[3, 1], [0, 0]]), ["anger", "fear"])
    assert [text.get_text() for text in ax.texts] == ["75", "25"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["anger", "fear"]
    assert "true" in ax.get_ylabel() and "predicted" in ax.get_xlabel()


def test_time_axes_are_in_seconds(figure):
    ax = figure.axes[0]
    plots.waveform(ax, np.zeros(8000), 16_000)
    assert ax.get_xlim() == (0, 0.5) and "(s)" in ax.get_xlabel()


def test_a_spectrogram_has_its_first_row_at_the_bottom(figure):
    ax = figure.axes[0]
    ax.clear()
    plots.spectrogram(ax, np.array([[1, 2, 3], [4, 5, 6]]), np.array([0, 0.02, 0.04]))
    (mesh,) = ax.collections
    heights = mesh.get_coordinates()[:-1, 0, 1]
    np.testing.assert_array_equal(mesh.get_array()[np.argmin(heights)], [1, 2, 3])
    assert ax.get_xlim() == pytest.approx((-0.01, 0.05)) and ax.get_ylim()[0] < ax.get_ylim()[1]


def test_learning_curves_tell_training_from_validation():
    history = pd.DataFrame({"fold": [0, 0, 1, 1], "epoch": [1, 2, 1, 2]})
    for k, column in enumerate(["loss", "val_loss", "accuracy", "val_accuracy"]):
        history[column] = [k, k + 0.1, k + 0.2, k + 0.3]
    fig, axes = plt.subplots(1, 2)
    plots.learning_curves(axes, history)
    for ax, first in zip(axes, (0, 2), strict=True):
        drawn = [(line.get_linestyle(), *line.get_ydata()) for line in ax.lines]
        expected = [("-", first, first + 0.1), ("--", first + 1, first + 1.1)]
        expected += [("-", first + 0.2, first + 0.3), ("--", first + 1.2, first + 1.3)]
        assert sorted(drawn) == sorted(expected)
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["training", "validation"]
    plt.close(fig)


def relevance_of_one_place(hertz=None):
    """Panels of 8 rows and 6 frames whose map and picture are highest at row 5, frame 2."""
    fig, axes = plt.subplots(1, 2)
    image, heat = np.full((8, 6), -90.0), np.zeros((8, 6))
    image[5, 2], heat[5, 2], heat[1, 1] = 10, 4, 1
    meshes = plots.relevance(axes, image, heat, np.arange(6) * 0.02, hertz)
    plt.close(fig)
    return axes, meshes


def test_relevance_is_drawn_in_seconds_and_hertz():
    hertz = np.array([200, 400, 600, 1000, 1500, 2000, 3000, 4500])
    axes, (picture, glow) = relevance_of_one_place(hertz)
    for ax in axes:
        assert ax.get_xlabel() == "time (s)" and ax.get_ylabel() == "frequency (Hz)"
        assert ax.get_xlim() == pytest.approx((-0.01, 0.11)) and ax.get_ylim() == pytest.approx((-0.5, 7.5))
        assert [label.get_text() for label in ax.get_yticklabels()] == ["250", "500", "1,000", "2,000", "4,000"]
        np.testing.assert_allclose(ax.get_yticks(), [0.25, 1.5, 3, 5, 6 + 1000 / 1500])
    assert picture.get_clim() == (-80, 0) and picture.get_array().max() == 0
    assert glow.get_array()[5, 2] == 1 and glow.get_array()[1, 1] == 0.25
    (line,) = [c for c in axes[0].collections if c is not picture]
    (outline,) = line.get_paths()
    np.testing.assert_allclose(outline.get_extents().get_points(), [[0.03, 4.5], [0.05, 5.5]], atol=1e-9)


def test_two_maps_have_two_kinds_of_lines_and_an_empty_one_none():
    ax = plt.figure().subplots()
    heats = [np.eye(8, 6), np.eye(8, 6)[::-1], np.zeros((8, 6))]
    picture = plots.outlined(ax, np.zeros((8, 6)), heats[:2], np.arange(6) * 0.02)
    lines = [c for c in ax.collections if c is not picture]
    assert [mpl.colors.to_hex(line.get_edgecolor()[0]).upper() for line in lines] == ["#CC3311", "#0077BB"]
    assert len({str(line.get_linestyle()) for line in lines}) == 2
    ax.clear()
    plots.outlined(ax, np.zeros((8, 6)), heats[2:], np.arange(6) * 0.02)
    assert len(ax.collections) == 1
    plt.close("all")


def test_relevance_of_other_features_claims_no_hertz():
    axes, (picture, _) = relevance_of_one_place()
    assert [ax.get_ylabel() for ax in axes] == ["feature row"] * 2
    assert picture.get_clim() == (0, 1) and picture.get_array()[5].tolist() == [0, 0, 1, 0, 0, 0]


def test_explanations_have_a_row_a_recording_and_labelled_colour_bars():
    maps = np.stack([np.eye(6, 8), np.zeros((6, 8))])
    titles = ["a$b$c.wav: anger, 60%", "b.wav: fear, 50%"]
    fig = plots.explanations(maps - 50, maps, np.arange(6) * 0.02, titles, hertz=np.linspace(100, 7000, 8))
    panels, bars = fig.axes[:4], fig.axes[4:]
    assert [ax.get_title(loc="left") for ax in panels[::2]] == titles
    assert [ax.get_title(loc="right") for ax in panels[1::2]] == ["Grad-CAM"] * 2
    assert [ax.get_ylabel() for ax in bars] == ["level (dB re maximum)", "relevance (share of maximum)"] * 2
    assert [text.get_text() for text in panels[3].texts] == ["the map is zero"] and not panels[1].texts


def test_silence_is_drawn_white():
    _, ax = plt.subplots()
    picture = plots.outlined(
        ax, np.full((8, 6), -100.0), [np.zeros((8, 6))], np.arange(6) * 0.02, np.arange(1, 9) * 500.0
    )
    assert picture.get_array().max() <= -40, "below silence, not 0 dB re maximum"


def test_what_is_refused_is_pale_from_end_to_end():
    over_time = pd.DataFrame({"start": [0.0, 1.0], "end": [2.0, 3.0], "heard": True, "p_a": 1.0, "p_b": 0.0})
    answers = [
        predict.Answer("x", 3.0, "a", over_time=over_time),
        predict.Answer("y", 3.0, None, {}, ["no"], None, over_time),
    ]
    given, refused = plots.emotions_over_time(answers, ["a", "b"]).axes
    assert len(given.patches) == 0
    (pale,) = refused.patches
    assert (pale.get_x(), pale.get_width()) == (0, 3)


def test_a_figure_says_what_it_shows_and_the_notebook_gets_it(monkeypatch):
    fig, axes = plt.subplots(1, 2, sharey=True)
    axes[0].plot([1, 2], [3, 4], label="validation")
    axes[0].set(title="traditional", xlabel="epoch", ylabel="accuracy")
    axes[0].legend()
    mesh = axes[1].pcolormesh(np.ones((3, 3)))
    axes[1].set(title="what it hears", xlabel="time (s)", ylabel="mel band")
    fig.colorbar(mesh, ax=axes[1], label="dB")
    fig.suptitle("Two panels\nof one network")
    said = plots.described(fig)
    assert said == (
        "Two panels of one network. traditional: lines of accuracy against epoch: validation. "
        "what it hears: picture of mel band against time (s)."
    )
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda fig, metadata: shown.append(metadata))
    plots.show(fig)
    assert shown == [{"image/png": {"alt": said}}]


def test_many_panels_are_counted_rather_than_listed():
    fig, axes = plt.subplots(3, 4)
    for ax in axes.flat:
        ax.bar([1], [2])
        ax.set(xlabel="n", ylabel="clips")
    assert plots.described(fig) == ". ".join(["Bars of clips against n"] + ["bars of clips against n"] * 4) + (
        ". and 7 panels more."
    )
    plt.close(fig)


def test_a_drawing_without_axes_is_told_by_its_words():
    fig, ax = plt.subplots()
    ax.axis("off")
    for k, words in enumerate(["pitch <= 1.2", "anger", "fear", "sadness"]):
        ax.text(k, k, words)
    assert plots.described(fig) == "Drawing that begins with pitch <= 1.2, anger, fear."
    plt.close(fig)
