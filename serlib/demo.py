"""A page that hears you: record or upload, see what the network makes of it, and change the recording."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from serlib import audio, plots, predict, scoring

if TYPE_CHECKING:
    import gradio

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing leaves this machine

MOST_SECONDS, MOST_MEGABYTES = 60, 20  # of a recording
FONTS = ("system-ui", "sans-serif")  # of this machine: gradio's own would be fetched from another host


def build(recogniser: predict.Recogniser) -> gradio.Blocks:
    """The page.

    Uploaded files are removed as soon as they have been decoded; the sound stays in memory while the page is open.

    Parameters
    ----------
    recogniser : Recogniser

    Raises
    ------
    ImportError
        gradio is not there: it is an optional extra.
    """
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("the demo needs gradio, an optional extra; `make extras` installs it") from error

    def ask(path: str | None):
        if path is None:
            return None, "Record something or upload a file first.", None, None
        try:
            pieces, n = [], 0
            for block in audio.blocks(path):
                pieces.append(block)
                n += len(block)
                if n > MOST_SECONDS * audio.SR:
                    return None, f"That is longer than {MOST_SECONDS} s; `serlib predict` takes any length.", None, None
        except audio.AudioError as error:
            return None, str(error).replace(str(path), Path(path).name), None, None
        finally:
            Path(path).unlink(missing_ok=True)
        waveform = np.concatenate(pieces)
        told = predict.answer(recogniser, waveform)
        return waveform, in_words(told), picture(recogniser, told, waveform), over_time(recogniser, told)

    def change(waveform: np.ndarray | None, gain: float, speed: float, pitch: float):
        if waveform is None:
            return "Ask about a recording first.", None
        other = changed(waveform, gain, speed, pitch)
        told = predict.answer(recogniser, other)
        return in_words(told), (audio.SR, np.round(32767 * np.clip(other, -1, 1)).astype(np.int16))

    with gr.Blocks(title="Speech emotion recognition", analytics_enabled=False, delete_cache=(60, 60)) as page:
        gr.Markdown(f"# What does it hear in your voice?\n\n{about(recogniser)}")
        sound = gr.State(None)
        with gr.Row():
            with gr.Column():
                sources: Any = ["microphone", "upload"]
                recording = gr.Audio(sources=sources, type="filepath", label="your recording", buttons=["download"])
                button = gr.Button("Ask", variant="primary")
                answer = gr.Markdown(elem_id="answer")
            with gr.Column():
                where = gr.Plot(show_label=False, container=False)
                time = gr.Plot(show_label=False, container=False)
        gr.Markdown("## What would change its mind?")
        with gr.Row():
            gain = gr.Slider(-20, 20, value=0, step=1, label="louder (dB)")
            speed = gr.Slider(0.7, 1.4, value=1, step=0.05, label="faster (times)")
            pitch = gr.Slider(-6, 6, value=0, step=1, label="higher (semitones)")
        with gr.Row():
            other_answer = gr.Markdown(elem_id="other-answer")
            other = gr.Audio(label="the changed recording", interactive=False, buttons=["download"])
        button.click(ask, recording, [sound, answer, where, time])
        for slider in (gain, speed, pitch):
            slider.release(change, [sound, gain, speed, pitch], [other_answer, other])
    return page


def serve(recogniser: predict.Recogniser, *, host: str = "127.0.0.1", port: int = 7860, block: bool = True):
    """Show the page; it is reached from this machine alone unless `host` says otherwise.

    Parameters
    ----------
    recogniser : Recogniser
    host : str
    port : int
        0 takes any that is free.
    block : bool
        Wait until it is stopped.

    Returns
    -------
    tuple (app, address, share address)
        As gradio's ``launch`` gives them.
    """
    import gradio as gr

    page = build(recogniser)
    return page.launch(
        server_name=host,
        server_port=port or None,
        share=False,
        quiet=True,
        prevent_thread_lock=not block,
        max_file_size=MOST_MEGABYTES * gr.FileSize.MB,
        theme=gr.themes.Base(font=FONTS, font_mono=("monospace",)),
        footer_links=[],
    )


def changed(waveform: np.ndarray, gain: float, speed: float, pitch: float) -> np.ndarray:
    """The same recording louder (dB), faster (times) and higher (semitones), shape (n_samples,)."""
    import librosa

    other = waveform * 10 ** (gain / 20)
    other = librosa.effects.time_stretch(other, rate=speed) if speed != 1 else other
    other = librosa.effects.pitch_shift(other, sr=audio.SR, n_steps=pitch) if pitch else other
    return np.clip(other, -1, 1).astype(np.float32)


def about(recogniser: predict.Recogniser) -> str:
    """What the network has learned from, and what that is worth, in two sentences."""
    real = f"acted speech, {scoring.title(recogniser.corpus)}"
    kind = "the synthetic voices of *mini*" if recogniser.corpus == "mini" else real
    text = f"A small network has learned from {kind}; {recogniser.honest}. It may well be wrong about you."
    return text + " Nothing that you record leaves this machine or is kept."


def in_words(told: predict.Answer) -> str:
    """The answer as Markdown: the emotions by probability, or why there is none."""
    ranked = sorted(told.p.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{name} {p:.0%}" for name, p in ranked)
    if told.emotion:
        return f"### {told.emotion}\n\n{shares}"
    return f"### no answer\n\n{'; '.join(told.reasons)}. (If it had to: {shares}.)"


def picture(recogniser: predict.Recogniser, told: predict.Answer, waveform: np.ndarray) -> Figure:
    """Waveform and, of its surest window, the spectrogram with a line around what spoke for the answer."""
    plots.use_style()
    start, x = predict.surest(recogniser, told, waveform)
    best = max(told.p, key=told.p.__getitem__)
    method = predict.default_method(recogniser)
    (heat,) = predict.relevance(recogniser, x[None], [best], method)
    fig = Figure(figsize=(7, 4.5), layout="constrained")
    top, bottom = fig.subplots(2, 1, height_ratios=[1, 2])
    plots.waveform(top, waveform, audio.SR, color="#555555")
    times = recogniser.features.frames.times(len(x))
    top.axvspan(start, min(start + times[-1], len(waveform) / audio.SR), color="#DDCC77", alpha=0.3)
    mesh = plots.outlined(bottom, x.T, [heat.T], times + start, recogniser.hertz)
    fig.colorbar(mesh, ax=bottom, label="level (dB re maximum)")
    bottom.set(xlabel="time (s)", title=f"what spoke for {best} (red line)")
    return fig


def over_time(recogniser: predict.Recogniser, told: predict.Answer) -> Figure:
    """Emotion over time, see `serlib.plots.emotions_over_time`."""
    plots.use_style()
    fig = plots.emotions_over_time([told], recogniser.classes)
    fig.axes[0].set_title("emotion over time")
    return fig
