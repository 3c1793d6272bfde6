"""The cache as features use it."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from serlib import audio, cache, features, listening


@pytest.fixture
def utterances(tmp_path, tone):
    paths = [tone(tmp_path / "clips" / f"{k}.wav", seconds=0.5 + 0.1 * k) for k in range(6)]
    table = pd.DataFrame({"path": paths, "sha256": [f"{k:064x}" for k in range(6)]})
    return pd.concat([table, table.iloc[[2]]], ignore_index=True)  # the same sound twice


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "MEMORY", tmp_path / "features")
    return tmp_path / "features"


WANTED = features.FeatureSet(("mfcc", "zcr"), n_mfcc=13)


def held(memory):
    return {path.name: path.read_bytes() for path in sorted(memory.glob("*/*"))}


def test_the_cache_gives_what_was_computed(utterances, memory, monkeypatch):
    first = features.extract_all(utterances, WANTED)
    for feature, path in zip(first, utterances.path, strict=True):
        np.testing.assert_array_equal(feature, features.extract(audio.load(path), WANTED))
    monkeypatch.setattr(features, "load", None)  # nothing is decoded again
    for feature, again in zip(first, features.extract_all(utterances, WANTED), strict=True):
        np.testing.assert_array_equal(feature, again)
    assert len(list(memory.glob("*/*.npy"))) == 6
    settings = json.loads(next(memory.glob("*/settings.json")).read_text())
    assert settings["names"] == ["mfcc", "zcr"] and settings["n_mfcc"] == 13 and settings["frames"]["sr"] == 16_000


def test_other_settings_have_a_folder_of_their_own(utterances, memory):
    for wanted in (WANTED, dataclasses.replace(WANTED, n_mfcc=20), dataclasses.replace(WANTED, n_frames=10)):
        features.fill_cache(utterances, wanted)
    assert len(list(memory.glob("*/settings.json"))) == 3


def test_processes_make_the_same_cache(utterances, memory, monkeypatch):
    features.fill_cache(utterances, WANTED)
    alone = held(memory)
    shutil.rmtree(memory)
    monkeypatch.setattr(cache, "CHUNK", 2)
    features.fill_cache(utterances, WANTED, n_jobs=2)
    assert held(memory) == alone


def test_a_damaged_file_is_named(utterances, memory):
    path = features.fill_cache(utterances, WANTED)[3]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=f"{path.name} is damaged .*delete it"):
        features.extract_all(utterances, WANTED)


EXTRACTION = """
import sys, pathlib, pandas as pd
from serlib import features, listening
listening.MEMORY = pathlib.Path(sys.argv[2])
print("ready", flush=True)
wanted = features.FeatureSet(("mfcc", "zcr"), n_mfcc=13)
features.fill_cache(pd.read_pickle(sys.argv[1]), wanted, n_jobs=int(sys.argv[3]))
"""


def extraction(table, memory, n_jobs):
    command = [sys.executable, "-c", EXTRACTION, table, memory, str(n_jobs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"ready\n"
    return process


def test_killed_extraction_leaves_a_cache_to_go_on_with(tmp_path, tone, memory):
    """Killed at random moments (by default three times; SERLIB_KILLS says how often), it ends as if nothing were."""
    paths = [tone(tmp_path / "clips" / f"{k}.wav", seconds=4) for k in range(120)]
    utterances = pd.DataFrame({"path": paths, "sha256": [f"{k:064x}" for k in range(len(paths))]})
    table = tmp_path / "table.pickle"
    utterances.to_pickle(table)
    features.fill_cache(utterances, WANTED, n_jobs=1)
    undisturbed = held(memory)
    shutil.rmtree(memory)
    rng = np.random.default_rng(0)
    n_left_half = 0
    for kill in range(int(os.environ.get("SERLIB_KILLS", 3))):
        process = extraction(table, memory, n_jobs=1 + kill % 2)
        time.sleep(rng.uniform(0.02, 0.4) + (1.5 if kill % 2 else 0))  # two processes take a while to start
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        n_left_half += len(held(memory)) < len(undisturbed)
    assert n_left_half, "at least one was killed before its end"
    one, other = extraction(table, memory, n_jobs=1), extraction(table, memory, n_jobs=1)  # two at the same time
    assert one.wait() == other.wait() == 0
    features.fill_cache(utterances, WANTED)  # sweeps what the killed left half written
    assert held(memory) == undisturbed


@pytest.mark.parametrize(
    ("names", "changes"),
    [(("log_mel",), {"n_mfcc": 13}), (("zcr", "rms"), {"n_mfcc": 13, "n_mels": 32, "top_db": 80})],
)
def test_settings_that_do_not_matter_share_a_folder(utterances, memory, names, changes):
    wanted = features.FeatureSet(names)
    same = dataclasses.replace(wanted, **changes)
    assert features.fill_cache(utterances, wanted) == features.fill_cache(utterances, same)
    assert len(list(memory.glob("*/settings.json"))) == 1


def test_a_folder_that_cannot_be_written_to_costs_only_time(utterances, memory):
    expected = features.extract_all(utterances, WANTED)
    shutil.rmtree(memory)
    memory.write_text("in the way")
    with pytest.warns(UserWarning, match=r"features.*cannot be written to .*computed and not kept"):
        found = features.extract_all(utterances, WANTED)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(cache.CacheError, match="free space there, or its permissions"):
        features.fill_cache(utterances, WANTED)


def test_a_disk_that_fills_up_costs_only_time(utterances, memory, monkeypatch):
    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write_whole", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        assert len(features.extract_all(utterances, WANTED)) == 7
