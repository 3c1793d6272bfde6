"""The demo's page in a real browser, with a file and with a microphone; visibly skipped where there is no browser."""

import re
from urllib.parse import urlparse

import numpy as np
import pytest
import soundfile as sf

from serlib import audio, corpora, demo, features, models, predict, records, training


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    training.set_seed(0)
    model = models.cnn_lstm(np.random.default_rng(0).normal(-40, 15, size=(4, 32, 16)).astype("float32"), 2)
    wanted = features.FeatureSet(("log_mel",), n_mels=16, n_frames=32)
    about = {"notebook": "06_cnn_lstm", "parameters": {}, "corpus": corpora.load("mini"), "classes": ["anger", "fear"]}
    records.write_run(folder, model=model, features=wanted, **about)
    return predict.with_trust(predict.load(folder), folder)


def test_a_change_is_louder_faster_or_higher():
    t = np.arange(2 * audio.SR) / audio.SR
    tone = (0.1 * np.sin(2 * np.pi * 440 * t)).astype("float32")
    np.testing.assert_allclose(np.abs(demo.changed(tone, 6, 1, 0)).max(), 0.2, rtol=0.01)
    assert len(demo.changed(tone, 0, 1.25, 0)) == pytest.approx(len(tone) / 1.25, rel=0.02)
    higher = np.abs(np.fft.rfft(demo.changed(tone, 0, 1, 12)))
    assert higher.argmax() / 2 == pytest.approx(880, rel=0.02)
    np.testing.assert_array_equal(demo.changed(tone, 0, 1, 0), tone)


def test_an_answer_and_none_in_words():
    given = predict.Answer("a", 1.0, "fear", {"anger": 0.2, "fear": 0.8})
    assert demo.in_words(given) == "### fear\n\nfear 80%, anger 20%"
    kept = predict.Answer("a", 1.0, None, {"anger": 0.2, "fear": 0.8}, ["silence: …"])
    assert demo.in_words(kept) == "### no answer\n\nsilence: …. (If it had to: fear 80%, anger 20%.)"


@pytest.fixture(scope="module")
def address(recogniser):
    pytest.importorskip("gradio", reason="an optional extra: make extras")
    _, url, _ = demo.serve(recogniser, port=0, block=False)
    assert urlparse(url).hostname == "127.0.0.1"
    yield url
    import gradio

    gradio.close_all()


def upload(page, address, path):
    page.goto(address)
    page.get_by_label("Upload file").first.click()
    page.locator("input[type=file]").first.set_input_files(str(path))
    page.locator(".waveform-container, [data-testid*=waveform]").first.wait_for()
    page.get_by_role("button", name="Ask").click()


def test_a_file_is_answered_drawn_changed_and_removed(address, page, tmp_path, tone, monkeypatch):
    removed, unlink = [], demo.Path.unlink
    monkeypatch.setattr(
        demo.Path, "unlink", lambda self, **options: (removed.append(self.name), unlink(self, **options))
    )
    upload(page, address, corpora.load("mini").utterances.path.iloc[0])
    page.locator("#answer h3").wait_for()
    assert page.locator("#answer h3").inner_text() in ("anger", "fear")
    assert "synthetic voices of mini" in page.inner_text("body") and "got a UAR of" in page.inner_text("body")
    page.locator("img").nth(1).wait_for()
    assert len(removed) == 1, "the upload"
    slider = page.locator("input[type=range]").nth(2)
    slider.focus()
    page.keyboard.press("ArrowRight")
    slider.dispatch_event("pointerup")
    page.locator("#other-answer h3").wait_for()
    assert re.match(r"(anger|fear) \d+%, ", page.locator("#other-answer p").inner_text())


def test_a_microphone_is_answered(address, page):
    page.goto(address)
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2000)
    page.locator("button.stop-button").first.click()
    page.locator(".waveform-container, [data-testid*=waveform]").first.wait_for()
    page.get_by_role("button", name="Ask").click()
    page.locator("#answer h3").wait_for()
    assert "%" in page.locator("#answer").inner_text()


def test_what_is_too_long_or_no_sound_is_refused_in_words(address, page, tmp_path):
    sf.write(tmp_path / "long.wav", np.zeros(62 * 8000), 8000, subtype="PCM_U8")
    upload(page, address, tmp_path / "long.wav")
    page.get_by_text("longer than 60 s").wait_for()
