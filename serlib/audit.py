"""Leaks, looked for in what a run recorded: which rows trained, validated and tested each fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from serlib import corpora, features, predict, records
from serlib.records import MEMBERSHIP, PARTS
from serlib.splits import FORBIDDEN_OVERLAP

FIT = MEMBERSHIP[: MEMBERSHIP.index("part")]  # what one fit is, in a membership table
FOUND = ("parts", "shared", "count", "rows", "of", "example", "verdict")
ALLOWED, DECLARED, FAULT = "allowed by protocol", "declared by its recipe", "fault"
PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))
SHARED = {  # column -> what is shared, in words
    "utterance": "the same clips",
    "clip": "copies or windows of the same clips",
    "sha256": "the same sounds",
    "speaker": "speakers",
    "text": "texts",
    "corpus": "corpora",
}
#: Recipes that leak on purpose, to show what a leak is worth (notebook 15): for each pair of parts, what they share.
LEAKS: dict[str, dict[str, tuple[str, ...]]] = {
    "copies_before_split": {
        "train and validation": ("clip", "sha256"),
        "train and test": ("clip", "sha256"),
        "validation and test": ("utterance", "clip", "sha256"),
    },
    "chosen_on_test": {"validation and test": ("utterance", "sha256")},
}


def read(path: Path, protocol: str | None = None) -> pd.DataFrame:
    """A membership table: of a run's folder, of all gathered runs, or of anybody's split written as a CSV.

    Parameters
    ----------
    path : Path
        A folder with ``*membership.parquet``, or a CSV with the columns utterance and part (train, validation, test)
        and, where known, speaker, text, sha256 (any name of a sound that two equal sounds share), corpus, parent (the
        clip that a copy or a window is made from), fold, seed and protocol.
    protocol : a key of `serlib.splits.FORBIDDEN_OVERLAP`, optional
        Of a CSV that does not say it.

    Returns
    -------
    DataFrame
        Columns `MEMBERSHIP`.

    Raises
    ------
    FileNotFoundError
        Nothing there that could be audited; says what was looked for.
    ValueError
        A column is missing, or a value is unknown; names the file and says which are known.
    """
    if path.is_dir():
        files = sorted(path.glob("*membership.parquet"))
        if not files:
            raise FileNotFoundError(f"{path} holds no membership.parquet; a finished run leaves one")
        return pd.concat(
            [records.checked(pd.read_parquet(file), "membership", file) for file in files], ignore_index=True
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    table = pd.read_csv(path, dtype={"utterance": str, "speaker": str, "text": str, "sha256": str, "parent": str})
    missing = [name for name in ("utterance", "part") if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {' and '.join(missing)}")
    assumed = {"notebook": path.stem, "train_corpora": "-", "sample": "all", "label_share": 1.0, "role": "result"}
    assumed |= {"recipe": "default", "protocol": protocol, "fold": 0, "seed": 0, "corpus": "-"}
    table = table.assign(**{name: value for name, value in assumed.items() if name not in table})
    table = table.reindex(columns=list(MEMBERSHIP))
    for name, known in (("part", PARTS), ("protocol", tuple(FORBIDDEN_OVERLAP))):
        wrong = sorted(map(str, set(table[name]) - set(known)))
        if wrong:
            raise ValueError(f"{path}: {name} is {', '.join(wrong)}; it may be {', '.join(known)}")
    return table


def leaks(membership: pd.DataFrame) -> pd.DataFrame:
    """What the parts of each fit share, and whether its protocol allows that.

    No clip, sound, copy or window of a clip may stand in two parts. Beyond that, test shares nothing with another part
    that `serlib.splits.FORBIDDEN_OVERLAP` forbids. What training and validation share of speakers and texts is allowed:
    it makes the choice of a checkpoint worse, and no score better. What a recipe of `LEAKS` says that it shares is no
    fault either, since nobody takes its score for an honest one; whatever else it shares is.

    Parameters
    ----------
    membership : DataFrame
        From `read`.

    Returns
    -------
    DataFrame
        Columns `FIT`, then parts, shared (in words), count (how many), rows (of the later part that they touch), of
        (its size), example and verdict: ``fault``, ``declared by its recipe`` or ``allowed by protocol``. Faults first.
    """
    rows = []
    named = membership.assign(
        clip=membership.parent.fillna(membership.utterance), speaker=membership.corpus + " " + membership.speaker
    )
    for fit, table in named.groupby(list(FIT), sort=False, dropna=False):
        protocol, recipe = (fit[FIT.index(name)] for name in ("protocol", "recipe"))
        parts = {part: table[table.part == part] for part in PARTS}
        for a, b in PAIRS:
            for column, what in SHARED.items():
                there = parts[b][column]
                shared = set(parts[a][column].dropna()) & set(there.dropna())
                if column == "clip":  # beyond those that are named above
                    shared -= set(parts[a].utterance) & set(parts[b].utterance)
                if not shared:
                    continue
                never = ("utterance", "clip", "sha256")
                forbidden = column in never or (b == "test" and column in FORBIDDEN_OVERLAP[protocol])
                if column == "corpus" and not forbidden:
                    continue  # as nearly always
                pair = f"{a} and {b}"
                told = (pair, what, len(shared), int(there.isin(shared).sum()), len(there), min(shared))
                declared = column in LEAKS.get(recipe, {}).get(pair, ())
                rows.append((*fit, *told, ALLOWED if not forbidden else DECLARED if declared else FAULT))
    found = pd.DataFrame(rows, columns=[*FIT, *FOUND])
    return found.sort_values("verdict", key=lambda v: v != FAULT, kind="stable", ignore_index=True)


def scale(run: Path, data_dir: Path | None = None) -> str | None:
    """What is wrong with the scale inside a run's network: None if it was fitted on training clips alone.

    The means that its normalisation layer holds are compared with those of the training clips of the last fold, which
    the kept network belongs to, and with those of all clips.

    Parameters
    ----------
    run : Path
        With ``model.keras`` and ``membership.parquet``.
    data_dir : path, optional
        See `serlib.corpora.data_root`.

    Raises
    ------
    ValueError
        The run's network cannot be asked, or has no such layer.
    """
    recogniser = predict.load(run)
    layers = [layer for layer in recogniser.model.layers if type(layer).__name__ == "Normalization"]
    if len(layers) != 1:
        raise ValueError(f"{run}: the network has {len(layers)} normalisation layers; one is understood")
    members = read(run)
    members = members[members.fold == members.fold.iloc[-1]]
    if members.parent.notna().any():
        raise ValueError(f"{run}: it trained on copies of clips, whose sounds are not kept")
    found = corpora.load(members.train_corpora.iloc[0], data_dir).utterances.set_index(["corpus", "utterance"])
    clips = found.loc[pd.MultiIndex.from_frame(members[["corpus", "utterance"]])]
    x = features.images(clips.reset_index(), recogniser.features)
    held = np.ravel(layers[0].mean)
    of_training, of_all = (
        float(np.abs(x[rows].mean(axis=(0, 1)) - held).max())
        for rows in ((members.part == "train").to_numpy(), slice(None))
    )
    if of_training <= 1e-3 * max(1.0, float(np.abs(held).max())):
        return None
    return (
        f"means inside the network differ by up to {of_training:.2g} from those of its training clips, "
        f"and by {of_all:.2g} from those of all clips: its scale was fitted on other clips than those it trained on"
    )


def told(found: pd.Series) -> str:
    """One row of `leaks` in words."""
    fit = f"{found.notebook}, {found.train_corpora}, {found.protocol}, fold {found.fold}, seed {found.seed}"
    touched = f"{found['count']}, in {found.rows} of {found.of} rows of {found.parts.rpartition(' ')[2]}"
    return f"{fit}: {found.parts} share {found.shared} ({touched}), such as {found.example}"


def summary(found: pd.DataFrame) -> list[str]:
    """Rows of `leaks` in words, a line for each notebook, corpus and protocol."""
    lines = []
    for (notebook, corpus, protocol), rows in found.groupby(["notebook", "train_corpora", "protocol"], sort=False):
        pairs = [
            f"{parts} share {' and '.join(dict.fromkeys(of_pair.shared))}"
            for parts, of_pair in rows.groupby("parts", sort=False)
        ]
        lines.append(f"{notebook}, {corpus}, {protocol}: {'; '.join(pairs)}")
    return lines
