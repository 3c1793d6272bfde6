"""Predictions as runs leave them, for the tests of what reads them."""

import dataclasses

import numpy as np
import pandas as pd

from serlib import records


def about(**other):
    """A result of notebook 04 on TESS."""
    told = records.About("04_cnn", "cnn", "tess", "random", fold=0, seed=1, features="log_mel")
    return dataclasses.replace(told, **other)


def rows(protocol, speaker, right, wrong, *, part="test", **other):
    """Predictions with the given numbers of right and wrong answers, half of the clips angry, half fearful."""
    n = right + wrong
    emotion = np.where(np.arange(n) % 2, "anger", "fear")
    said = np.where(np.arange(n) < right, emotion, np.where(emotion == "anger", "fear", "anger"))
    clips = {"corpus": "tess", "utterance": [f"{speaker}{k}" for k in range(n)], "speaker": speaker}
    clips = pd.DataFrame(clips | {"text": [f"w{k // 2}" for k in range(n)], "emotion": emotion})
    p = np.stack([np.where(said == e, 0.9, 0.1) for e in ("anger", "fear")], axis=1)
    return records.predictions(about(protocol=protocol, **other), clips, p, ["anger", "fear"], part=part)


def some():
    """Two women of TESS: known with two seeds, and each unseen once."""
    tables = [rows("random", "OAF", 20, 0), rows("random", "YAF", 18, 2, seed=2)]
    tables += [rows("speaker_independent", "OAF", 10, 10), rows("speaker_independent", "YAF", 14, 6, fold=1)]
    return pd.concat(tables, ignore_index=True)


def pooled():
    """As if a pool had been trained on: twelve speakers tested, 600 clips an emotion."""
    clips = some().query("protocol == 'speaker_independent'").assign(train_corpora="a+b", sample="600_each")
    return pd.concat([clips.assign(speaker=f"S{k}") for k in range(12)], ignore_index=True)


def augmented():
    """As notebook 16 leaves: eight speakers, with SpecAugment all right that half were not; in noise all wrong."""
    on = {"notebook": "16_augmentation", "role": "ablation"}
    tables = []
    for k in range(8):
        right = {"none": 10, "specaugment": 20, "noise": 8}
        tables += [rows("speaker_independent", f"S{k}", n, 20 - n, recipe=name, **on) for name, n in right.items()]
        for name, n in (("none", 0), ("noise", 8)):
            told = {"recipe": name, "condition": "white_10_dB"}
            tables.append(rows("speaker_independent", f"S{k}", n, 20 - n, **told, **on))
    return pd.concat(tables, ignore_index=True)


def ideas():
    """As notebook 18 leaves: eight speakers of two corpora, of whose clips masks save half and mixup none."""
    on = {
        "notebook": "18_stronger_recogniser",
        "model": "recogniser",
        "role": "ablation",
        "train_corpora": "ravdess+tess",
    }
    right = {"complete": 20, "without_masks": 10, "without_mixup": 20}
    tables = [
        rows("speaker_independent", f"S{k}", n, 20 - n, recipe=name, **on).assign(corpus=("ravdess", "tess")[k % 2])
        for k in range(16)
        for name, n in right.items()
    ]
    return pd.concat(tables, ignore_index=True)


def recognised():
    """As notebook 18 leaves for the report: a recogniser that is always right, beside a CNN that is half right."""
    told = {"model": "recogniser", "train_corpora": "ravdess+tess"}
    right = [rows("speaker_independent", f"S{k}", 20, 0, **told) for k in range(8)]
    half = [rows("speaker_independent", f"S{k}", 10, 10) for k in range(8)]
    fewer = rows("speaker_independent", "S0", 20, 0, model="cnn_lstm")
    return pd.concat([*right, *half, fewer], ignore_index=True)


def crossed():
    """A network on each of two corpora alone, and on each from the other; RAVDESS has an emotion that is not shared."""
    known = rows("random", "A", 20, 0)
    alone = [rows("speaker_independent", "A", 16, 4), rows("speaker_independent", "A", 16, 4, seed=2)]
    other = rows("cross_corpus", "A", 12, 8, train_corpora="ravdess+tess")
    tess = pd.concat([known, *alone, other])
    ravdess = tess.query("seed == 1").assign(
        corpus="ravdess", train_corpora=lambda t: t.train_corpora.replace("tess", "ravdess")
    )
    calm = rows("random", "A", 2, 0).assign(corpus="ravdess", train_corpora="ravdess", emotion="calm", predicted="calm")
    return pd.concat([tess, ravdess, calm], ignore_index=True)


def heard():
    """A recogniser half right, an SVM that is right about what was heard all, and less so of some."""
    told = {"train_corpora": "tess", "model": "speech_svm"}
    network = rows("speaker_independent", "S0", 10, 10, train_corpora="tess", model="recogniser")
    alone = rows("speaker_independent", "S0", 8, 12, **told)
    own = [rows("speaker_independent_adapted", "S0", right, 20 - right, **told) for right in (20, 12, 16)]
    some_clips = [own[1].assign(role="ablation", recipe="any_5"), own[2].assign(role="ablation", recipe="neutral_5")]
    return pd.concat([network, alone, own[0], *some_clips], ignore_index=True)
