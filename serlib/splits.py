"""Evaluation protocols: which utterances train, validate and test a model, and a check that refuses leaks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from serlib.sources import SOURCES

PROTOCOLS = ("random", "text_independent", "speaker_independent", "speaker_text_independent", "cross_corpus")

#: Columns whose values test shares with no other part, by protocol. The same sound twice (sha256) is always together.
FORBIDDEN_OVERLAP = {
    "random": ["utterance", "sha256"],
    "text_independent": ["utterance", "sha256", "text"],
    "speaker_independent": ["utterance", "sha256", "speaker"],
    "speaker_independent_adapted": ["utterance", "sha256", "speaker"],  # its splits; but test clips are measured first
    "speaker_text_independent": ["utterance", "sha256", "speaker", "text"],
    "cross_corpus": ["utterance", "sha256", "corpus"],
}

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of utterances or texts; of training speakers who validate
MAX_LEAVE_ONE_OUT = 10  # tables with more speakers are cut into folds of several
N_SPEAKER_FOLDS = 5


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

    ========================  ===========================  ========================================================
    protocol                  test                         validation
    ========================  ===========================  ========================================================
    random                    20 %, stratified by emotion  10 %, drawn in the same way
    text_independent          20 % of the texts            10 % of the texts; with only two texts in all, 10 % of
                                                           the clips of the one that trains
    speaker_independent       speakers, each tested once   10 % of the training speakers, at least one (two where
                                                           folds hold several); with only two speakers in all, 10 %
                                                           of the texts of the one that trains
    speaker_text_independent  the speakers of              the speakers of speaker_independent saying the texts of
                              speaker_independent saying   text_independent; with only two speakers or two texts in
                              the texts of                 all, the one that trains
                              text_independent
    cross_corpus              a corpus, each tested once   10 % of the training speakers
    ========================  ===========================  ========================================================

    A row that names a ``parent`` is made from that clip. Clips are divided as if such rows were not there; then
    windows go where their parent went, and copies (``augmented``, see `copies`) of training clips into training, others
    nowhere. Speakers of one name in two corpora are two; a text of one name is one, wherever it is said.

    What fits no part is left out of the fold: under `speaker_text_independent` known speakers with test texts, for one;
    under `cross_corpus` the emotions that only the tested corpus or only the others have. The others are taken
    together: an emotion that one of them has is shared.

    Speakers are left out one at a time up to ten of them, else in five folds stratified by corpus and gender (six for
    RAVDESS, of two women and two men each); the two speakers of an IEMOCAP session go together, so that it has five
    folds, one session each. A validation speaker is of the gender that has most speakers left, so that training
    keeps both, and of a corpus that has three speakers left or more. `seed` moves the random draws (and which training
    speaker validates), never which speakers are tested together.

    Parameters
    ----------
    utterances : DataFrame
        Columns utterance, speaker, emotion, sha256 and, where the protocol needs them, text, gender and corpus; where
        rows are made from others, parent and augmented.
    protocol : one of `PROTOCOLS`
    seed : int
    fold : int, optional
        Only this fold; all of them by default.

    Returns
    -------
    list of Split

    Raises
    ------
    ValueError
        Unknown protocol or fold, or a table too small for the protocol or without a value that it needs.
    LeakError
        See `check`; every split is checked before it is returned.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    utterances = _distinct_speakers(utterances)
    if "parent" in utterances and utterances.parent.notna().any():
        recorded = utterances.parent.isna().to_numpy()
        own = make(utterances[recorded].reset_index(drop=True), protocol, seed=seed, fold=fold)
        splits = [_with_children(utterances, split, np.flatnonzero(recorded)) for split in own]
        for split in splits:
            check(utterances, split, protocol)
        return splits
    rng = np.random.default_rng(seed)
    if protocol == "random":
        parts = [_random(utterances, seed)]
    elif protocol == "text_independent":
        parts = [_texts(utterances, seed, rng)]
    elif protocol == "speaker_independent":
        parts = [_speakers(utterances, test, rng) for test in _speaker_folds(utterances, protocol)]
    elif protocol == "speaker_text_independent":
        parts = _speakers_and_texts(utterances, seed)
    else:
        parts = [_corpora(utterances, test, rng) for test in _corpus_folds(utterances)]
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

    Test is held to `FORBIDDEN_OVERLAP`. So are training and validation, as far as there is enough to share out: with
    two speakers in all they have the same speaker and other texts, with two texts the same text, and under
    `cross_corpus` the same corpora and other speakers.

    Raises
    ------
    LeakError
        Names the parts, the column and the first values shared; also when a part is empty.
    """
    utterances = _distinct_speakers(utterances)
    if "parent" in utterances:  # a row counts as the clip that it is made from
        utterances = utterances.assign(utterance=utterances.parent.fillna(utterances.utterance))
    parts = {name: utterances.iloc[getattr(split, name)] for name in ("train", "validation", "test")}
    for name, part in parts.items():
        if part.empty:
            raise LeakError(f"fold {split.fold} of {protocol}: the {name} part is empty")
        if name != "train" and _augmented(part).any():
            copied = part.utterance[_augmented(part)].iloc[0]
            raise LeakError(f"fold {split.fold} of {protocol}: {name} has changed copies of clips, such as of {copied}")
    stand_in = {"corpus": "speaker"}  # what keeps validation from training where the column itself cannot
    if utterances.speaker.nunique() == 2:
        stand_in["speaker"] = "text"
    if "text" in utterances and utterances.text.nunique() == 2:
        stand_in["text"] = "utterance"
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        columns = FORBIDDEN_OVERLAP[protocol]
        if b == "validation":
            columns = [stand_in.get(column, column) for column in columns]
        for column in columns:
            shared = sorted(set(parts[a][column].dropna()) & set(parts[b][column].dropna()))
            if shared:
                raise LeakError(
                    f"fold {split.fold} of {protocol}: {a} and {b} share {len(shared)} values of {column!r}, "
                    f"such as {', '.join(map(str, shared[:3]))}"
                )


def _distinct_speakers(utterances: pd.DataFrame) -> pd.DataFrame:
    """The table, with the corpus in the name of a speaker whose name another corpus uses too."""
    if "corpus" not in utterances:
        return utterances
    shared = utterances.groupby("speaker").corpus.transform("nunique") > 1
    names = utterances.speaker.mask(shared, utterances.corpus + "/" + utterances.speaker)
    return utterances.assign(speaker=names)


def copies(utterances: pd.DataFrame, **changes) -> pd.DataFrame:
    """Rows for changed copies of clips, to be set under the clips themselves: more training data, never a test.

    Parameters
    ----------
    utterances : DataFrame
    changes
        Columns that say what is changed, such as ``speed=0.9``.

    Returns
    -------
    DataFrame
        The same rows; ``utterance`` ends in what is changed (``OAF_back_angry@speed=0.9``), ``parent`` names the clip
        and ``augmented`` is true.
    """
    told = "".join(f"@{name}={value}" for name, value in changes.items())
    named = {"utterance": utterances.utterance + told, "parent": utterances.utterance, "augmented": True}
    return utterances.assign(**named, **changes)


def _augmented(utterances: pd.DataFrame) -> np.ndarray:
    """Which rows are changed copies of clips, and no windows or clips."""
    if "augmented" not in utterances:
        return np.zeros(len(utterances), bool)
    return utterances.augmented.eq(True).to_numpy()


def _with_children(utterances: pd.DataFrame, split: Split, positions: np.ndarray) -> Split:
    """A split of the recorded clips, at `positions` of the table, with the rows that are made from them."""
    names = ["corpus", "utterance"] if "corpus" in utterances else ["utterance"]
    origin = utterances.assign(utterance=utterances.parent.fillna(utterances.utterance))[names].agg("/".join, axis=1)
    parts = {}
    for name in ("train", "validation", "test"):
        clips = origin.iloc[positions[getattr(split, name)]]
        wanted = origin.isin(clips).to_numpy()
        parts[name] = np.flatnonzero(wanted if name == "train" else wanted & ~_augmented(utterances))
    return Split(split.fold, **parts)


def _random(utterances: pd.DataFrame, seed: int) -> tuple[np.ndarray, ...]:
    sounds = utterances.drop_duplicates("sha256")  # the same sound twice is one draw
    rest, test = train_test_split(sounds, test_size=TEST_SHARE, stratify=sounds.emotion, random_state=seed)
    share = VALIDATION_SHARE / (1 - TEST_SHARE)
    train, validation = train_test_split(rest, test_size=share, stratify=rest.emotion, random_state=seed)
    return tuple(utterances.sha256.isin(part.sha256).to_numpy() for part in (train, validation, test))


def _texts(utterances: pd.DataFrame, seed: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    train, validation, test = _by_text(utterances, "text_independent", rng)
    if utterances.text.nunique() == 2:
        sounds = utterances[train].drop_duplicates("sha256")
        _, held_out = train_test_split(sounds, test_size=VALIDATION_SHARE, stratify=sounds.emotion, random_state=seed)
        validation = train & utterances.sha256.isin(held_out.sha256).to_numpy()
    return train & ~validation, validation, test


def _by_text(utterances: pd.DataFrame, protocol: str, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Clips with the texts that train, validate and test; with two texts in all, the one that trains validates too."""
    texts = _require(utterances, "text", protocol)
    if texts.nunique() < 2:
        raise ValueError(f"{protocol} needs two texts or more; there is only {', '.join(texts.unique())}")
    if texts.nunique() > 2:
        test, validation, train = _draw(texts.unique(), [TEST_SHARE, VALIDATION_SHARE], rng)
        return tuple(texts.isin(part).to_numpy() for part in (train, validation, test))
    tested = (texts == rng.choice(sorted(texts.unique()))).to_numpy()
    return ~tested, ~tested, tested


def _require(utterances: pd.DataFrame, column: str, protocol: str) -> pd.Series:
    if utterances[column].isna().any():
        raise ValueError(f"{protocol} needs the {column} of every utterance; {utterances[column].isna().sum()} lack it")
    return utterances[column]


def _draw(values, shares: list[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Random disjoint parts of the given shares (at least one value each), then what is left."""
    order = rng.permutation(sorted(values))
    counts = [max(1, round(share * len(order))) for share in shares]
    return np.split(order, np.cumsum(counts))


def _speaker_folds(utterances: pd.DataFrame, protocol: str) -> list[np.ndarray]:
    speakers = utterances.drop_duplicates("speaker").sort_values("speaker")
    names = speakers.speaker.to_numpy()
    corpora = speakers.corpus if "corpus" in speakers else pd.Series("", index=speakers.index)
    sessions = {name: SOURCES[name].session for name in corpora.unique() if name in SOURCES}
    together = pd.Series(
        [of(name) if (of := sessions.get(corpus)) else name for corpus, name in zip(corpora, names, strict=True)],
        index=speakers.index,
    )
    units = speakers[~together.duplicated()]
    if len(units) < 2:
        raise ValueError(f"{protocol} needs two speakers or more; there is only {', '.join(names)}")
    if len(units) <= MAX_LEAVE_ONE_OUT:
        return [names[together == unit] for unit in together.unique()]
    customary = {SOURCES[name].speaker_folds if name in SOURCES else None for name in corpora.unique()}
    n_folds = (customary.pop() if len(customary) == 1 else None) or N_SPEAKER_FOLDS
    strata = (corpora + " " + speakers.gender.fillna("unknown"))[units.index]
    strata = strata.mask(strata.map(strata.value_counts()) < n_folds, corpora)  # too few of a gender for every fold
    if strata.value_counts().max() < n_folds:
        strata[:] = "all"
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a corpus of fewer speakers than folds is spread all the same
        tested = [test for _, test in folds.split(units, strata)]
    return [names[together.isin(together[units.index].iloc[test])] for test in tested]


def _speakers(utterances: pd.DataFrame, test: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    train, validation, tested = _by_speaker(utterances, test, rng)
    if utterances.speaker.nunique() == 2:
        text = _require(utterances, "text", "speaker_independent with two speakers")
        held_out, _ = _draw(text.unique(), [VALIDATION_SHARE], rng)
        validation = train & text.isin(held_out).to_numpy()
    return train & ~validation, validation, tested


def _by_speaker(utterances: pd.DataFrame, test: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Clips of the speakers who train, validate and test; with two in all, the one who trains validates too."""
    tested = utterances.speaker.isin(test).to_numpy()
    if utterances.speaker.nunique() == 2:
        return ~tested, ~tested, tested
    held_out = _validation_speakers(utterances[~tested], 1 if len(test) == 1 else 2, rng)
    validation = utterances.speaker.isin(held_out).to_numpy()
    return ~tested & ~validation, validation, tested


def _validation_speakers(utterances: pd.DataFrame, at_least: int, rng: np.random.Generator) -> list[str]:
    """Draw 10 % of the speakers, each of the gender that has most left, so that training keeps voices of both.

    In a pool, a corpus that has fewer than three speakers left (TESS always) gives none: training would hardly hear it.
    """
    speakers = utterances.drop_duplicates("speaker").sort_values("speaker")
    n = min(max(at_least, round(VALIDATION_SHARE * len(speakers))), len(speakers) - 1)
    if "corpus" in speakers and (plenty := speakers.groupby("corpus").speaker.transform("size") >= 3).any():
        speakers = speakers[plenty]
    speakers = speakers[["speaker", "gender"]]
    left = speakers.fillna({"gender": "unknown"}).iloc[rng.permutation(len(speakers))]
    drawn = []
    for _ in range(n):
        most_frequent = left.gender.value_counts(sort=False).idxmax()
        drawn.append(left.speaker[left.gender == most_frequent].iloc[0])
        left = left[left.speaker != drawn[-1]]
    return drawn


def _speakers_and_texts(utterances: pd.DataFrame, seed: int) -> list[tuple[np.ndarray, ...]]:
    by_text = _by_text(utterances, "speaker_text_independent", np.random.default_rng(seed))
    folds = _speaker_folds(utterances, "speaker_text_independent")
    if utterances.speaker.nunique() == utterances.text.nunique() == 2:
        raise ValueError("speaker_text_independent with two speakers needs three texts or more, since one validates")
    rng = np.random.default_rng(seed)  # as in speaker_independent, so that the same speakers validate
    by_speaker = [_by_speaker(utterances, test, rng) for test in folds]
    return [tuple(a & b for a, b in zip(speakers, by_text, strict=True)) for speakers in by_speaker]


def _corpus_folds(utterances: pd.DataFrame) -> list[str]:
    names = sorted(utterances.corpus.unique())
    if len(names) < 2:
        raise ValueError(
            f"cross_corpus needs several corpora in one table, such as corpus 'ravdess+savee'; there is only {names[0]}"
        )
    return names


def _corpora(utterances: pd.DataFrame, test: str, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    tested = (utterances.corpus == test).to_numpy()
    emotions = set(utterances.emotion[tested]) & set(utterances.emotion[~tested])
    shared = utterances.emotion.isin(emotions).to_numpy()
    speakers_tested = utterances.speaker[tested & shared].nunique()
    held_out = _validation_speakers(utterances[~tested & shared], min(speakers_tested, 2), rng)
    validation = ~tested & utterances.speaker.isin(held_out).to_numpy()
    return ~tested & ~validation & shared, validation & shared, tested & shared


def to_table(utterances: pd.DataFrame, splits: list[Split]) -> pd.DataFrame:
    """Splits by the names of the utterances, as ``data/splits`` keeps them.

    Parameters
    ----------
    utterances : DataFrame
        The table that was given to `make`.
    splits : list of Split

    Returns
    -------
    DataFrame
        Columns utterance, fold, part (train, validation or test), sorted by fold and utterance.
    """
    names = utterances.utterance.to_numpy()
    parts = [
        pd.DataFrame({"utterance": names[getattr(split, part)], "fold": split.fold, "part": part})
        for split in splits
        for part in ("train", "validation", "test")
    ]
    return pd.concat(parts).sort_values(["fold", "utterance"], ignore_index=True)
