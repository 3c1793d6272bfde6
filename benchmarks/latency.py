"""Milliseconds from a recording to an emotion, one clip at a time on one core. Run by `make benchmark`; not a test.

First the hybrid of notebook 14, step by step, from two seconds of sound in memory: 40 MFCCs, windows of a second that
overlap by half, the CNN-LSTM, the mean of their probabilities. Then every model of the course from a file of two
seconds (16 kHz, 16 bits, so nothing is resampled): decode, features, answer; and clips per second where 64 files are
answered at once. Networks are asked by LiteRT, which `serlib predict` asks, and by plain `model.predict`; LiteRT is
left out where its probabilities are not those of Keras. Weights of networks are drawn, since their values take no time;
trees are grown on the corpus, to the end, since theirs do. Writes data/benchmarks/latency.csv, which `make figures`
draws.
"""

import ast
import json
import logging
import os
import tempfile
import time

import keras
import numpy as np
import pandas as pd
import soundfile
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from serlib import audio, corpora, features, litert, models, transformer, windows

SECONDS, N_CLIPS, ROUNDS, BATCH = 2.0, 100, 5, 64
FEW, FEW_ROUNDS = 20, 2  # of plain `model.predict`, which is slow
FRAMES = features.Frames()
MFCCS = features.FeatureSet(("mfcc",), FRAMES, n_mfcc=40)
LOG_MELS = features.FeatureSet(("log_mel",), FRAMES, n_mels=64, n_frames=128)
STATISTICS = features.FeatureSet(("mfcc", "log_mel"), FRAMES, n_mfcc=20)
LENGTH = FRAMES.n_frames(1.0)
PRINTED = 3.2  # ms, quoted in aissms
HYBRID, FROM_FILE = "hybrid on windows, from sound in memory", "from a file of 2 s"


def pieces(waveform):
    cut, _ = windows.cut([features.extract(waveform, MFCCS)], LENGTH, LENGTH // 2)
    return cut.swapaxes(1, 2).astype("float32")


def picture(waveform):
    return features.extract(waveform, LOG_MELS).T[None].astype("float32")


def functionals(waveform):
    both = features.extract(waveform, STATISTICS)
    return np.concatenate([features.functionals(both[:20]), features.functionals(both[20:])])[None]


def of_notebook(stem, *names, **given):
    """What a notebook's cells define under these names, executed with the values given for what they lack."""
    cells = json.loads((corpora.REPOSITORY / "notebooks" / f"{stem}.ipynb").read_text())["cells"]
    trees = [ast.parse("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    wanted = [
        node
        for tree in trees
        for node in tree.body
        if getattr(node, "name", None) in names
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in names)
    ]
    defined = {"keras": keras, "layers": keras.layers, "transformer": transformer} | given
    exec(compile(ast.Module(wanted, []), f"{stem}.ipynb", "exec"), defined)
    return [defined[name] for name in names]


def networks(pictures, cut, classes):
    """Name -> features, network with drawn weights; normalisation knows the clips at hand."""
    (cnn,), (lstm,) = of_notebook("04_cnn", "build_cnn"), of_notebook("05_lstm", "build_lstm")
    config, vit = of_notebook("08_vit", "config", "build", x=pictures, classes=classes)
    return {
        "CNN": (picture, cnn(pictures, len(classes))),
        "LSTM over frames": (picture, lstm(pictures, len(classes))),
        "CNN-LSTM": (picture, models.cnn_lstm(pictures, len(classes))),
        "ViT": (picture, vit(config, pictures)),
        "CNN-LSTM on windows": (pieces, models.cnn_lstm(cut, len(classes))),
    }


def classical(x, y):
    """Name -> classifier of notebook 07 or 03, trained."""
    classifiers = {
        "decision tree": DecisionTreeClassifier(random_state=0),
        "random forest": RandomForestClassifier(300, random_state=0, n_jobs=1),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }
    return {name: classifier.fit(x, y) for name, classifier in classifiers.items()}


def by_keras(model):
    return lambda x: softmax(model.predict(x, batch_size=len(x), verbose=0), axis=1)


def by_litert(model, x):
    """What asks LiteRT, and the largest difference of a probability from Keras's; None where it cannot be exported."""
    with tempfile.TemporaryDirectory() as folder:
        one = keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32")
        try:
            model.export(f"{folder}/model.tflite", format="litert", input_signature=[one], verbose=False)
        except Exception as error:  # a converter raises what it likes
            print(f"{model.name} cannot be exported: {error}")
            return None, np.inf
        light = litert.Network(f"{folder}/model.tflite", model.name)

    def ask(x):
        return softmax(light(x), axis=1)

    return ask, np.abs(ask(x) - by_keras(model)(x)).max()


def answer(ask, prepare, waveforms):
    """Probabilities of each clip, shape (n_clips, n_classes), all inputs asked about at once."""
    inputs = [prepare(waveform) for waveform in waveforms]
    return windows.fuse(ask(np.concatenate(inputs)), np.repeat(np.arange(len(inputs)), [len(x) for x in inputs]))


def milliseconds(function, inputs, rounds=ROUNDS):
    """Of every call, a round as warm-up left out."""
    took = []
    for _ in range(rounds + 1):
        for x in inputs:
            start = time.perf_counter()
            function(x)
            took.append(1000 * (time.perf_counter() - start))
    return np.array(took[len(inputs) :])


def row(group, what, by, took, clips_per_second=np.nan):
    told = {"group": group, "what": what, "by": by, "clips_per_second": clips_per_second, "answers": len(took)}
    return told | dict(zip(("median_ms", "p95_ms"), np.quantile(took, [0.5, 0.95]), strict=True))


def from_file(what, by, ask, prepare, paths):
    """A row of a model: one file at a time, then as many as `BATCH` at once."""
    few, rounds = (paths[:FEW], FEW_ROUNDS) if by == "Keras" else (paths, ROUNDS)
    took = milliseconds(lambda path: answer(ask, prepare, [audio.load(path)]), few, rounds)
    batch = milliseconds(lambda paths: answer(ask, prepare, [audio.load(path) for path in paths]), [paths[:BATCH]], 3)
    return row(FROM_FILE, what, by, took, BATCH / (np.median(batch) / 1000))


def step_by_step(ask, plain, waveforms):
    """Rows of the hybrid, from sound in memory."""
    cut, few = [pieces(waveform) for waveform in waveforms], waveforms[:FEW]
    return [
        row(HYBRID, "MFCCs and windows", "NumPy", milliseconds(pieces, waveforms)),
        row(HYBRID, "network and fusion", "LiteRT", milliseconds(lambda x: ask(x).mean(axis=0), cut)),
        row(HYBRID, "in all", "LiteRT", milliseconds(lambda w: ask(pieces(w)).mean(axis=0), waveforms)),
        row(HYBRID, "in all", "Keras", milliseconds(lambda w: plain(pieces(w)).mean(axis=0), few)),
    ]


def main():
    if hasattr(os, "sched_setaffinity"):  # one core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    logging.getLogger("tensorflow").setLevel("ERROR")  # functions traced anew for each network are no fault
    keras.utils.set_random_seed(0)
    found = corpora.load("auto").utterances
    both = features.extract_all(found, STATISTICS)
    x = np.stack([np.concatenate([features.functionals(b[:20]), features.functionals(b[20:])]) for b in both])
    waveforms = audio.load_all(found.sample(N_CLIPS, random_state=0))
    waveforms = [np.resize(waveform, int(SECONDS * audio.SR)) for waveform in waveforms]
    pictures, cut = (np.concatenate([prepare(w) for w in waveforms]) for prepare in (picture, pieces))
    asked, rows = [], []
    for name, (prepare, model) in networks(pictures, cut, sorted(found.emotion.unique())).items():
        light, far = by_litert(model, np.concatenate([prepare(waveform) for waveform in waveforms[:20]]))
        print(f"{name}: probabilities of LiteRT within {far:.0e} of Keras")
        ways = {"LiteRT": light} if far <= litert.CLOSE else {}
        ways["Keras"] = by_keras(model)
        asked += [(name, by, ask, prepare) for by, ask in ways.items()]
        if name == "CNN-LSTM on windows":
            assert far <= litert.CLOSE, f"LiteRT is {far:.1e} from Keras"
            rows += step_by_step(ways["LiteRT"], ways["Keras"], waveforms)
    for name, classifier in classical(x, found.emotion).items():
        asked.append((name, "scikit-learn", classifier.predict_proba, functionals))
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{k}.wav" for k in range(N_CLIPS)]
        for path, waveform in zip(paths, waveforms, strict=True):
            soundfile.write(path, waveform, audio.SR, subtype="PCM_16")
        rows += [from_file(*one, paths) for one in asked]
    table = pd.DataFrame(rows)
    print(table.round(2).to_string(index=False))
    heard, network = table.median_ms[:2] / table.median_ms[2]
    ratio = table.p95_ms[3] / table.p95_ms[2]
    print(
        f"of the hybrid's time {heard:.0%} are features, {network:.0%} the network; Keras takes {ratio:.0f} times that"
    )
    print(f"its p95 is {table.p95_ms[2]:.2f} ms; quoted in aissms: {PRINTED} ms")
    path = corpora.REPOSITORY / "data" / "benchmarks" / "latency.csv"
    table.assign(quoted_ms=PRINTED).to_csv(path, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
