"""Sentences of README and report whose numbers are filled in from predictions, with protocol, n, seeds, interval."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from serlib import claims, reliability, scoring
from serlib.corpora import REPOSITORY

POOL, SAMPLE = "cremad+ravdess+savee+tess", "600_each"  # the four corpora of `iiitb2024`, and its number of clips


class NotRun(LookupError):
    """The predictions do not have what a sentence is about."""


def _of(predictions: pd.DataFrame, corpus: str, sample: str, protocol: str, **others) -> pd.DataFrame:
    """Test rows of results; raises `NotRun` where there are none."""
    wanted = {"train_corpora": corpus, "sample": sample, "protocol": protocol} | others
    chosen = predictions.query(scoring.RESULTS)
    for name, value in wanted.items():
        chosen = chosen[chosen[name] == value]
    if chosen.empty:
        raise NotRun(f"no results of {wanted}")
    return chosen


def _score(predictions: pd.DataFrame, *on: str, **others) -> pd.Series:
    return scoring.scores(_of(predictions, *on, **others), ["train_corpora"]).iloc[0]


def _interval(score: pd.Series, name: str = "uar") -> str:
    """Such as *48.6 to 59.0, 95 % over speakers, 1 seed*."""
    seeds = scoring.seeds(score.seeds)
    if pd.isna(score[f"{name}_low"]):
        return seeds
    return f"{score[f'{name}_low']:.1f} to {score[f'{name}_high']:.1f}, 95 % over {score.interval_over}s, {seeds}"


def gap(predictions: pd.DataFrame, corpus: str, sample: str = "all") -> str:
    """What all models of a corpus get under a random split, and on unseen speakers."""
    on = ["model", "start"]
    heard = "model not in ['corpus_only']"
    random = scoring.scores(_of(predictions, corpus, sample, "random").query(heard), on)
    unseen = scoring.scores(_of(predictions, corpus, sample, "speaker_independent").query(heard), on)
    best = unseen.loc[unseen.uar.idxmax()]
    return (
        f"Under a random split of {scoring.title(corpus, sample)}, the {len(random)} models name the emotion of "
        f"{random.wa.min():.1f} to {random.wa.max():.1f} % of the test clips ({scoring.seeds(random.seeds)}). On "
        f"speakers that they have not heard the best of them is {scoring.model_name(best.model, best.start)}, with a "
        f"UAR of {best.uar:.1f} ({_interval(best)}; {best.utterances:,} clips). The worst keeps {unseen.uar.min():.1f}."
    )


def _spread(score: pd.Series) -> str:
    """Lowest and highest seed in WA, such as *71.6 to 73.1 over 3 seeds*."""
    bounds = f"{score.wa_seed_min:.1f} to {score.wa_seed_max:.1f} over " if score.seeds > 1 else ""
    return bounds + scoring.seeds(score.seeds)


def claimed(predictions: pd.DataFrame) -> str:
    """Which claims about TESS are reached under the same protocol."""
    on = ["model", "start"]
    tested = _of(predictions, "tess", "all", "random")
    claimed = claims.systems().query("corpus == 'tess' and task == 'emotion'").dropna(subset="wa")
    table = claimed.merge(scoring.scores(tested, on), on=on, suffixes=("_claimed", ""))
    told = [
        f"the {row.wa_claimed:g} % that `{row.source}` claims for its "
        f"{scoring.model_name(row.model, row.start).partition(' (')[0]} ({row.wa:.1f}; {_spread(row)})"
        for row in table[table.wa < table.wa_claimed].itertuples()
    ]
    n = tested.groupby("seed").utterance.nunique().max()
    return (
        f"On TESS under a random split ({n} test clips a seed) {len(table) - len(told)} of {len(table)} claimed "
        f"accuracies are reached or exceeded{'; not reached: ' + scoring.listed(told) if told else ''}."
    )


def seed_spread(predictions: pd.DataFrame) -> str:
    """How far the seed alone moves a model on one unseen voice of TESS."""
    unseen = _of(predictions, "tess", "all", "speaker_independent")
    by_seed = scoring.scores(unseen, ["model", "start", "speaker", "seed"])
    by = by_seed.groupby(["model", "start", "speaker"]).uar
    spread = by.max() - by.min()
    (model, start, speaker), most = spread.idxmax(), spread.max()
    return (
        f"The seed alone moves a model's UAR on one unseen woman of TESS by up to {most:.0f} points "
        f"({scoring.model_name(model, start)} on {speaker}, {scoring.seeds(by.size()[spread.idxmax()])})."
    )


def _claim_of_the_pool() -> float:
    """Accuracy (%) that `iiitb2024` states for its own network on the four corpora."""
    (claim,) = claims.systems().query("source == 'iiitb2024' and model == 'cnn1d_lstm'").wa
    return claim


def pool_claim(predictions: pd.DataFrame) -> str:
    """Whether the 81 % of `iiitb2024` is reached, and what else gives as much."""
    claim = _claim_of_the_pool()
    score = _score(predictions, POOL, SAMPLE, "random", model="cnn1d_lstm")
    every = predictions.query(f"{scoring.RESULTS_OF_ANY_PART} and train_corpora == @POOL and sample == @SAMPLE")
    every = every.query("protocol == 'random' and model == 'cnn1d_lstm'")
    whole = 100 * (every.emotion == every.predicted).mean()
    reached = "is reached" if score.wa >= claim else "is not reached"
    return (
        f"The {claim:g} % of `iiitb2024` {reached} by its kind of network under a random split of the four corpora: "
        f"{score.wa:.1f} % ({_spread(score)}). Counted over all clips, those of training included, {whole:.1f} % come "
        "out right."
    )


def ladder(predictions: pd.DataFrame) -> str:
    """What the recipe of public notebooks gives on the pool, and how much of that is its leaks."""
    table = scoring.ladder(predictions.query("train_corpora == @POOL and sample == @SAMPLE and features == 'averages'"))
    first = table[table.rung == "copies_before_split"]
    plain = table[table.rung == "random"].set_index("model")
    first = first[first.model.isin(plain.index)]
    if first.empty:
        raise NotRun("no run of notebook 15 on the pool")
    best = first.loc[first.wa.idxmax()]
    honest = plain.loc[best.model]
    claim = _claim_of_the_pool()
    return (
        "The recipe of many public notebooks, copies of each clip made before the split and the test rows picking the "
        f"checkpoint, gives at most {best.wa:.1f} % there ({scoring.model_name(best.model)}, "
        f"{scoring.seeds(best.seeds)}), of which {best.wa - honest.wa:.1f} points are those leaks; it "
        f"{'reaches' if best.wa >= claim else 'does not reach'} the {claim:g} %."
    )


def pool_unseen(predictions: pd.DataFrame) -> str:
    """What is left of the pool's networks on unseen speakers, corpus by corpus."""
    known, unseen = (
        _score(predictions, POOL, SAMPLE, protocol, model="cnn1d_lstm")
        for protocol in ("random", "speaker_independent")
    )
    of = _of(predictions, POOL, SAMPLE, "speaker_independent", model="cnn1d_lstm")
    speakers = of[["corpus", "speaker"]].drop_duplicates().shape[0]
    lost = {}
    for corpus in sorted(of.corpus.unique()):
        of_corpus = predictions[predictions.corpus == corpus]
        one, other = (
            _score(of_corpus, POOL, SAMPLE, protocol, model="cnn1d_lstm")
            for protocol in ("random", "speaker_independent")
        )
        lost[corpus] = one.uar - other.uar
    most, least = max(lost, key=lost.__getitem__), min(lost, key=lost.__getitem__)
    return (
        f"On the pool's {speakers} speakers, each unheard in turn, its UAR falls from {known.uar:.1f} to "
        f"{unseen.uar:.1f} ({_interval(unseen)}): by {lost[most]:.0f} points on {scoring.title(most)}, by "
        f"{lost[least]:.0f} on {scoring.title(least)}."
    )


def pool_corpora(predictions: pd.DataFrame) -> str:
    """How often the pool's network answers *calm*, which RAVDESS alone has, about another corpus."""
    tested = _of(predictions, POOL, SAMPLE, "random", model="cnn1d_lstm")
    elsewhere = tested[tested.corpus != "ravdess"]
    calm = int((elsewhere.predicted == "calm").sum())
    return (
        f"And it knows the corpora: of {len(elsewhere):,} test clips in {scoring.seeds(tested.seed.nunique())} that "
        f"are not from RAVDESS, the only corpus with calm, it calls {calm or 'none'} calm."
    )


def other_pools(predictions: pd.DataFrame) -> str:
    """The whole pool, and the pair that `iiitb2024` compares itself with."""
    whole, whole_unseen = (
        _score(predictions, POOL, "all", protocol, model="cnn1d_lstm") for protocol in ("random", "speaker_independent")
    )
    pair, pair_unseen = (
        _score(predictions, "ravdess+savee", "all", protocol, model="cnn_lstm")
        for protocol in ("random", "speaker_independent")
    )
    (claim,) = claims.systems().query("corpus == 'ravdess+savee' and model == 'cnn_lstm'").wa
    return (
        f"On all {whole_unseen.utterances:,} clips of the pool the network gets {whole.wa:.1f} % under a random split "
        f"({scoring.seeds(whole.seeds)}) and a UAR of {whole_unseen.uar:.1f} on unseen speakers "
        f"({_interval(whole_unseen)}). The 2-D CNN-LSTM on RAVDESS and SAVEE, quoted at {claim:g} %, gets {pair.wa:.1f}"
        f" ({scoring.seeds(pair.seeds)}) and {pair_unseen.uar:.1f} ({_interval(pair_unseen)})."
    )


def pretraining(predictions: pd.DataFrame) -> str:
    """What BEiT's pre-training on the corpus's own spectrograms was worth."""
    gains = scoring.label_shares(predictions.query("model == 'beit'"))

    def gain(corpus, sample, protocol, share):
        of = gains[(gains.train_corpora == corpus) & (gains["sample"] == sample) & (gains.protocol == protocol)]
        rows = of[np.isclose(of.label_share, share)]
        if rows.empty:
            raise NotRun(f"no gains on {corpus}")
        return f"{rows.iloc[0].gain:.1f} points of UAR ({_interval(rows.iloc[0], 'gain')})"

    return (
        "BEiT's pre-training on the corpus's own sound is worth, in the known voices of TESS, "
        f"{gain('tess', 'all', 'random', 0.1)} on a tenth of the labels; on its unseen voices "
        f"{gain('tess', 'all', 'speaker_independent', 1)} on all of them, and on the unseen speakers of the four "
        f"corpora {gain(POOL, SAMPLE, 'speaker_independent', 1)}."
    )


def calibration(predictions: pd.DataFrame) -> str:
    """Whether networks know when they are wrong about an unseen speaker."""
    of = predictions.query("model == 'cnn_lstm' and protocol == 'speaker_independent'")
    table = reliability.calibration(reliability.calibrated(of)).set_index(["train_corpora", "sample"])
    told = []
    for where, on in (("the four corpora", (POOL, SAMPLE)), ("TESS", ("tess", "all"))):
        if on not in table.index:
            raise NotRun(f"nothing calibrated on {on}")
        row = table.loc[on]
        told.append(
            f"on {where} it is {row.confidence:.0f} % sure and {row.wa:.0f} % right, and a temperature from validation "
            f"clips leaves it {row.confidence_cooled:.0f} % sure ({scoring.seeds(row.seeds)})"
        )
    return f"How sure the CNN-LSTM is about unseen speakers, and how often right: {'; '.join(told)}."


def gender(predictions: pd.DataFrame) -> str:
    """Whom the pool's best network serves worse."""
    table = reliability.groups(_of(predictions, POOL, SAMPLE, "speaker_independent", model="cnn_lstm"))
    by_group = table.set_index("group")
    if not {"female", "male"} <= set(by_group.index):
        raise NotRun("no two groups to compare")
    women, men = by_group.loc["female"], by_group.loc["male"]
    better = "better" if women.uar > men.uar else "no better"
    return (
        f"Of CREMA-D and RAVDESS, unheard, the pool's CNN-LSTM recognises women {better} than men: UAR {women.uar:.1f} "
        f"({_interval(women)}; {women.speakers} speakers) and {men.uar:.1f} ({_interval(men)}; {men.speakers})."
    )


def listeners(predictions: pd.DataFrame) -> str:
    """What people hear in CREMA-D."""
    heard = reliability.listeners().set_index("corpus").loc["cremad"]
    of_corpus = predictions[predictions.corpus == "cremad"]
    score = _score(of_corpus, POOL, SAMPLE, "speaker_independent", model="cnn_lstm")
    return (
        f"Of the {heard.clips:,.0f} original clips of CREMA-D, most of about ten listeners named the acted emotion for "
        f"{heard.wa:.1f} % (UAR {heard.uar:.1f}), hearing the voice alone; the CNN-LSTM, trained on the pool and asked "
        f"about unseen speakers of the rebuilt audio, gets a UAR of {score.uar:.1f} ({_interval(score)})."
    )


def recogniser(predictions: pd.DataFrame) -> str:
    """What the recogniser of notebook 18 makes of TESS's two women, and what one of them alone had taught."""
    of_tess = predictions[predictions.corpus == "tess"]
    score = _score(of_tess, POOL, "all", "speaker_independent", model="recogniser")
    others = _of(predictions, "tess", "all", "speaker_independent").query("model != 'recogniser'")
    best = scoring.scores(others, ["model", "start"]).uar.max()
    return (
        f"The recogniser of notebook 18 learns from the four corpora at once. Asked about each woman of TESS when it "
        f"has heard the other and people of other corpora, but never her, it gets a UAR of {score.uar:.1f} "
        f"({_interval(score)}; {score.utterances:,} clips), where the best model that had learned from the other woman "
        f"alone got {best:.1f}."
    )


def recogniser_random(predictions: pd.DataFrame) -> str:
    """What the recogniser of notebook 18 gets under a random split, where a claim about the same corpora stands."""
    sampled, known, unseen = (
        _score(predictions, POOL, *on, model="recogniser")
        for on in ((SAMPLE, "random"), ("all", "random"), ("all", "speaker_independent"))
    )
    claim = _claim_of_the_pool()
    return (
        "Under a random split of notebook 13's sample of the four corpora the recogniser names the emotion of "
        f"{sampled.wa:.1f} % of the test clips ({_spread(sampled)}), which {'is' if sampled.wa > claim else 'is not'} "
        f"above the {claim:g} % that `iiitb2024` claims for such a sample. Of all {unseen.utterances:,} clips it names "
        f"{known.wa:.1f} % ({_spread(known)}), and of those of unseen speakers {unseen.wa:.1f} % ({_spread(unseen)})."
    )


def published(predictions: pd.DataFrame) -> str:
    """The table that stands it beside published numbers, as Markdown."""
    _of(predictions, POOL, "all", "speaker_independent", model="recogniser")
    return f"\n{scoring.text_markdown(scoring.published_readable(scoring.published(predictions)), n_words=5)}\n"


def each_corpus(predictions: pd.DataFrame) -> str:
    """The table of what three kinds of models get on every corpus, alone and from the others, as Markdown."""
    table = scoring.each_corpus(predictions)
    table = table[table.model.isin(["cnn_lstm", "random_forest", "tuned_logistic_regression"])]
    if table.empty:
        raise NotRun("no model was asked about another corpus")
    return f"\n{scoring.text_markdown(scoring.each_corpus_readable(table), n_words=2)}\n"


def own_mean(predictions: pd.DataFrame) -> str:
    """The table of what it is worth to have heard a speaker before, without a label, as Markdown."""
    table = scoring.own_mean(predictions).query("train_corpora == @POOL and heard in ['nothing', 'all']")
    if table.empty:
        raise NotRun("notebook 19 was not run on the pool")
    return f"\n{scoring.text_markdown(scoring.own_mean_readable(table), n_words=2)}\n"


FINDINGS: dict[str, Callable[[pd.DataFrame], str]] = {
    "tess_claims": claimed,
    "tess_gap": lambda predictions: gap(predictions, "tess"),
    "tess_seeds": seed_spread,
    "pretraining": pretraining,
    "pool_claim": pool_claim,
    "pool_ladder": ladder,
    "pool_unseen": pool_unseen,
    "pool_corpora": pool_corpora,
    "other_pools": other_pools,
    "each_corpus": each_corpus,
    "calibration": calibration,
    "gender": gender,
    "listeners": listeners,
    "recogniser": recogniser,
    "recogniser_random": recogniser_random,
    "published": published,
    "own_mean": own_mean,
}


ABSTRACT = (  # paragraphs
    ("tess_claims", "tess_gap", "tess_seeds"),
    ("pool_claim", "pool_ladder", "pool_unseen"),
    ("pretraining", "recogniser", "recogniser_random"),
    ("calibration", "gender", "listeners"),
)


def abstract(predictions: pd.DataFrame) -> str:
    """What these predictions allow to say, in paragraphs; where it is none of `ABSTRACT`, the gap on each corpus."""

    def said(*sentences: Callable[[pd.DataFrame], str]) -> str:
        told = []
        for sentence in sentences:
            with contextlib.suppress(NotRun):
                told.append(sentence(predictions))
        return " ".join(told)

    told = [said(*(FINDINGS[name] for name in names)) for names in ABSTRACT]
    if not any(told):
        told = [said(functools.partial(gap, corpus=on[0], sample=on[1])) for on in scoring.trained(predictions)]
    return "\n\n".join(filter(None, told)) or "No model was tested both under a random split and on unseen speakers."


def update_readme(predictions: pd.DataFrame, readme: Path = REPOSITORY / "README.md") -> None:
    """Put tables and sentences between the README's pairs of marks.

    ``<!-- results tess -->`` marks a results table, named by `serlib.scoring.label`; ``<!-- finding gender -->`` one of
    `FINDINGS`.

    Raises
    ------
    ValueError
        A mark has no second one, or names nothing that is known.
    NotRun
        The predictions do not allow a finding that is marked.
    """
    tables = {scoring.label(*on): on for on in scoring.trained(predictions)}
    known = [f"results {name}" for name in tables] + [f"finding {name}" for name in FINDINGS]
    text = readme.read_text()
    marks = re.findall(r"<!-- ((?:results|finding) \S+) -->", text)
    wrong = [mark for mark in marks if marks.count(mark) != 2 or mark not in known]
    if wrong or not marks:
        raise ValueError(
            f"{readme} needs pairs of marks such as <!-- results NAME --> to put tables and sentences between; known "
            f"are {', '.join(known)}. It has {', '.join(marks) or 'none'}"
        )
    for mark in dict.fromkeys(marks):
        kind, name = mark.split()
        if kind == "results":
            filled = f"\n{scoring.markdown(scoring.results(predictions, *tables[name]))}\n"
        else:
            filled = f"\n{FINDINGS[name](predictions).strip()}\n"  # on lines of its own, else it is no Markdown
        before, _, after = text.split(f"<!-- {mark} -->")
        text = f"{before}<!-- {mark} -->{filled}<!-- {mark} -->{after}"
    readme.write_text(text)
