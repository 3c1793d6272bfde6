"""Recordings for the tests: short tones in the formats that corpora come in."""

import sys
import zlib
from urllib.parse import urlparse

import numpy as np
import pytest
import soundfile as sf

from serlib import listening, pages


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


@pytest.fixture(autouse=True)
def closed():
    """Figures that a test drew are closed after it; who draws none does not wait for matplotlib."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def page(tmp_path):
    """A page of headless Chromium whose microphone hears a tone; in the end it had no error and asked no other host."""
    playwright = pytest.importorskip("playwright.sync_api", reason="an optional extra: make extras")
    chromium = pages.chromium()
    if not chromium:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    t = np.arange(4 * 16_000) / 16_000
    sf.write(tmp_path / "microphone.wav", 0.3 * np.sin(2 * np.pi * 300 * t), 16_000, subtype="PCM_16")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox", "--disable-gpu"]
    fake += [f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}"]
    errors, hosts = [], set()
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=fake)
        opened = browser.new_context(permissions=["microphone"]).new_page()
        opened.set_default_timeout(60_000)
        opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("request", lambda request: hosts.add(urlparse(request.url).hostname))
        yield opened
        browser.close()
    assert errors == [] and hosts <= {None, "127.0.0.1"}
