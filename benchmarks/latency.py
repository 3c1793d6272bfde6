"""Milliseconds from two seconds of sound in memory to an emotion, on one core. Run by `make benchmark`; not a test.

The hybrid of notebook 14: 40 MFCCs, windows of a second that overlap by half, the CNN-LSTM, the mean of their
probabilities; by LiteRT, which `serlib predict` asks, and by plain `model.predict`, after both were held to the same
probabilities. One clip at a time; weights are drawn, since their values take no time. Writes
data/benchmarks/latency.csv, which `make figures` draws.
"""

import os
import tempfile
import time

import keras
import numpy as np
import pandas as pd
from scipy.special import softmax

from serlib import audio, corpora, features, litert, models, windows

SECONDS, N_CLIPS, ROUNDS = 2.0, 100, 5
FRAMES = features.Frames()
WANTED = features.FeatureSet(("mfcc",), FRAMES, n_mfcc=40)
LENGTH = FRAMES.n_frames(1.0)
PRINTED = 3.2  # ms, quoted in aissms


def pieces(waveform):
    cut, _ = windows.cut([features.extract(waveform, WANTED)], LENGTH, LENGTH // 2)
    return cut.swapaxes(1, 2).astype("float32")


def by_litert(folder, model):
    one = keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32")
    model.export(f"{folder}/model.tflite", format="litert", input_signature=[one], verbose=False)
    return litert.Network(f"{folder}/model.tflite", model.name)


def milliseconds(function, inputs):
    """Of every call, a round as warm-up left out."""
    took = []
    for _ in range(ROUNDS + 1):
        for x in inputs:
            start = time.perf_counter()
            function(x)
            took.append(1000 * (time.perf_counter() - start))
    return np.array(took[len(inputs) :])


def main():
    if hasattr(os, "sched_setaffinity"):  # one core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    clips = corpora.load("auto").utterances.sample(N_CLIPS, random_state=0)
    waveforms = [np.resize(waveform, int(SECONDS * audio.SR)) for waveform in audio.load_all(clips)]
    cut = [pieces(waveform) for waveform in waveforms]
    keras.utils.set_random_seed(0)
    model = models.cnn_lstm(np.concatenate(cut), clips.emotion.nunique())
    with tempfile.TemporaryDirectory() as folder:
        light = by_litert(folder, model)
    difference = max(
        np.abs(softmax(light(x), axis=1) - softmax(model.predict(x, verbose=0), axis=1)).max() for x in cut[:20]
    )
    assert difference <= litert.CLOSE, f"LiteRT is {difference:.1e} from Keras"
    steps = {
        "MFCCs and windows": milliseconds(pieces, waveforms),
        "network and fusion, LiteRT": milliseconds(lambda x: softmax(light(x), axis=1).mean(axis=0), cut),
        "in all, LiteRT": milliseconds(lambda w: softmax(light(pieces(w)), axis=1).mean(axis=0), waveforms),
        "in all, Keras predict": milliseconds(
            lambda w: softmax(model.predict(pieces(w), verbose=0), axis=1).mean(axis=0), waveforms[: N_CLIPS // 5]
        ),
    }
    table = pd.DataFrame(
        [(name, *np.quantile(took, [0.5, 0.95]), len(took)) for name, took in steps.items()],
        columns=["what", "median_ms", "p95_ms", "answers"],
    )
    table["times_keras"] = table.p95_ms.iloc[-1] / table.p95_ms
    print(table.round(2).to_string(index=False))
    print(f"probabilities within {difference:.0e} of Keras; quoted in aissms: {PRINTED} ms")
    path = corpora.REPOSITORY / "data" / "benchmarks" / "latency.csv"
    table.assign(quoted_ms=PRINTED).to_csv(path, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
