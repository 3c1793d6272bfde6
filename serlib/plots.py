"""One style and one colour per emotion; functions draw onto a given Axes, `save` writes a figure with its data."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Paul Tol's "muted" scheme, told apart by all common kinds of colour blindness; neutral is its grey.
COLOURS = {
    "anger": "#CC6677",
    "boredom": "#999933",
    "calm": "#44AA99",
    "disgust": "#117733",
    "fear": "#332288",
    "happiness": "#DDCC77",
    "neutral": "#888888",
    "sadness": "#88CCEE",
    "surprise": "#AA4499",
}
#: Plain names of what explains a network; the last two never meet it.
METHODS = {
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "score_cam": "Score-CAM",
    "smooth_grad": "SmoothGrad",
    "random": "noise",
    "energy": "energy",
}
MOST_STEPS = 150  # of a line over time
BLUE, RED, GREY = "#332288", "#CC6677", "#888888"  # of lines, bars and marks of no single emotion
CYCLE = tuple(COLOURS.values())  # of classes that are no emotions
CMAP = "cividis"  # even in lightness, the same to colour-blind readers
LINES = (("#CC3311", "solid"), ("#0077BB", "dashed"))  # what is to stand out from grey

STYLE: dict = {
    "figure.figsize": (7, 4),
    "figure.dpi": 100,
    "savefig.dpi": 130,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.frameon": False,
    "svg.hashsalt": "serlib",  # the same figure gives the same bytes
    "image.cmap": CMAP,
}


COLUMNS = {"one_column": 3.5, "two_columns": 7.16}  # inches, as journals of two columns have them
paper: Path | None = None  #: a folder where `save` also writes PDFs, and `serlib.figures.save_table` LaTeX, if set


def use_style() -> None:
    """Set the course's matplotlib style for this process."""
    mpl.rcParams.update(STYLE)


def waveform(ax: Axes, samples: np.ndarray, sr: int, **options) -> None:
    """Amplitude over time in seconds; `samples` has shape (n_samples,)."""
    ax.plot(np.arange(len(samples)) / sr, samples, linewidth=0.5, **options)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(samples) / sr))


def spectrogram(ax: Axes, image: np.ndarray, times: np.ndarray, *, ylabel: str = "mel band", **options):
    """An image of shape (n_rows, n_frames) over time in seconds; returns the mesh, for a colour bar."""
    mesh = ax.pcolormesh(times, np.arange(len(image)), image, shading="nearest", rasterized=True, **options)
    ax.set(xlabel="time (s)", ylabel=ylabel)
    return mesh


def frequency_axis(ax: Axes, hertz: np.ndarray) -> None:
    """Label the rows of a spectrogram in hertz; `hertz` has shape (n_rows,) and ascends."""
    ticks = [tick for tick in (250, 500, 1000, 2000, 4000, 8000) if hertz[0] <= tick <= hertz[-1]]
    ax.set_yticks(np.interp(ticks, hertz, np.arange(len(hertz))), [f"{tick:,}" for tick in ticks])
    ax.set_ylabel("frequency (Hz)")


def outlined(ax: Axes, image: np.ndarray, heats: Sequence[np.ndarray], times: np.ndarray, hertz=None):
    """A spectrogram in grey, and a line around what reaches half of each relevance map's maximum.

    Parameters
    ----------
    ax : Axes
    image : ndarray, shape (n_rows, n_frames)
        What the model was fed: mel bands in dB, or any features.
    heats : sequence of one or two ndarray, same shape
        From `serlib.explain.maps`, transposed. The first line is solid and red, the second dashed and blue; a map that
        is zero everywhere has none.
    times : ndarray, shape (n_frames,)
        Seconds.
    hertz : ndarray, shape (n_rows,), optional
        Centres of the mel bands. Without it the rows are no spectrum, and each is drawn over its own range, since
        features have different units.

    Returns
    -------
    QuadMesh
        For a colour bar: dB relative to the clip's loudest place (to -60 dB where it is silent, so that silence is
        white); without `hertz`, share of the row's range.
    """
    if hertz is None:
        low, high = image.min(axis=1, keepdims=True), image.max(axis=1, keepdims=True)
        image, limits = (image - low) / np.maximum(high - low, 1e-12), {"vmin": 0, "vmax": 1}
    else:
        image, limits = image - max(image.max(), -60), {"vmin": -80, "vmax": 0}
    picture = spectrogram(ax, image, times, ylabel="feature row", cmap="Greys", **limits)
    for heat, (colour, style) in zip(heats, LINES, strict=False):
        if heat.max() > 0:
            rows = np.arange(len(heat))
            ax.contour(times, rows, heat, [heat.max() / 2], colors=colour, linestyles=style, linewidths=1.4)
    if hertz is not None:
        frequency_axis(ax, hertz)
    return picture


def relevance(axes: Sequence[Axes], image: np.ndarray, heat: np.ndarray, times: np.ndarray, hertz=None):
    """A spectrogram as drawn by `outlined`, and the relevance map itself.

    Parameters
    ----------
    axes : sequence of two Axes
    image, heat, times, hertz
        See `outlined`; there is one map.

    Returns
    -------
    tuple of two QuadMesh
        For a colour bar each: see `outlined`, and share of the map's maximum.
    """
    picture_ax, map_ax = axes
    picture = outlined(picture_ax, image, [heat], times, hertz)
    glow = spectrogram(map_ax, heat / max(heat.max(), 1e-12), times, ylabel="feature row", vmin=0, vmax=1)
    if not heat.max() > 0:
        map_ax.text(0.5, 0.5, "the map is zero", color="white", ha="center", transform=map_ax.transAxes)
    if hertz is not None:
        frequency_axis(map_ax, hertz)
    return picture, glow


def explanations(
    images: np.ndarray,
    maps: np.ndarray,
    times: np.ndarray,
    titles: Sequence[str],
    *,
    hertz: np.ndarray | None = None,
    method: str = "grad_cam",
) -> Figure:
    """One row of panels a recording, drawn by `relevance` on common axes.

    Parameters
    ----------
    images, maps : ndarray, shape (n_clips, n_frames, n_rows)
        As `serlib.predict` gives them.
    times, hertz
        See `outlined`.
    titles : sequence of str, shape (n_clips,)
    method : str
        Named beside the maps.
    """
    fig = Figure(figsize=(10, 0.4 + 2.7 * len(images)), layout="constrained")
    grid = fig.subplots(len(images), 2, sharex=True, sharey=True, squeeze=False)
    of_rows = "level (dB re maximum)" if hertz is not None else "share of the row's range"
    for axes, image, heat, title in zip(grid, images, maps, titles, strict=True):
        picture, glow = relevance(axes, image.T, heat.T, times, hertz)
        fig.colorbar(picture, ax=axes[0], label=of_rows)
        bar = fig.colorbar(glow, ax=axes[1], label="relevance (share of maximum)")
        bar.add_lines([0.5], [LINES[0][0]], [1.4])
        axes[0].set_title(title, loc="left", parse_math=False)  # a file's name may hold $ signs
        axes[1].set_title(METHODS.get(method, method.replace("_", " ")), loc="right", parse_math=False)
        for ax in axes:
            ax.label_outer()
    return fig


def emotions_over_time(answers: Sequence, classes: Sequence[str]) -> Figure:
    """How probable each emotion is through recordings, a panel each, shares stacked; the quiet and the refused is pale.

    Parameters
    ----------
    answers : sequence of `serlib.predict.Answer`
    classes : sequence of str
    """
    fig = Figure(figsize=(9, 0.8 + 2.2 * len(answers)), layout="constrained")
    for ax, told in zip(fig.subplots(len(answers), 1, squeeze=False)[:, 0], answers, strict=True):
        table = told.over_time
        if len(table) > MOST_STEPS:  # a line cannot show more: means over as many stretches
            stretches = np.arange(len(table)) * MOST_STEPS // len(table)
            ends = table.groupby(stretches).agg({"start": "min", "end": "max", "heard": "any"})
            table = table.groupby(stretches).mean().assign(**ends)
        middle = (table.start + table.end) / 2
        times = [0.0, *middle, told.seconds]
        p = table[[f"p_{name}" for name in classes]].to_numpy()
        p = np.concatenate([p[:1], p, p[-1:]])
        colours = [COLOURS.get(name, CYCLE[k % len(CYCLE)]) for k, name in enumerate(classes)]
        ax.stackplot(times, 100 * p.T, labels=classes, colors=colours)
        refused = bool(told.reasons)
        pale = [(0, told.seconds)] if refused else table[~table.heard][["start", "end"]].itertuples(index=False)
        for start, end in pale:
            ax.axvspan(start, end, color="white", alpha=0.5, linewidth=0)
        ax.set(xlim=(0, told.seconds), ylim=(0, 100), ylabel="probability (%)", xlabel="time (s)")
        ax.set_title(f"{Path(told.path).name}: {told.emotion or 'no answer'}", loc="left", parse_math=False)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True, fontsize="small")
    return fig


def confusion(ax: Axes, counts: np.ndarray, classes: Sequence[str], *, write_counts: bool = False) -> None:
    """A confusion matrix, shape (n_classes, n_classes), coloured by per cent of each true class; rows are true.

    The cells say these per cents or, with `write_counts`, the number of clips.
    """
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, vmin=0, vmax=100, cmap=CMAP)
    for (row, column), value in np.ndenumerate(counts if write_counts else share):
        if value >= 0.5:
            colour = "black" if share[row, column] > 55 else "white"
            ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize="small")
    ticks = range(len(classes))
    ax.set_xticks(ticks, classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, classes)
    ax.set(xlabel="predicted", ylabel=f"true ({'clips' if write_counts else 'per cent of row'})")
    ax.spines[:].set_visible(False)


def learning_curves(axes: Sequence[Axes], history: pd.DataFrame) -> None:
    """Loss (first Axes) and accuracy (second) by epoch, training and validation, one thin line a fold and seed."""
    keys = [key for key in ("seed", "fold") if key in history]
    for ax, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for k, (_, run) in enumerate(history.groupby(keys)):
            ax.plot(run.epoch, run[quantity], color=BLUE, linewidth=1, label=None if k else "training")
            column = run[f"val_{quantity}"]
            ax.plot(run.epoch, column, color=RED, linewidth=1, linestyle="--", label=None if k else "validation")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        ax.set(xlabel="epoch", ylabel=quantity if quantity == "accuracy" else "loss (cross-entropy, nats)")
    axes[1].set_ylim(0, 1.02)
    axes[0].legend()


def save(fig: Figure, path: Path, data: pd.DataFrame | None = None, *, about: str = "") -> Path:
    """Write a figure as PNG and, with its data, as SVG and CSV beside it; where `paper` is set, as PDFs there.

    A figure of one licensed recording is given without `data`: its drawing may be shown, its samples may not.

    Parameters
    ----------
    fig : Figure
    path : Path
        Without suffix, named by meaning.
    data : DataFrame, optional
        What is drawn.
    about : str
        Written into the files: corpus, protocol, seeds, commit.

    Returns
    -------
    Path
        The PNG.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    png = path.with_name(f"{path.name}.png")
    fig.savefig(png, metadata={"Description": about, "Software": None})
    for suffix in ("svg", "csv"):  # an older drawing's, which would let a single clip pass for publishable
        path.with_name(f"{path.name}.{suffix}").unlink(missing_ok=True)
    if data is not None:
        fig.savefig(path.with_name(f"{path.name}.svg"), metadata={"Description": about, "Date": None})
        data.to_csv(path.with_name(f"{path.name}.csv"), index=False, float_format="%.6g")
        for name, width in COLUMNS.items() if paper else []:
            pdf = Path(paper or "") / "figures" / f"{path.parent.name}_{path.name}_{name}.pdf"
            pdf.parent.mkdir(parents=True, exist_ok=True)
            narrow = _at_width(fig, width)
            narrow.savefig(pdf, metadata={"Subject": about, "CreationDate": None})
            plt.close(narrow)
    return png


def _at_width(fig: Figure, width: float) -> Figure:
    """The figure redrawn for a column of `width` inches: text, lines and marks smaller too, but no text below 5 pt."""
    narrow = pickle.loads(pickle.dumps(fig))
    across, high = fig.get_size_inches()
    factor = max(width / across, 0.62)
    narrow.set_size_inches(width, factor * high)
    for text in narrow.findobj(mpl.text.Text):
        text.set_fontsize(max(5.0, factor * text.get_fontsize()))
    for line in narrow.findobj(mpl.lines.Line2D):
        line.set(linewidth=factor * line.get_linewidth(), markersize=factor * line.get_markersize())
    for marks in narrow.findobj(mpl.collections.PathCollection):
        marks.set_sizes(factor**2 * marks.get_sizes())
    if width < COLUMNS["two_columns"]:
        for legend in narrow.legends:
            legend.set_ncols(2)
    return narrow


def show(fig: Figure) -> None:
    """Show a figure once in a notebook, with a text for who cannot see it, and close it."""
    from IPython.display import display

    display(fig, metadata={"image/png": {"alt": described(fig)}})
    plt.close(fig)


def described(fig: Figure) -> str:
    """What a figure shows, in words: each panel's title, what is drawn against what, and the names of its marks."""
    shown = [ax for ax in fig.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
    panels = [ax for ax in shown if ax.axison]
    said, last_labels = [], ("", "")
    for ax in panels:
        x, y = (_plain(label) for label in (ax.get_xlabel(), ax.get_ylabel()))
        last_labels = x, y = (x or last_labels[0], y or last_labels[1])  # axes that are shared are labelled once
        legend = ax.get_legend() or (fig.legends[0] if fig.legends and ax is panels[0] else None)
        marks = [_plain(text.get_text()) for text in legend.get_texts()] if legend else []
        against = f" of {y} against {x}" if x and y else f" of {x or y}" if x or y else ""
        title = _plain(ax.get_title() or ax.get_title("left"))
        said.append(f"{title + ': ' if title else ''}{_kind(ax)}{against}{': ' + ', '.join(marks) if marks else ''}")
    words = [_plain(text.get_text()) for ax in shown if not ax.axison for text in ax.texts]
    said += [f"drawing that begins with {', '.join(words[:3])}"] if words else []
    if len(said) > 6:
        said = [*said[:5], f"and {len(said) - 5} panels more"]
    title = _plain(fig.get_suptitle())
    text = ". ".join(([title] if title else []) + said)
    return f"{text[:1].upper()}{text[1:]}."


def _kind(ax: Axes) -> str:
    """What is drawn in a panel, from what covers most to what covers least."""
    if ax.images or any(isinstance(c, mpl.collections.QuadMesh) for c in ax.collections):
        return "picture"
    if any(isinstance(c, mpl.container.BarContainer) for c in ax.containers):
        return "bars"
    return "lines" if any(line.get_linestyle() not in ("None", "") for line in ax.lines) else "marks"


def _plain(text: str) -> str:
    return " ".join(text.split())
