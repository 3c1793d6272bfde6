"""Recordings for the tests: short tones in the formats that corpora come in."""

import sys
import zlib

import numpy as np
import pytest
import soundfile as sf

from serlib import listening


def write_tone(path, *, frequency=None, seconds=0.3, sr=16_000, channels=1, **options):
    """A quiet sine tone, with faint noise of the path's own unless a frequency is given; the suffix says nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(2 * np.pi * (frequency or 220.0) * np.arange(int(seconds * sr)) / sr)
    if not frequency:
        tone += 0.01 * np.random.default_rng(zlib.crc32(str(path).encode())).standard_normal(len(tone))
    sf.write(path, np.repeat(tone[:, None], channels, axis=1), sr, **options)
    return path


@pytest.fixture
def tone():
    return write_tone


@pytest.fixture(autouse=True, scope="session")
def heard(tmp_path_factory):
    """What is remembered of the tests' corpora goes with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "MEMORY", tmp_path_factory.mktemp("heard"))
        yield


@pytest.fixture(autouse=True)
def seeded():
    """A network built in a test has the same weights every time; who builds none does not wait for Keras."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
