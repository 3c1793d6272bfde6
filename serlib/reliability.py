"""Predictions -> how far they may be relied on: calibration, what silence buys, and whom a model serves worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from serlib import metrics, scoring, trust
from serlib.corpora import REPOSITORY

ON = ["train_corpora", "sample", "protocol", "model", "start"]
FIT = ["notebook", "features", "recipe", "condition", "fold", "seed"]  # beyond `ON`: what one network is
LISTENERS = REPOSITORY / "data" / "listeners.csv"  # from serlib.sources.cremad_listeners
SPLITS = REPOSITORY / "data" / "splits"  # where ``serlib splits`` also writes who speaks
LEAST_SPEAKERS = 3  # of a group, for an interval over them
AGES = {"under 30": 0, "30 to 49": 30, "50 and over": 50}  # years; each from here up to the next


def calibrated(predictions: pd.DataFrame) -> pd.DataFrame:
    """Test rows of results, each with how sure its network was, before and after one temperature for each network.

    The temperature is that of the network's own validation clips (`serlib.trust.temperature`), which under unseen
    speakers are of other people than training and test clips, wherever there are three speakers or more. Models without
    validation clips (logistic regression and trees, which choose nothing) are left out.

    Returns
    -------
    DataFrame
        Columns `ON`, seed, corpus, speaker, right, p (probability of the answer given), p_cooled and temperature.
    """
    chosen = predictions.query(f"{scoring.RESULTS_OF_ANY_PART} and part in ['validation', 'test']")
    tables = []
    for _, run in chosen.groupby([*ON, *FIT], sort=False):
        validation, test = (run[run.part == part] for part in ("validation", "test"))
        if validation.empty or test.empty:
            continue
        classes = [name for name in run if name.startswith("p_") and run[name].notna().all()]
        p, of_validation = test[classes].to_numpy(), validation[classes].to_numpy()
        t = trust.temperature(of_validation, pd.Index(classes).get_indexer("p_" + validation.emotion.astype(str)))
        found = test[[*ON, "seed", "corpus", "speaker"]].assign(right=test.emotion == test.predicted)
        tables.append(found.assign(p=p.max(axis=1), p_cooled=trust.cooled(p, t).max(axis=1), temperature=t))
    columns = [*ON, "seed", "corpus", "speaker", "right", "p", "p_cooled", "temperature"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def calibration(answers: pd.DataFrame) -> pd.DataFrame:
    """How well probabilities tell what is right, and what is gained by giving only the surest answers.

    Parameters
    ----------
    answers : DataFrame
        From `calibrated`.

    Returns
    -------
    DataFrame
        Columns `ON`, seeds, clips (over seeds), wa, confidence and confidence_cooled (means, before and after the
        temperature), ece and ece_cooled (expected calibration error, likewise), temperature (median), wa_90 and wa_50
        (accuracy of the surest 90 and 50 % of answers), aurc (area under the risk-coverage curve); per cent but for
        the temperature.
    """
    rows = []
    for key, part in answers.groupby(ON, sort=False):
        right = part.right.to_numpy()
        curve = metrics.risk_coverage(part.p_cooled.to_numpy(), right)
        given = {
            f"wa_{share}": 100 - 100 * curve.risk[int(np.ceil(share / 100 * len(curve))) - 1] for share in (90, 50)
        }
        rows.append(
            dict(zip(ON, key, strict=True))
            | {"seeds": part.seed.nunique(), "clips": len(part), "wa": 100 * right.mean()}
            | {"confidence": 100 * part.p.mean(), "confidence_cooled": 100 * part.p_cooled.mean()}
            | {"ece": 100 * metrics.ece(part.p, right), "ece_cooled": 100 * metrics.ece(part.p_cooled, right)}
            | {"temperature": part.temperature.median(), **given, "aurc": 100 * curve.risk.mean()}
        )
    columns = [*ON, "seeds", "clips", "wa", "confidence", "confidence_cooled", "ece", "ece_cooled", "temperature"]
    columns += ["wa_90", "wa_50", "aurc"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["model", "start"], key=scoring.course_order, kind="stable", ignore_index=True)


def groups(predictions: pd.DataFrame, speakers: pd.DataFrame | None = None) -> pd.DataFrame:
    """UAR on unseen speakers by gender and by age, of clips from corpora that have several groups.

    All of TESS is female and all of SAVEE male, so in a pool these two would compare corpora. A corpus counts where at
    least `LEAST_SPEAKERS` of its test speakers belong to each of two groups.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.
    speakers : DataFrame, optional
        Columns corpus, speaker, gender, age (years); by default those of ``data/splits/*_speakers.csv``.

    Returns
    -------
    DataFrame
        Columns `ON`, by (gender or age), group, speakers (how many), then those of `serlib.scoring.scores`.
    """
    if speakers is None:
        speakers = pd.concat([pd.read_csv(path, dtype={"speaker": str}) for path in SPLITS.glob("*_speakers.csv")])
    ages = pd.cut(speakers.age.astype(float), [*AGES.values(), np.inf], right=False, labels=list(AGES))
    known = speakers.assign(age=ages.astype(object))
    chosen = predictions.query(f"{scoring.RESULTS} and protocol == 'speaker_independent' and model != 'corpus_only'")
    chosen = chosen.merge(known, on=["corpus", "speaker"], how="left")
    order = {name: k for k, name in enumerate((*AGES, "female", "male"))}  # others come last
    tables = []
    for by in ("gender", "age"):
        counts = chosen.groupby(["corpus", by]).speaker.nunique()
        large = counts[counts >= LEAST_SPEAKERS].reset_index()
        large = large[large.groupby("corpus")[by].transform("size") > 1]  # corpora in which groups can be compared
        of = chosen.merge(large[["corpus", by]], on=["corpus", by]).rename(columns={by: "group"})
        n = of.assign(speaker=of.corpus + of.speaker).groupby([*ON, "group"]).speaker.nunique().rename("speakers")
        table = scoring.scores(of, [*ON, "group"]).merge(n.reset_index(), on=[*ON, "group"]).assign(by=by)
        tables.append(table.sort_values("group", key=lambda g: g.map(order), kind="stable"))
    found = pd.concat(tables, ignore_index=True)
    found = found.sort_values(["model", "start"], key=scoring.course_order, kind="stable", ignore_index=True)
    return found[[*ON, "by", "group", "speakers", *scoring.SCORES]]


def listeners(path: Path = LISTENERS) -> pd.DataFrame:
    """How often people who heard the clips of a release, voice alone, voted for the emotion that was acted.

    Returns
    -------
    DataFrame
        Columns corpus, clips, uar and wa of the emotion with most votes, per cent; a tie shares its clip.
    """
    rows = []
    for corpus, votes in pd.read_csv(path).groupby("corpus"):
        emotions = sorted(set(votes.true) | set(votes.heard))
        counts = votes.pivot_table(index="true", columns="heard", values="clips")
        counts = counts.reindex(index=emotions, columns=emotions).fillna(0).to_numpy()
        rows.append((corpus, round(counts.sum()), 100 * metrics.uar(counts), 100 * metrics.wa(counts)))
    return pd.DataFrame(rows, columns=["corpus", "clips", "uar", "wa"])
