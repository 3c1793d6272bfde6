"""Claim cards: what a paper says of a system, what the same protocol gives here, what an unseen voice leaves of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from serlib import claims, reliability, scoring

STAND_IN = "mini"  # answers for a claimed corpus that nothing was trained on, as in the demo
AUGMENTED = "with augmentation"  # so `claims.systems` say of systems whose training clips a paper augments
SUNG = "speech and song"  # and so of those whose corpus is all of RAVDESS
SAID = ("claimed", "same protocol", "unseen speakers", "why they differ")


def cards(predictions: pd.DataFrame, systems: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a claimed system; no cell is empty.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.
    systems : DataFrame, optional
        From `serlib.claims.systems`, the default.

    Returns
    -------
    DataFrame
        Columns source, system, corpus, notebook, then `SAID` in words, then the numbers behind the words in per cent:
        claim_wa, random_wa, random_uar, train_wa, unseen_wa, unseen_uar. Where nothing was trained on the claimed
        corpus, the words are of the synthetic corpus and say so, or they say which command fills the cell.
    """
    findings = pd.DataFrame(claims.audit())
    augmented = _augmented(predictions)
    trained = predictions.query("role in ['result', 'ablation'] and label_share == 1 and condition == 'clean'")
    rows = []
    for system in (claims.systems() if systems is None else systems).itertuples():
        of_system = trained
        for name in ("model", "start", "task", "recipe", "features"):
            of_system = of_system[of_system[name] == getattr(system, name)]
        own = of_system[(of_system.train_corpora == system.corpus) & (of_system["sample"] == system.sample)]
        stand_in = own.empty
        own = of_system[of_system.train_corpora == STAND_IN] if stand_in else own
        random = _scores(own.query("protocol == 'random' and part == 'test'"))
        train = _scores(own.query("protocol == 'random' and part == 'train'"))
        unseen = _scores(own.query("protocol == 'speaker_independent' and part == 'test'"))
        numbers = {"claim_wa": system.wa, "random_wa": random.wa, "random_uar": random.uar, "train_wa": train.wa}
        numbers |= {"unseen_wa": unseen.wa, "unseen_uar": unseen.uar}
        codes = ", ".join(sorted(set(findings.code[findings.source == system.source])))
        where = f"on {scoring.title(STAND_IN)} in its place: " if stand_in and len(own) else ""
        fill = _fill(system.corpus)
        claim = "no number" if np.isnan(system.wa) else f"{system.wa:g}"
        leaky, worth = _leaky(predictions, system), augmented if AUGMENTED in system.what else ""
        unsung = "" if stand_in or SUNG not in system.what else _unsung(own)
        said = [
            f"{claim} ({system.what})",
            where + _same(random, train) + unsung if random.seeds else f"not run: {fill}",
            where + _honest(unseen) if unseen.seeds else f"not run: {fill}",
            _why(numbers, codes, fill if where else "", random.wa_seed_max, [leaky, _heard(system.corpus)], worth),
        ]
        rows.append(
            {"source": system.source, "system": _name(system), "corpus": scoring.title(system.corpus, system.sample)}
            | {"notebook": system.notebook, **dict(zip(SAID, said, strict=True)), **numbers}
        )
    return pd.DataFrame(rows)


def markdown(card: pd.Series) -> str:
    """One card as a Markdown table; its last line leads to the predictions and to the notebook."""
    file = f"{card.notebook}_predictions.parquet"
    lines = [
        f"| **{card.system}** | **{card.corpus}** |",
        "|---|---|",
        *(f"| {name} | {card[name]} |" for name in SAID),
    ]
    return "\n".join([*lines, f"| from | [{file}](../data/predictions/{file}), [notebook]({card.notebook}.ipynb) |"])


def _name(system) -> str:
    told = [scoring.model_name(system.model, system.start)]
    told += ["gender and emotion"] if system.task == "gender_emotion" else []
    told += [system.recipe.replace("_", " ")] if system.recipe != "default" else []
    return ", ".join(told)


def _scores(predictions: pd.DataFrame) -> pd.Series:
    """The score table's one row; without predictions all NaN, and no seeds."""
    if predictions.empty:
        return pd.Series(np.nan, index=scoring.SCORES).fillna({"seeds": 0})
    return scoring.scores(predictions, ["model"]).iloc[0]


def _same(random: pd.Series, train: pd.Series) -> str:
    spread = f" ({random.wa_seed_min:.1f} to {random.wa_seed_max:.1f})" if random.seeds > 1 else ""
    told = f"WA {random.wa:.1f}{spread}; {random.utterances:,} test clips, seeds: {random.seeds}"
    return told + (f"; on its training clips {train.wa:.1f}" if train.seeds else "")


def _honest(unseen: pd.Series) -> str:
    drawn = f" ({unseen.uar_low:.1f} to {unseen.uar_high:.1f}, 95 % over {unseen.interval_over}s)"
    told = f"UAR {unseen.uar:.1f}{drawn if unseen.interval_over else ''}, WA {unseen.wa:.1f}"
    return f"{told}; {unseen.utterances:,} clips, seeds: {unseen.seeds}"


def _fill(corpus: str, named: str = "") -> str:
    """The commands that put a corpus, or a pool of them, under a card."""
    fetch = " and ".join(f"`.venv/bin/serlib download {name}`" for name in corpus.split("+"))
    return f"`make report PROFILE=full` does it with {named or scoring.title(corpus)} at hand, for which see {fetch}"


def _unsung(own: pd.DataFrame) -> str:
    """Of predictions on RAVDESS, whose names say ``02`` in second place of a song: that there is none, if so."""
    sung = own.utterance.str.match(r"\d\d-02-").any()
    return "" if sung else f"; speech alone: {_fill('ravdess', 'the songs')}"


def _leaky(predictions: pd.DataFrame, system) -> str:
    """What the best model of notebook 15 whose test rows have siblings in training gets on the system's clips."""
    first = predictions.query("recipe == 'copies_before_split' and part == 'test' and task == 'emotion'")
    first = first[(first.train_corpora == system.corpus) & (first["sample"] == system.sample)]
    if first.empty:
        return ""
    best = 100 * (first.emotion == first.predicted).groupby(first.model).mean().max()
    alone = "" if system.task == "emotion" else " for the emotions alone"
    return f"copies made before the split give at most {best:.1f}{alone} (notebook 15)"


def _heard(corpus: str) -> str:
    """What people made of a corpus whose release says so."""
    heard = reliability.listeners().query("corpus == @corpus")
    return f"most listeners, hearing the voice alone, name {heard.wa.iloc[0]:.1f} % of its clips" if len(heard) else ""


def _augmented(predictions: pd.DataFrame) -> str:
    """What notebook 16 found CAEmoCyGAN to bring the CNN-LSTM, on real corpora where it was tried on one."""
    table = scoring.augmentations(predictions)
    gains = table.query("recipe == 'caemocygan' and model == 'cnn_lstm' and protocol == 'speaker_independent'")
    real = gains[gains.train_corpora != STAND_IN]
    told = [
        f"{row.gain:+.1f} points of UAR on {scoring.title(row.train_corpora, row.sample)} "
        f"({row.gain_low:.1f} to {row.gain_high:.1f}, 95 % over {row.interval_over}s)"
        for row in (gains if real.empty else real).itertuples()
    ]
    return f"augmentation of the paper's kind brings a CNN-LSTM {', '.join(told)} (notebook 16)" if told else ""


def _why(numbers: dict[str, float], codes: str, fill: str, best_seed: float, bounds: list[str], augmented: str) -> str:
    """What the numbers say about their distance; no cause that was not measured."""
    told = []
    above = numbers["random_wa"] - numbers["claim_wa"]
    if fill:
        told.append(f"another corpus than the claim's, which was not run: {fill}")
    elif abs(above) < 0.05:
        told.append("the same protocol gives what is claimed, to a tenth of a point")
    elif above > 0:
        told.append(f"the same protocol gives {above:.1f} points more than the claim")
    elif above < 0:
        told.append(f"the same protocol gives {-above:.1f} points less than the claim")
        told += (
            [f"training clips give {numbers['train_wa']:.1f}"] if numbers["train_wa"] > numbers["claim_wa"] - 1 else []
        )
        told += ["its best seed reaches it"] if best_seed >= numbers["claim_wa"] else filter(None, bounds)
    lost = numbers["random_uar"] - numbers["unseen_uar"]
    told += [] if np.isnan(lost) else [f"{lost:.1f} points of UAR are lost once the speaker is unseen"]
    told += [augmented] if augmented else []
    told += [f"in the paper's own numbers the audit finds {codes}"] if codes else []
    return "; ".join(told) or "nothing to compare"
