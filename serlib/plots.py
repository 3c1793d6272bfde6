"""One style and one colour per emotion; functions draw onto a given Axes, `save` writes a figure with its data."""

from __future__ import annotations

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
CMAP = "cividis"  # even in lightness, the same to colour-blind readers

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


def confusion(ax: Axes, counts: np.ndarray, classes: Sequence[str]) -> None:
    """A confusion matrix, shape (n_classes, n_classes), as per cent of each true class; rows are true."""
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, vmin=0, vmax=100, cmap=CMAP)
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            colour = "black" if value > 55 else "white"
            ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize="small")
    ticks = range(len(classes))
    ax.set_xticks(ticks, classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, classes)
    ax.set(xlabel="predicted", ylabel="true (per cent of row)")
    ax.spines[:].set_visible(False)


def learning_curves(axes: Sequence[Axes], history: pd.DataFrame) -> None:
    """Loss (first Axes) and accuracy (second) by epoch, training and validation, one thin line a fold and seed."""
    keys = [key for key in ("seed", "fold") if key in history]
    for ax, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for k, (_, run) in enumerate(history.groupby(keys)):
            ax.plot(run.epoch, run[quantity], color="#332288", linewidth=1, label=None if k else "training")
            column = run[f"val_{quantity}"]
            ax.plot(run.epoch, column, color="#CC6677", linewidth=1, linestyle="--", label=None if k else "validation")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        ax.set(xlabel="epoch", ylabel=quantity if quantity == "accuracy" else "loss (cross-entropy, nats)")
    axes[1].set_ylim(0, 1.02)
    axes[0].legend()


def save(fig: Figure, path: Path, data: pd.DataFrame | None = None, *, about: str = "") -> Path:
    """Write a figure as PNG and, with its data, as SVG and CSV beside it.

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
    return png


def show(fig: Figure) -> None:
    """Show a figure once in a notebook and close it."""
    from IPython.display import display

    display(fig)
    plt.close(fig)
