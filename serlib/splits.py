"""Evaluation protocols: which utterances train, validate and test a model, and a check that refuses leaks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

PROTOCOLS = ("random", "text_independent", "speaker_independent")

#: Columns whose values no two parts may share, by protocol. The same sound twice (sha256) is always kept together.
FORBIDDEN_OVERLAP = {
    "random": ["utterance", "sha256"],
    "text_independent": ["utterance", "sha256", "text"],
    "speaker_independent": ["utterance", "sha256", "speaker"],
}

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of utterances or texts; of training speakers who validate
MAX_LEAVE_ONE_OUT = 10  # tables with more speakers are cut into folds of several
N_SPEAKER_FOLDS = 5
SPEAKER_FOLDS = {"ravdess": 6}  # corpora that the field cuts otherwise: here, six folds of two women and two men


class LeakError(ValueError):
    """Two parts of a split share something that the protocol forbids; the message names it."""


@dataclass(frozen=True)
class Split:
    """Row positions of one fold.

    Attributes
    ----------
    fold : int
    train, validation, test : ndarray of int, sorted
        Positions into the utterance table given to `make`.
    """

    fold: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make(utterances: pd.DataFrame, protocol: str, *, seed: int = 0, fold: int | None = None) -> list[Split]:
    """Split an utterance table by a protocol.

    ======================  ============================  ==========================================================
    protocol                test                          validation
    ======================  ============================  ==========================================================
    random                  20 %, stratified by emotion   10 %, drawn in the same way
    text_independent        20 % of the texts             10 % of the texts; with only two texts in all, 10 % of the
                                                          clips of the one that trains
    speaker_independent     speakers, each tested once    10 % of the training speakers, at least one (two where
                                                          folds hold several); with only two speakers in all, 10 %
                                                          of the texts of the one that trains
    ======================  ============================  ==========================================================

    Speakers are left out one at a time up to ten of them, else in five folds stratified by corpus and gender (six for
    RAVDESS, of two women and two men each); the two speakers of an IEMOCAP session go together, so that it has five
    folds, one session each. A validation speaker is of the gender that has most speakers left, so that training
    keeps both. `seed` moves the random draws (and which training speaker validates), never which speakers are tested
    together.

    Parameters
    ----------
    utterances : DataFrame
        Columns utterance, speaker, emotion, sha256 and, where the protocol needs them, text and gender.
    protocol : {"random", "text_independent", "speaker_independent"}
    seed : int
    fold : int, optional
        Only this fold; all of them by default.

    Returns
    -------
    list of Split

    Raises
    ------
    ValueError
        Unknown protocol or fold, or a table too small or without the column that the protocol needs.
    LeakError
        See `check`; every split is checked before it is returned.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    rng = np.random.default_rng(seed)
    if protocol == "random":
        parts = [_random(utterances, seed)]
    elif protocol == "text_independent":
        parts = [_texts(utterances, seed, rng)]
    else:
        parts = [_speakers(utterances, test, rng) for test in _speaker_folds(utterances)]
    splits = [Split(k, *(np.flatnonzero(mask) for mask in masks)) for k, masks in enumerate(parts)]
    if fold is not None:
        if fold not in range(len(splits)):
            raise ValueError(f"{protocol} has folds 0 to {len(splits) - 1} here, not {fold}")
        splits = [splits[fold]]
    for split in splits:
        check(utterances, split, protocol)
    return splits


def check(utterances: pd.DataFrame, split: Split, protocol: str) -> None:
    """Raise unless the parts are disjoint in everything that the protocol forbids them to share.

    With two speakers in all, `speaker_independent` validates on other texts of the training speaker: then test shares
    no speaker with the rest, and validation shares no text with training. Likewise, with two texts in all,
    `text_independent` validates on other clips of the training text.

    Raises
    ------
    LeakError
        Names the parts, the column and the first values shared; also when a part is empty.
    """
    parts = {name: utterances.iloc[getattr(split, name)] for name in ("train", "validation", "test")}
    for name, part in parts.items():
        if part.empty:
            raise LeakError(f"fold {split.fold} of {protocol}: the {name} part is empty")
    few_speakers = protocol == "speaker_independent" and utterances.speaker.nunique() == 2
    few_texts = protocol == "text_independent" and utterances.text.nunique() == 2
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        columns = FORBIDDEN_OVERLAP[protocol]
        if few_speakers and b == "validation":
            columns = ["utterance", "sha256", "text"]
        if few_texts and b == "validation":
            columns = ["utterance", "sha256"]
        for column in columns:
            shared = sorted(set(parts[a][column].dropna()) & set(parts[b][column].dropna()))
            if shared:
                raise LeakError(
                    f"fold {split.fold} of {protocol}: {a} and {b} share {len(shared)} values of {column!r}, "
                    f"such as {', '.join(map(str, shared[:3]))}"
                )


def _random(utterances: pd.DataFrame, seed: int) -> tuple[np.ndarray, ...]:
    sounds = utterances.drop_duplicates("sha256")  # the same sound twice is one draw
    rest, test = train_test_split(sounds, test_size=TEST_SHARE, stratify=sounds.emotion, random_state=seed)
    share = VALIDATION_SHARE / (1 - TEST_SHARE)
    train, validation = train_test_split(rest, test_size=share, stratify=rest.emotion, random_state=seed)
    return tuple(utterances.sha256.isin(part.sha256).to_numpy() for part in (train, validation, test))


def _texts(utterances: pd.DataFrame, seed: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    texts = _require(utterances, "text", "text_independent")
    if texts.nunique() < 2:
        raise ValueError(f"text_independent needs two texts or more; there is only {', '.join(texts.unique())}")
    if texts.nunique() > 2:
        test, validation, train = _draw(texts.unique(), [TEST_SHARE, VALIDATION_SHARE], rng)
        return tuple(texts.isin(part).to_numpy() for part in (train, validation, test))
    tested = (texts == rng.choice(sorted(texts.unique()))).to_numpy()
    sounds = utterances[~tested].drop_duplicates("sha256")
    _, held_out = train_test_split(sounds, test_size=VALIDATION_SHARE, stratify=sounds.emotion, random_state=seed)
    validation = ~tested & utterances.sha256.isin(held_out.sha256).to_numpy()
    return ~tested & ~validation, validation, tested


def _require(utterances: pd.DataFrame, column: str, protocol: str) -> pd.Series:
    if utterances[column].isna().any():
        raise ValueError(f"{protocol} needs the {column} of every utterance; {utterances[column].isna().sum()} lack it")
    return utterances[column]


def _draw(values, shares: list[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Random disjoint parts of the given shares (at least one value each), then what is left."""
    order = rng.permutation(sorted(values))
    counts = [max(1, round(share * len(order))) for share in shares]
    return np.split(order, np.cumsum(counts))


def _speaker_folds(utterances: pd.DataFrame) -> list[np.ndarray]:
    speakers = utterances.drop_duplicates("speaker").sort_values("speaker")
    names = speakers.speaker.to_numpy()
    corpora = speakers.corpus if "corpus" in speakers else pd.Series("", index=speakers.index)
    together = speakers.speaker.mask(corpora == "iemocap", speakers.speaker.str[:5])  # both speakers of a session
    units = speakers[~together.duplicated()]
    if len(units) < 2:
        raise ValueError(f"speaker_independent needs two speakers or more; there is only {', '.join(names)}")
    if len(units) <= MAX_LEAVE_ONE_OUT:
        return [names[together == unit] for unit in together.unique()]
    n_folds = SPEAKER_FOLDS.get("+".join(corpora.unique()), N_SPEAKER_FOLDS)
    strata = (corpora + " " + speakers.gender.fillna("unknown"))[units.index]
    rare = strata.map(strata.value_counts()) < n_folds  # too few to be in every fold
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the rare may be fewer than the folds
        tested = [test for _, test in folds.split(units, strata.mask(rare, "rare"))]
    return [names[together.isin(together[units.index].iloc[test])] for test in tested]


def _speakers(utterances: pd.DataFrame, test: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    tested = utterances.speaker.isin(test).to_numpy()
    others = np.setdiff1d(utterances.speaker.unique(), test)
    if len(others) == 1:
        text = _require(utterances, "text", "speaker_independent with two speakers")
        held_out_texts, _ = _draw(text.unique(), [VALIDATION_SHARE], rng)
        validation = ~tested & text.isin(held_out_texts).to_numpy()
    else:
        speakers = utterances[~tested].drop_duplicates("speaker")[["speaker", "gender"]].sort_values("speaker")
        n = max(1 if len(test) == 1 else 2, round(VALIDATION_SHARE * len(others)))
        held_out = _validation_speakers(speakers, min(n, len(others) - 1), rng)
        validation = utterances.speaker.isin(held_out).to_numpy()
    return ~tested & ~validation, validation, tested


def _validation_speakers(speakers: pd.DataFrame, n: int, rng: np.random.Generator) -> list[str]:
    """Draw n speakers, each of the gender that has most left, so that training keeps voices of both."""
    left = speakers.fillna({"gender": "unknown"}).iloc[rng.permutation(len(speakers))]
    drawn = []
    for _ in range(n):
        most_frequent = left.gender.value_counts(sort=False).idxmax()
        drawn.append(left.speaker[left.gender == most_frequent].iloc[0])
        left = left[left.speaker != drawn[-1]]
    return drawn
