"""Recordings for the tests: short tones in the formats that corpora come in."""

import numpy as np
import pytest
import soundfile as sf


def write_tone(path, *, frequency=220.0, seconds=0.3, sr=16_000, channels=1, **options):
    """A quiet sine tone; the suffix says nothing, `format` may."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * sr)) / sr)
    sf.write(path, np.repeat(tone[:, None], channels, axis=1), sr, **options)
    return path


@pytest.fixture
def tone():
    return write_tone
