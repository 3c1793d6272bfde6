"""Predictions -> tables of scores."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from serlib import claims, metrics
from serlib.records import ABOUT
from serlib.sources import plain_name
from serlib.splits import PROTOCOLS

#: Plain names of the models, in the order in which the course meets them.
MODELS = {
    "corpus_only": "corpus alone (hears nothing)",
    "logistic_regression": "logistic regression",
    "cnn": "CNN",
    "lstm_traditional": "LSTM, traditional (77,160 parameters)",
    "lstm_modified": "LSTM, modified (305,799 parameters)",
    "lstm": "LSTM over frames",
    "cnn_lstm": "CNN-LSTM",
    "cnn1d_lstm": "1-D CNN-LSTM",
    "decision_tree": "decision tree",
    "random_forest": "random forest",
    "svm": "SVM, tuned",
    "tuned_logistic_regression": "logistic regression, tuned",
    "vit": "ViT",
    "ast": "AST (overlapping patches)",
    "beit": "BEiT",
    "densenet_mfcc": "DenseNet and MFCC, fused",
    "densenet": "DenseNet alone",
    "mfcc_dense": "MFCC alone (dense network)",
    "multiscale_lstm": "multiscale LSTM (scores fused)",
    "windowed_cnn_lstm": "CNN-LSTM on windows",
    "cnn1d": "1-D CNN",
    "recogniser": "stronger recogniser",
    "recogniser_ensemble": "ensemble of stronger recognisers",
    "speech_svm": "SVM on statistics of the speech",
    "recogniser_speech_svm": "stronger recogniser and SVM",
    "recogniser_speech_svm_ensemble": "ensemble of stronger recognisers and SVMs",
}
#: Plain names of the protocols, for titles and headings.
PLAIN = {
    "random": "random split",
    "text_independent": "unseen texts",
    "speaker_independent_adapted": "unseen speakers, about their own mean",
    "speaker_independent": "unseen speakers",
    "speaker_text_independent": "unseen speakers and texts",
    "cross_corpus": "another corpus",
}
#: Rungs of the ladder of notebook 15, the least honest first: two recipes that leak, then the protocols.
RUNGS = {
    "copies_before_split": "copies made before the split",
    "chosen_on_test": "test set picks the checkpoint",
    **{name: plain for name, plain in PLAIN.items() if name in PROTOCOLS},
}
#: Plain names of what notebook 16 does to training rows.
AUGMENTATIONS = {
    "none": "nothing",
    "noise": "a noisy copy of each clip",
    "stretch": "a faster or slower copy of each clip",
    "formants": "a copy with other formants of each clip",
    "specaugment": "SpecAugment",
    "mel_warp": "mel axis warped",
    "image_shift": "shifted in time and frequency",
    "mixup": "mixup",
    "smote": "SMOTE",
    "caemocygan": "CAEmoCyGAN",
    "smote_alone": "rows of SMOTE alone",
    "caemocygan_alone": "rows of CAEmoCyGAN alone",
}
#: Plain names of what it disturbs test clips with, by the first word of the condition, and the unit of the amount.
DISTURBANCES = {"white": ("white noise", "dB"), "babble": ("babble", "dB"), "reverberation": ("reverberation", "s")}
#: What notebook 18 takes away from its recogniser, one at a time, in the order in which it introduces them.
IDEAS = {
    "level": "level relative to the loudest",
    "spectrum": "70 % of the mean spectrum removed",
    "stretch": "stretched in time",
    "mel_warp": "mel axis warped",
    "masks": "bands and stretches of time masked",
    "mixup": "mixup",
    "even_corpora": "corpora drawn more evenly",
    "attention": "attention pooling",
    "hearings": "six hearings of a clip",
    "statistics": "an SVM on statistics, asked too",
}
#: How much of a test speaker may be measured beforehand, in the order in which notebook 19 asks.
HEARD = ("nothing", "any", "all", "neutral")
#: Plain names of what models are fed; several are joined by ``+``.
FEATURES = {
    "log_mel": "log-mel",
    "mfcc": "MFCC",
    "chroma": "chroma",
    "contrast": "spectral contrast",
    "zcr": "zero-crossing rate",
    "log_mel_deltas": "log-mel with deltas",
    "mfcc_functionals": "functionals of MFCCs",
    "mean_mfcc": "averaged MFCCs",
    "functionals": "our functionals",
    "eGeMAPSv02": "eGeMAPS",
    "ComParE_2016": "ComParE",
    "averages": "averages over time",
    "pitch": "pitch",
}
STARTS = {"scratch": "", "pretrained": ", pre-trained here", "published": ", published weights"}
RUN = [name for name in (*ABOUT, "part") if name not in ("fold", "seed")]  # what one row of a score table is about
MOST_SPEAKERS = 10  # that get a column of their own
SCORES = ["seeds", "utterances", "uar", "uar_low", "uar_high", "interval_over", "uar_seed_min", "uar_seed_max"]
SCORES += ["wa", "wa_seed_min", "wa_seed_max", "macro_precision", "macro_f1", "constant_wa"]
ANSWER = ["seed", "corpus", "utterance"]  # what a model has one answer about
AUGMENTED = "notebook == '16_augmentation' and part == 'test' and role == 'ablation'"
RESULTS_OF_ANY_PART = "role == 'result' and task == 'emotion' and label_share == 1"
RESULTS = f"part == 'test' and {RESULTS_OF_ANY_PART}"  # what is compared
FED = "part == 'test' and role in ['result', 'ablation'] and task == 'emotion' and label_share == 1"
FED += " and recipe == 'default' and condition == 'clean'"  # results, and the same models fed with other features


def model_name(model: str, start: str = "scratch", features: str = "") -> str:
    """Plain name of a model, such as *BEiT, pre-trained here*, and of what it is fed where that has to be told."""
    return MODELS.get(model, model) + STARTS[start] + (f", {features_name(features)}" if features else "")


def file_name(model: str, start: str = "scratch") -> str:
    """The same in files: ``cnn``, ``beit_pretrained``."""
    return model if start == "scratch" else f"{model}_{start}"


def features_name(features: str) -> str:
    """Plain names of what a model is fed, such as *chroma, MFCC* or *segments of 0.32, 0.64 s*."""
    if lengths := re.findall(r"segments_(\d+)ms", features):  # notebook 12's
        return f"segments of {', '.join(f'{int(ms) / 1000:g}' for ms in lengths)} s"
    return ", ".join(FEATURES.get(name, name.replace("_", " ")) for name in features.split("+"))


def protocols_of(table: pd.DataFrame) -> list[str]:
    """The protocols that a table has, in the order of `PLAIN`."""
    return [protocol for protocol in PLAIN if protocol in set(table.protocol)]


def confusions(predictions: pd.DataFrame, *axes: str | list[str]) -> tuple[np.ndarray, list[str]]:
    """Confusion matrix of some predictions, or one for each value of a column, or each meeting of several.

    Parameters
    ----------
    predictions : DataFrame
    axes : str or list of str
        Each is a column, or columns whose values together make one.

    Returns
    -------
    counts : ndarray of int, shape (n_classes, n_classes), with the length of each axis before
        Values that do not meet have zeros; rows without a value count nowhere.
    classes : list of str
    """
    classes = sorted(set(predictions.emotion) | set(predictions.predicted))
    groups = [predictions.groupby(axis) for axis in axes]
    at = [group.ngroup() for group in groups]
    at += [pd.Categorical(predictions[c], classes).codes for c in ("emotion", "predicted")]
    known = np.all([np.asarray(rows) >= 0 for rows in at], axis=0)
    counts = np.zeros((*(group.ngroups for group in groups), len(classes), len(classes)), int)
    np.add.at(counts, tuple(np.asarray(rows)[known] for rows in at), 1)
    return counts, classes


def scores(predictions: pd.DataFrame, by: Sequence[str] = RUN) -> pd.DataFrame:
    """UAR, WA, macro-precision and macro-F1 (%), pooled over seeds and folds, with an interval and seed spread.

    A class that was never predicted has a precision of 0, as in scikit-learn. The interval is a bootstrap over test
    speakers; with fewer than three of them, over texts, and then it says nothing about other speakers (column
    ``interval_over``). Where texts are not known either, there is none. Seeds, where there are several, are drawn too
    (`serlib.metrics.interval`).

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.
    by : sequence of str
        Columns that tell one row of the result from the next.

    Returns
    -------
    DataFrame
        The columns `by`, then `SCORES`; models in the order of the course.
    """
    rows = []
    for key, part in predictions.groupby(list(by), sort=False, dropna=False):
        counts, _ = confusions(part)
        by_seed, _ = confusions(part, "seed")
        spread = {
            f"{name}_seed_{bound.__name__}": 100 * bound(statistic(by_seed))
            for name, statistic in (("uar", metrics.uar), ("wa", metrics.wa))
            for bound in (min, max)
        }
        precision = np.nan_to_num(metrics.precision(counts))  # 0 for a class that was never predicted
        unit, columns = _interval_over(part)
        low, high = metrics.interval(confusions(part, columns, "seed")[0], seeds=True) if unit else (np.nan, np.nan)
        rows.append(
            dict(zip(by, key, strict=True))
            | {"seeds": part.seed.nunique(), "utterances": part.utterance.nunique()}
            | {"uar": 100 * metrics.uar(counts), "uar_low": 100 * low, "uar_high": 100 * high, "interval_over": unit}
            | {"wa": 100 * metrics.wa(counts)}
            | spread
            | {"macro_precision": 100 * precision.mean(), "macro_f1": 100 * metrics.macro_f1(counts)}
            | {"constant_wa": 100 * metrics.constant_wa(counts)}
        )
    table = pd.DataFrame(rows, columns=[*by, *SCORES])
    return table.sort_values("model", key=course_order, kind="stable", ignore_index=True) if "model" in by else table


def _interval_over(predictions: pd.DataFrame) -> tuple[str | None, list[str]]:
    """What an interval draws, and its columns: speakers; texts where these are fewer than three and texts are known.

    Two corpora may each have a speaker or a text of the same name, so the corpus is part of either.
    """
    if len(predictions[["corpus", "speaker"]].drop_duplicates()) >= 3:
        return "speaker", ["corpus", "speaker"]
    return ("text", ["corpus", "text"]) if predictions.text.notna().all() else (None, [])


def course_order(models: pd.Series) -> pd.Series:
    """Sort key: the order of `MODELS` and `STARTS`, then any others."""
    return models.map({name: k for k, name in enumerate((*STARTS, *MODELS))}).fillna(len(MODELS) + len(STARTS))


def results(predictions: pd.DataFrame, corpus: str, sample: str = "all") -> pd.DataFrame:
    """One row a model: the paper's claim, WA and UAR under `random`, UAR on unseen speakers, the constant answer.

    Per cent throughout, of test rows only; emotions alone, all labels.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.
    corpus : str
        What the models were trained on, ``train_corpora``.
    sample : str
        Which clips of it, see `serlib.records.sample_name`.

    Returns
    -------
    DataFrame
        A row a model, in the order of the course (of those asked under other protocols alone only where there is no
        other); of several claims about one the highest. constant_wa is the same in
        all rows, of the test clips of a model with most seeds.
    """
    on = ["model", "start"]
    chosen = predictions.query(RESULTS).query("sample == @sample and train_corpora == @corpus")
    claimed = claims.systems().query("corpus == @corpus and sample == @sample and task == 'emotion'")
    claimed = claimed.sort_values("wa", na_position="first", kind="stable")
    claimed = claimed.drop_duplicates(on, keep="last").set_index(on)
    random = scores(chosen.query("protocol == 'random'"), on).set_index(on)
    asked = chosen[chosen.protocol.isin(["random", "speaker_independent"])]
    models = (asked if len(asked) else chosen)[on].drop_duplicates().sort_values(on, key=course_order)
    table = pd.DataFrame(index=pd.MultiIndex.from_frame(models))
    table["claim_wa"] = claimed.wa
    table["source"] = claimed.source
    for column in ("wa", "wa_seed_min", "wa_seed_max", "uar"):
        table[f"random_{column}"] = random[column]
    unseen = chosen.query("protocol == 'speaker_independent'")
    across = scores(unseen, on).set_index(on)
    for column in ("uar", "uar_low", "uar_high", "interval_over"):
        table[f"unseen_{column}"] = across[column]
    speakers = unseen.groupby(["corpus", "speaker"])
    for (home, speaker), part in speakers if speakers.ngroups <= MOST_SPEAKERS else []:
        of_speaker = scores(part, on).set_index(on)
        name = speaker if home == corpus else f"{home} {speaker}"  # of a pool
        for column in ("uar", "uar_seed_min", "uar_seed_max"):
            table[f"unseen_{name}_{column}"] = of_speaker[column]
    most = random.sort_values("seeds", kind="stable").tail(1)  # none where nothing was run under `random`
    table["constant_wa"] = most.constant_wa.max()
    table["constant_uar"] = 100 / chosen.emotion.nunique()
    return table.reset_index()


def by_emotion(predictions: pd.DataFrame) -> pd.DataFrame:
    """How well each model finds each emotion, for every training set and protocol.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, protocol, model, start, emotion, clips (tested, over seeds), precision, recall
        and f1 (per cent), models in the order of the course. Results alone, of test clips.
    """
    on = ["train_corpora", "sample", "protocol", "model", "start"]
    tables = []
    for key, part in predictions.query(RESULTS).groupby(on, sort=False):
        table = metrics.per_class(*confusions(part)).reset_index().rename(columns={"support": "clips"})
        table = table.fillna({"precision": 0})  # of an emotion that was never answered, as in `scores`
        table[["precision", "recall", "f1"]] *= 100
        tables.append(table.assign(**dict(zip(on, key, strict=True))))
    columns = [*on, "emotion", "clips", "precision", "recall", "f1"]
    table = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    return table.sort_values(["model", "start"], key=course_order, kind="stable", ignore_index=True)


def fed(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores of the models that were given several kinds of features on one corpus, a row for each kind.

    Columns train_corpora, sample, protocol, model, features, then `SCORES`; emotions alone, plain recipe, test rows.
    """
    on = ["train_corpora", "sample", "protocol", "model", "features"]
    chosen = predictions.query(FED)
    several = chosen.groupby(["train_corpora", "sample", "model"]).features.transform("nunique") > 1
    return scores(chosen[several], on)


def ladder(predictions: pd.DataFrame) -> pd.DataFrame:
    """What scores are made of: those of each model on every rung of `RUNGS` that it stands on.

    Notebook 15 climbs with one recipe (copies of training clips); of other notebooks, results under a protocol count.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, model, start, features, rung, step (points of UAR from the rung before that this
        model stands on), constant_uar, then `SCORES`. Models in the order of the course, their rungs in that of
        `RUNGS`; utterances counts rows, where copies are tested too.
    """
    on = ["train_corpora", "sample", "model", "start", "features"]
    climbing = ["copies", *(rung for rung in RUNGS if rung not in PLAIN)]
    climbed = predictions.role.eq("ablation") & predictions.recipe.isin(climbing)
    plain = "part == 'test' and task == 'emotion' and label_share == 1 and condition == 'clean'"
    chosen = predictions[climbed | predictions.role.eq("result")].query(plain)
    chosen = chosen.assign(rung=chosen.recipe.where(chosen.recipe.isin(RUNGS), chosen.protocol))
    chosen = chosen[chosen.rung.isin(RUNGS)]  # who heard the speaker before stands on no rung
    table = scores(chosen, [*on, "rung"])
    emotions = chosen.groupby([*on, "rung"], dropna=False).emotion.nunique().rename("n_emotions").reset_index()
    table = table.merge(emotions, on=[*on, "rung"], how="left")
    order = table.rung.map({rung: k for k, rung in enumerate(RUNGS)})
    table = table.assign(order=order, place=table.groupby(on, sort=False).ngroup())
    table = table.sort_values(["place", "order"], ignore_index=True)
    steps = table.groupby(on, sort=False).uar.diff()
    table = table.assign(step=steps, constant_uar=100 / table.n_emotions)
    return table[[*on, "rung", "step", "constant_uar", *SCORES]]


def compare(predictions: pd.DataFrame) -> pd.DataFrame:
    """Every two results on one corpus under one protocol: their difference in UAR, and what chance would give.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        A row for each pair that answered about the same clips under the same seeds; columns train_corpora, sample,
        protocol, a, b (plain names), difference (points of UAR, a minus b) with its 95 % interval low to high, over
        (what interval and test draw, see `scores`), groups (how many), p (`metrics.permutation_test`), p_holm (adjusted
        for all pairs of this corpus and protocol) and p_mcnemar (of the lowest seed that both have).
    """
    rows = []
    of = ["train_corpora", "sample", "protocol"]
    for on, part in predictions.query(RESULTS).groupby(of, sort=False):
        models = part[["model", "start"]].drop_duplicates().sort_values(["model", "start"], key=course_order)
        answers = {
            (model, start): part[(part.model == model) & (part.start == start)].set_index(ANSWER)
            for model, start in models.itertuples(index=False)
        }
        pairs = []
        for one, other in itertools.combinations(answers, 2):
            a, b = _shared(answers[one], answers[other])
            if a.empty:
                continue
            first = a.seed == a.seed.min()
            right_a, right_b = ((t.emotion == t.predicted)[first].to_numpy() for t in (a, b))
            pairs.append(
                dict(zip(of, on, strict=True))
                | {"a": model_name(*one), "b": model_name(*other), **_difference(a, b)}
                | {"p_mcnemar": metrics.mcnemar(right_a, right_b)}
            )
        rows += _adjusted(pairs)
    columns = [*of, "a", "b", "difference", "low", "high", "over", "groups", "p", "p_holm", "p_mcnemar"]
    return pd.DataFrame(rows, columns=columns)


def augmentations(predictions: pd.DataFrame) -> pd.DataFrame:
    """What notebook 16 found each way to change training rows to be worth, beside the rows as they are.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, protocol, model, features, recipe, then `SCORES`; rare_uar (%, the mean recall of
        emotions with less than nine tenths of the average one's clips; missing where there are none); gain (points of
        UAR over recipe ``none``, on the same clips under the same seeds) with its 95 % interval gain_low to gain_high;
        p_holm (`serlib.metrics.permutation_test`, adjusted for the recipes of one classifier). Recipes in the order of
        `AUGMENTATIONS`.
    """
    on = ["train_corpora", "sample", "protocol", "model", "features"]
    chosen = predictions.query(f"{AUGMENTED} and condition == 'clean'")
    chosen = chosen.sort_values("recipe", key=lambda names: names.map(list(AUGMENTATIONS).index), kind="stable")
    rows = []
    for key, part in chosen.groupby(on, sort=False):
        answers = {recipe: one.set_index(ANSWER) for recipe, one in part.groupby("recipe", sort=False)}
        clips = part.drop_duplicates(["corpus", "utterance"]).emotion.value_counts()
        rare = clips.index[clips < 0.9 * clips.mean()]
        found = []
        for recipe, one in answers.items():
            counts, emotions = confusions(one)
            few = np.isin(emotions, rare)
            row = {"recipe": recipe, "rare_uar": 100 * metrics.recall(counts)[few].mean() if any(few) else np.nan}
            if recipe != "none" and "none" in answers:
                told = _difference(*_shared(one, answers["none"]))
                row |= {"gain": told["difference"], "gain_low": told["low"], "gain_high": told["high"], "p": told["p"]}
            found.append(dict(zip(on, key, strict=True)) | row)
        rows += [row for row in found if "p" not in row] + _adjusted([row for row in found if "p" in row])
    columns = [*on, "recipe", "rare_uar", "gain", "gain_low", "gain_high", "p_holm"]
    table = scores(chosen, [*on, "recipe"]).merge(pd.DataFrame(rows, columns=columns), on=[*on, "recipe"])
    return table[[*on, "recipe", *SCORES, *columns[len(on) + 1 :]]]


def robustness(predictions: pd.DataFrame) -> pd.DataFrame:
    """What notebook 16 found disturbances of test clips to cost, with training clips as they are and with noisy copies.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, protocol, model, features, recipe (``none`` or ``noise``), condition, disturbance
        (a key of `DISTURBANCES`, or ``clean``), amount (dB or s; missing for ``clean``), constant_uar, then
        `SCORES`. Only of classifiers that were asked about disturbed clips.
    """
    on = ["train_corpora", "sample", "protocol", "model", "features", "recipe"]
    chosen = predictions.query(f"{AUGMENTED} and recipe in ['none', 'noise']")
    chosen = chosen[chosen.groupby(on).condition.transform("nunique") > 1]
    table = scores(chosen, [*on, "condition"])
    told = table.condition.str.split("_", expand=True).reindex(columns=[0, 1])
    table = table.assign(disturbance=told[0], amount=pd.to_numeric(told[1]))
    emotions = chosen.groupby(on[:3]).emotion.nunique().rename("n_emotions")
    table["constant_uar"] = 100 / table[on[:3]].join(emotions, on=on[:3]).n_emotions
    return table[[*on, "condition", "disturbance", "amount", "constant_uar", *SCORES]]


def ideas(predictions: pd.DataFrame) -> pd.DataFrame:
    """What each idea of notebook 18 is worth, corpus by corpus: UAR of its recogniser less that of one without it.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, protocol, corpus (of the test clips), complete (UAR in per cent of the complete
        recipe), idea (a key of `IDEAS`), worth (points) with its 95 % interval low to high, over (what that and the
        test draw, see `scores`), groups (how many), p_holm (`serlib.metrics.permutation_test`, adjusted for the ideas
        tried on one corpus).
    """
    on = ["train_corpora", "sample", "protocol", "corpus"]
    chosen = predictions.query("notebook == '18_stronger_recogniser' and part == 'test' and role == 'ablation'")
    rows = []
    for key, part in chosen.groupby(on, sort=False):
        answers = {recipe: one.set_index(ANSWER) for recipe, one in part.groupby("recipe")}
        found = []
        for idea in [name for name in IDEAS if f"without_{name}" in answers]:
            a, b = _shared(answers["complete"], answers[f"without_{idea}"])
            complete = {"complete": 100 * metrics.uar(confusions(a)[0]), "idea": idea}
            found.append(dict(zip(on, key, strict=True)) | complete | _difference(a, b))
        rows += _adjusted(found)
    columns = [*on, "complete", "idea", "difference", "low", "high", "over", "groups", "p_holm"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"difference": "worth"})


def each_corpus(predictions: pd.DataFrame) -> pd.DataFrame:
    """The same models on every corpus by itself, and on each when training had nothing of it.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns corpus (of the test clips), model, start, protocol, constant_uar, then `SCORES`. Under `cross_corpus` a
        model has learned from all clips of the other corpora, under the other protocols from this one alone; models
        that were never asked about another corpus are left out.
    """
    tested = predictions.query(f"{RESULTS} and sample == 'all'")
    crossed = tested[tested.protocol == "cross_corpus"]
    alone = tested[(tested.train_corpora == tested.corpus) & tested.corpus.isin(crossed.corpus)]
    chosen = pd.concat([alone, crossed]).merge(crossed[["model", "start"]].drop_duplicates())
    on = ["corpus", "model", "start", "protocol"]
    constant = 100 / chosen.groupby(["corpus", "protocol"]).emotion.nunique().rename("constant_uar")
    table = scores(chosen, on).join(constant, on=["corpus", "protocol"])
    return table[[*on, "constant_uar", *SCORES]].sort_values("corpus", kind="stable", ignore_index=True)


def published(predictions: pd.DataFrame) -> pd.DataFrame:
    """The best published UAR on unseen speakers of each corpus (`serlib.claims.published`), and ours beside it.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        A row for each way to train: columns corpus (of the test clips), train_corpora, sample, model, then `SCORES`,
        small and large (the published UAR in per cent: hand-crafted features or small networks, and large networks
        pre-trained on other speech), small_by and large_by (model and source). Of ours, the stronger recogniser of
        notebook 18, the `ensemble` of its seeds, where there are several (seeds then counts its networks), and the best
        of the other models, whatever they were fed or trained on, that were tested on all clips of the corpus; features
        is empty for a model that was fed one kind only.
    """
    printed = claims.published().sort_values("uar").groupby(["corpus", "kind"], sort=False).last()
    tested = predictions.query(f"{FED} and protocol == 'speaker_independent'")
    several = tested.groupby("model").features.transform("nunique") > 1
    tested = tested.assign(features=tested.features.where(several, ""))
    on = ["train_corpora", "sample", "model", "start", "features"]
    columns = ["corpus", *on, *SCORES, "small", "small_by", "large", "large_by"]
    tables = [pd.DataFrame(columns=columns)]
    for corpus in [name for name in printed.index.unique("corpus") if name in set(tested.corpus)]:
        of_corpus = tested[tested.corpus == corpus]
        together = scores(ensemble(of_corpus[of_corpus.model == "recogniser"]), [*on, "networks"])
        together = together.drop(columns="seeds").rename(columns={"networks": "seeds"})
        table = pd.concat([part for part in (scores(of_corpus, on), together) if len(part)])
        table = table[table.utterances == table.utterances.max()]  # fewer clips are another test
        ours = table.model.str.startswith("recogniser")
        own = table[ours].sort_values("train_corpora", key=lambda names: names.str.len(), kind="stable")
        told: dict[str, object] = {"corpus": corpus}
        for kind, of in printed.loc[corpus].iterrows():
            source = f"{of.source}, speakers normalised" if of.speakers else of.source
            told |= {str(kind): of.uar, f"{kind}_by": f"{of.model} ({source})"}
        tables.append(pd.concat([table[~ours].nlargest(1, "uar"), own]).assign(**told))
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True).reindex(columns=columns)


def ensemble(predictions: pd.DataFrame) -> pd.DataFrame:
    """What the networks of several seeds answer together: the mean of their probabilities.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        As `predictions`, without fold; model ends in ``_ensemble``, seed is 0, networks says how many seeds were
        averaged. A row for each clip that all seeds of a model were asked about; none of a model with one seed.

    References
    ----------
    Lakshminarayanan, Pritzel, Blundell (2017). Simple and scalable predictive uncertainty estimation using deep
    ensembles. NeurIPS.
    """
    p = [name for name in predictions if name.startswith("p_")]
    networks = predictions.groupby(RUN, dropna=False).seed.transform("nunique")
    clip = [*RUN, "corpus", "utterance", "speaker", "text", "emotion", "networks"]
    clips = predictions.assign(networks=networks).groupby(clip, dropna=False, sort=False)
    table = clips[p].mean().assign(asked=clips.seed.nunique()).reset_index()
    table = table.query("asked == networks and networks > 1").drop(columns="asked")
    predicted = table[p].idxmax(axis=1).str.removeprefix("p_") if len(table) else ""
    return table.assign(model=table.model + "_ensemble", seed=0, predicted=predicted)


def with_recogniser(predictions: pd.DataFrame) -> pd.DataFrame:
    """What notebook 18's recogniser and notebook 19's SVM about each speaker's own mean answer together.

    The mean of the logarithms of their probabilities, of networks and machines of the same fold and seed: each had the
    same clips for training. The recogniser knows nothing of the speaker; the SVM does, so both together do.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        As `predictions`, model ``recogniser_speech_svm``, a row for each clip that both were asked about.
    """
    p = [name for name in predictions if name.startswith("p_")]
    on = ["train_corpora", "sample", "fold", "seed", "corpus", "utterance"]
    networks = predictions.query(f"{RESULTS} and model == 'recogniser' and protocol == 'speaker_independent'")
    machines = predictions.query("model == 'speech_svm' and protocol == 'speaker_independent_adapted'")
    table = machines.merge(networks[[*on, *p]], on=on, suffixes=("", "_network"))
    of_both = (table[[name + suffix for name in p]].to_numpy(float) + 1e-4 for suffix in ("", "_network"))
    product = np.nan_to_num(np.sqrt(np.multiply(*of_both)))  # an emotion that one of them does not know gets nothing
    table[p] = product / product.sum(axis=1, keepdims=True)
    predicted = table[p].idxmax(axis=1).str.removeprefix("p_") if len(table) else ""
    return table.assign(model="recogniser_speech_svm", predicted=predicted)[predictions.columns]


def own_mean(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores on unseen speakers by what was heard of each of them before, without its emotion (notebook 19).

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, corpus (of the test clips), model, heard (``nothing``, ``any_5``, ``all``,
        ``neutral_5``: how many clips, and which), `SCORES`, then gain: points of UAR above the same model that has
        heard nothing, over clips and seeds that both were asked about, with its 95 % interval gain_low to gain_high
        and gain_p (`serlib.metrics.permutation_test`). Of what answers together, the recogniser has heard nothing.
    """
    on = ["train_corpora", "sample", "corpus", "model", "heard"]
    alone = predictions.query(f"{RESULTS} and protocol == 'speaker_independent'")
    alone = alone[alone.model.isin(["recogniser", "speech_svm"])]
    adapted = predictions.query("part == 'test' and protocol == 'speaker_independent_adapted'")
    both = with_recogniser(predictions)
    alone = pd.concat([alone, ensemble(alone.query("model == 'recogniser'"))]).assign(heard="nothing")
    adapted = pd.concat([adapted, both, ensemble(both.query("role == 'result'"))])
    tested = pd.concat([alone, adapted.assign(heard=adapted.recipe.replace("default", "all"))], ignore_index=True)
    tested = tested.merge(tested.loc[tested.model == "speech_svm", on[:3]].drop_duplicates())  # where notebook 19 was
    table = scores(tested, on)
    answers = {key: part.set_index(ANSWER) for key, part in tested.groupby(on)}
    gains = []
    for row in table[on].itertuples(index=False):
        start = (*row[:3], row.model.replace("recogniser_speech_svm", "recogniser"), "nothing")
        gain = _difference(*_shared(answers[tuple(row)], answers[start])) if row.heard != "nothing" else {}
        gains.append(
            {"gain": gain.get("difference")} | {f"gain_{name}": gain.get(name) for name in ("low", "high", "p")}
        )
    table = table.join(pd.DataFrame(gains, dtype=float))

    def place(column: pd.Series) -> pd.Series:
        if column.name == "heard":
            return column.map(lambda heard: 1000 * HEARD.index(heard.split("_")[0]) + int(heard.partition("_")[2] or 0))
        return course_order(column) if column.name == "model" else column

    return table.sort_values(on, key=place, ignore_index=True)


def _shared(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What two tables with index `ANSWER` say about the same clips under the same seeds, in the same order."""
    shared = a.index.intersection(b.index)
    return a.loc[shared].reset_index(), b.loc[shared].reset_index()


def _difference(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, Any]:
    """UAR of two tables of answers about the same clips: the difference, its interval (drawing groups and seeds), p
    (drawing groups), and over what groups."""
    over, columns = _interval_over(a)
    both = pd.concat([a.assign(of=0, all=0), b.assign(of=1, all=0)], ignore_index=True)
    counts, _ = confusions(both, columns or "all", "seed", "of")  # (n_groups, n_seeds, 2, n_classes, n_classes)

    def gap(counts):
        return 100 * (metrics.uar(counts[..., 0, :, :]) - metrics.uar(counts[..., 1, :, :]))

    low, high = metrics.interval(counts, gap, seeds=True)
    of_groups = counts.sum(axis=1)
    p = metrics.permutation_test(of_groups[:, 0], of_groups[:, 1])
    whole = gap(counts.sum(axis=(0, 1)))
    return {"difference": whole, "low": low, "high": high, "over": over, "groups": len(counts), "p": p}


def _adjusted(rows: list[dict]) -> list[dict]:
    """The rows of one family of tests, each with its p adjusted by Holm."""
    return [row | {"p_holm": p} for row, p in zip(rows, metrics.holm([row["p"] for row in rows]), strict=True)]


def unseen_columns(table: pd.DataFrame) -> dict[str, str]:
    """Columns of a results table that hold UAR on unseen speakers: on each where they are few, else on all."""
    matches = [match for match in (re.fullmatch(r"unseen_(.+)_uar", str(column)) for column in table) if match]
    if matches:
        return {f"unseen speaker {match[1]}": match[0] for match in matches}
    return {"unseen speakers": "unseen_uar"}


def bounded(value: float, low: float = np.nan, high: float = np.nan, over: str | None = None, *, sign: str = "") -> str:
    """A number with its bounds and what these draw, such as *52.4 (39.7 to 65.1, speakers)*.

    A dash where it is missing; no bounds where these are missing. `sign` may be ``+``.
    """
    if pd.isna(value):
        return "–"
    told = f"{value:{sign}.1f}"
    return told if pd.isna(low) else f"{told} ({low:.1f} to {high:.1f}{f', {over}s' if over else ''})"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The results table as text, as README and papers show it: per cent, one decimal, plain names.

    In brackets: the lowest and highest seed; where unseen speakers share one column, the 95 % interval over them.
    """
    unseen = unseen_columns(table)
    head = ["model", "paper's claim (WA)", "`random`: WA", "`random`: UAR", *(f"{name}: UAR" for name in unseen)]

    def ranged(row: dict, column: str, *ends: str) -> str:
        low, high = (row[column + end] for end in ends)
        return bounded(row[column], *((low, high) if f"{low:.1f}" != f"{high:.1f}" else ()))

    rows = []
    for row in table.to_dict("records"):
        claim = "–" if pd.isna(row["claim_wa"]) else f"{row['claim_wa']:.2f} `{row['source']}`"
        cells = [model_name(row["model"], row["start"]), claim]
        cells += [ranged(row, "random_wa", "_seed_min", "_seed_max"), bounded(row["random_uar"])]
        for column in unseen.values():
            ends = ("_low", "_high") if column == "unseen_uar" else ("_seed_min", "_seed_max")
            cells.append(ranged(row, column, *ends))
        rows.append(cells)
    constant = [bounded(table.constant_wa.iloc[0])] + [bounded(table.constant_uar.iloc[0])] * (1 + len(unseen))
    return pd.DataFrame([*rows, ["*constant answer*", "–", *constant]], columns=head)


def markdown(table: pd.DataFrame) -> str:
    """The results table as Markdown; see `readable`."""
    return text_markdown(readable(table))


def text_markdown(text: pd.DataFrame, *, n_words: int = 1) -> str:
    """A table of text as Markdown; after the first `n_words` columns, what they hold is set to the right."""
    rules = ["---"] * n_words + ["---:"] * (text.shape[1] - n_words)
    lines = [text.columns.tolist(), rules, *text.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of one corpus as text: per cent, one decimal, plain names; UAR with its interval and what that draws."""
    uar = list(map(bounded, table.uar, table.uar_low, table.uar_high, table.interval_over))
    columns = {"model": list(map(model_name, table.model, table.start)), "tested on": table.protocol.map(PLAIN)}
    columns |= {"clips": table.utterances, "seeds": table.seeds, "UAR (95 % interval, over)": uar}
    return pd.DataFrame(
        columns | {"WA": table.wa.map("{:.1f}".format), "macro-F1": table.macro_f1.map("{:.1f}".format)}
    )


def augmentations_readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `augmentations`, of one corpus, as text: per cent, one decimal, plain names."""
    rows = table.to_dict("records")
    columns = {"classifier": [f"{model_name(row['model'])} on {features_name(row['features'])}" for row in rows]}
    columns |= {"training rows changed by": [AUGMENTATIONS[row["recipe"]] for row in rows]}
    columns |= {"UAR (95 %)": list(map(bounded, table.uar, table.uar_low, table.uar_high))}
    columns |= {"rare emotions": list(map(bounded, table.rare_uar))}
    columns |= {"gain in points (95 %)": list(map(bounded, table.gain, table.gain_low, table.gain_high))}
    chance = ["–" if np.isnan(row["p_holm"]) else f"{100 * row['p_holm']:.1f} %" for row in rows]
    return pd.DataFrame(columns | {"by chance": chance})


def ideas_readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `ideas`, of one training set, as text: a row an idea, a column a corpus, points of UAR."""
    told = [bounded(row.worth, row.low, row.high, sign="+") for row in table.itertuples()]
    wide = table.assign(told=told, corpus=table.corpus.map(title))
    wide = wide.pivot_table(index="idea", columns="corpus", values="told", aggfunc="first", sort=False)
    return wide.rename(index=IDEAS).rename_axis(index="what is taken away", columns=None).reset_index()


def heard_name(heard: str) -> str:
    """Plain name of what was heard of a speaker before, such as *up to 5 neutral clips*."""
    kind, _, n = heard.partition("_")
    return {"nothing": "nothing", "any": f"any {n} clips", "all": "all clips", "neutral": f"up to {n} neutral clips"}[
        kind
    ]


def own_mean_readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `own_mean` as text: a row a model and what it had heard, a column a corpus, UAR with intervals.

    Below stands what others have published when they normalised each speaker.
    """
    told = map(bounded, table.uar, table.uar_low, table.uar_high)
    cells = table.assign(told=list(told), model=table.model.map(MODELS), heard=table.heard.map(heard_name))
    printed = claims.published().query("speakers == 'normalised' and corpus in @table.corpus")
    kinds = {"small": "small or hand-crafted", "large": "pre-trained"}
    rows = [
        (row.corpus, f"published, {kinds[row.kind]} ({row.source})", heard_name("all"), f"{row.uar:g}, {row.model}")
        for row in printed.sort_values("kind", ascending=False).itertuples()
    ]
    printed = pd.DataFrame(rows, columns=["corpus", "model", "heard", "told"])
    cells = pd.concat([cells, printed])
    rows = cells[["model", "heard"]].drop_duplicates()
    wide = cells.set_index(["model", "heard", "corpus"]).told.unstack(fill_value="–")  # noqa: PD010  as pivot, of text
    wide = wide.loc[pd.MultiIndex.from_frame(rows)].rename(columns=title).rename_axis(columns=None)
    return wide.reset_index().rename(columns={"heard": "heard of the speaker before"})


def each_corpus_readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `each_corpus` as text: a row a corpus and model, a column a protocol, UAR with its interval.

    Seeds are named where there are several.
    """
    told = map(bounded, table.uar, table.uar_low, table.uar_high)
    cells = table.assign(
        told=[f"{cell}, {seeds(n)}" if n > 1 else cell for cell, n in zip(told, table.seeds, strict=True)]
    )
    cells = cells.assign(model=list(map(model_name, table.model, table.start)))
    constant = table.drop_duplicates(["corpus", "protocol"]).assign(model="*constant answer*")
    constant = constant.assign(told=constant.constant_uar.map(bounded))
    wide = pd.concat([cells, constant]).pivot_table(
        index=["corpus", "model"], columns="protocol", values="told", aggfunc="first", sort=False
    )
    wide = wide[protocols_of(table)].fillna("–").rename(columns=PLAIN).reset_index()
    of_corpus = table.groupby("corpus").agg({"utterances": "max", "interval_over": "first"})
    where = {
        corpus: f"{title(corpus)}: {clips:,} clips" + (f", intervals over {unit}s" if isinstance(unit, str) else "")
        for corpus, clips, unit in of_corpus.itertuples()
    }
    wide = wide.sort_values("corpus", kind="stable").assign(corpus=wide.corpus.map(where))
    return wide.rename(columns={"corpus": "tested on"}).rename_axis(columns=None)


def published_readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `published` as text: per cent, one decimal, plain names."""
    rows = table.to_dict("records")

    def printed(row, kind: str) -> str:
        return "–" if pd.isna(row[kind]) else f"{row[kind]:g}, {row[f'{kind}_by']}"

    columns = {"tested on": [title(row["corpus"]) for row in rows]}
    columns |= {"published, small": [printed(row, "small") for row in rows]}
    columns |= {"published, pre-trained": [printed(row, "large") for row in rows]}
    columns |= {"here": [model_name(row["model"], row["start"], row["features"]) for row in rows]}
    columns |= {"trained on": [title(row["train_corpora"], row["sample"]) for row in rows]}
    columns |= {"seeds": table.seeds.tolist()}
    columns |= {"UAR (95 %, over)": list(map(bounded, table.uar, table.uar_low, table.uar_high, table.interval_over))}
    return pd.DataFrame(columns)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: *a, b and c*."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def seeds(n: int | pd.Series) -> str:
    """In a sentence, such as *one seed*; of several models, *3 to 5 seeds*."""
    least, most = np.min(n), np.max(n)
    return f"{least} to {most} seeds" if least < most else "one seed" if most == 1 else f"{most} seeds"


def trained(predictions: pd.DataFrame) -> list[tuple[str, str]]:
    """What models were trained on: every pair of train_corpora and sample that has results."""
    chosen = predictions.query(RESULTS)
    return list(chosen[["train_corpora", "sample"]].drop_duplicates().itertuples(index=False, name=None))


def label(corpus: str, sample: str = "all", protocol: str | None = None) -> str:
    """Name of what models were trained on, in files: ``tess``, ``ravdess+savee_600_each``, ``tess_random``."""
    return "_".join([corpus, *([] if sample == "all" else [sample]), *([protocol] if protocol else [])])


def title(corpus: str, sample: str = "all", protocol: str | None = None) -> str:
    """The same in words, for headings: *RAVDESS and SAVEE, 600 clips an emotion, random split*."""
    names = [plain_name(name) for name in corpus.split("+")]
    told = [listed(names)]
    for count, kind in re.findall(r"(\d+)_(in_all|each)", sample):
        told.append(f"{int(count):,} clips" + (" an emotion" if kind == "each" else ""))
    return ", ".join([*told, *([PLAIN[protocol]] if protocol else [])])


def label_shares(predictions: pd.DataFrame) -> pd.DataFrame:
    """What pre-training was worth: UAR with and without, for each share of the labels, and the difference.

    Parameters
    ----------
    predictions : DataFrame
        From `serlib.records.read`; of one model. Both starts of a share answered about the same clips.

    Returns
    -------
    DataFrame
        Columns train_corpora, sample, protocol, label_share, seeds, uar_pretrained, uar_scratch, gain (points),
        gain_low, gain_high, interval_over, gain_seed_min, gain_seed_max; shares that only one start has are left out.
        The interval draws as that of `scores`, for both starts at once.

    Raises
    ------
    ValueError
        The two starts of a share were not tested on the same clips, each clip once.
    """
    on = ["train_corpora", "sample", "protocol", "label_share"]
    table = predictions.query("part == 'test' and role == 'result' and start in ['pretrained', 'scratch']")
    rows = []
    for key, part in table.groupby(on, sort=True):
        starts = [part[part.start == start].set_index(ANSWER) for start in ("pretrained", "scratch")]
        if not all(map(len, starts)):
            continue
        clips = [one.index for one in starts]
        if set(clips[0]) != set(clips[1]) or not all(index.is_unique for index in clips):
            raise ValueError(f"{key}: the two starts were not tested on the same clips, each once")
        told = _difference(*_shared(*starts))
        by_seed, _ = confusions(part, "seed", "start")  # pretrained, scratch: in the order of the alphabet
        whole, each = 100 * metrics.uar(by_seed.sum(axis=0)), 100 * metrics.uar(by_seed)
        gains = each[:, 0] - each[:, 1]
        found = {"seeds": len(gains), "uar_pretrained": whole[0], "uar_scratch": whole[1], "gain": told["difference"]}
        found |= {"gain_low": told["low"], "gain_high": told["high"], "interval_over": told["over"]}
        found |= {"gain_seed_min": gains.min(), "gain_seed_max": gains.max()}
        rows.append(dict(zip(on, key, strict=True)) | found)
    found_columns = ["seeds", "uar_pretrained", "uar_scratch", "gain", "gain_low", "gain_high", "interval_over"]
    return pd.DataFrame(rows, columns=[*on, *found_columns, "gain_seed_min", "gain_seed_max"])
