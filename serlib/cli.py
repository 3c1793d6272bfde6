"""The ``serlib`` command. Each command imports what it needs, so that none waits for what others need."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from serlib import corpora as _corpora
from serlib.sources import SOURCES

app = typer.Typer(
    help="Speech emotion recognition on really unseen speakers.", no_args_is_help=True, add_completion=False
)


POOL = "cremad+ravdess+savee+tess"

Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder that holds the corpora; default: $SERLIB_DATA, else data/raw.",
        exists=True,
        file_okay=False,
        resolve_path=True,
    ),
]


@app.command()
def corpora(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of tables.")] = False,
) -> None:
    """Show the card of every corpus found: counts, hours, licence, how to cite, problems."""
    console = Console()
    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)  # paths may hold [brackets]
    found, failed = [], []
    for name in _corpora.available(data):
        try:
            found.append(_corpora.load(name, data))
        except ValueError as error:
            failed.append(str(error))
    if as_json:
        print(json.dumps([_record(corpus) for corpus in found], indent=1))
    else:
        table = Table("corpus", "clips", "usable", "speakers", "emotions", "hours", "problems")
        for corpus in found:
            usable = corpus.utterances
            counts = (corpus.n_clips, len(usable), usable.speaker.nunique(), usable.emotion.nunique())
            hours = f"{usable.seconds.sum() / 3600:.2f}"
            table.add_row(corpus.name, *(f"{count:,}" for count in counts), hours, str(len(corpus.problems)))
        console.print(table)
        for corpus in found:
            card = corpus.card
            title = card.pop("title", None)
            say(f"\n{corpus.name}: {title}" if title else f"\n{corpus.name}")
            for key, value in card.items():
                say(_line(key, value))
            for problem in corpus.problems.itertuples():
                say(_line(problem.action, f"{problem.path}: {problem.reason}"))
        say("")
        missing = sorted(set(SOURCES) - {corpus.name for corpus in found})
        for name in missing:
            source = SOURCES[name]
            say(f"{name} not found in {_corpora.data_root(data) / name}; serlib download {name} (from {source.home})")
    for message in failed:
        typer.secho(message, fg="red", err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def splits(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Corpora, or several joined by +; default: all that are found, and {POOL}."),
    ] = None,
    data: Data = None,
    seed: Annotated[int, typer.Option(help="Moves the random draws; that of the committed files is 1.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: data/splits.", file_okay=False)] = None,
) -> None:
    """Write the splits of every corpus found, one CSV of utterance, fold and part for each protocol; and who speaks."""
    from serlib import splits as _splits

    if not names:
        names = _corpora.available(data)
        names += [POOL] if set(POOL.split("+")) <= set(names) else []
    out = out or _corpora.REPOSITORY / "data" / "splits"
    out.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in names:
        try:
            corpus = _corpora.load(name, data)
        except (ValueError, FileNotFoundError) as error:
            typer.secho(str(error), fg="red", err=True)
            failed = True
            continue
        print(corpus)
        if missing := _incomplete(corpus):
            print(f"  {missing}: other clips make other splits")
        if "+" not in corpus.name:
            path = out / f"{corpus.name}_speakers.csv"
            speakers = corpus.utterances[["corpus", "speaker", "gender", "age"]].drop_duplicates("speaker")
            speakers.sort_values("speaker").to_csv(path, index=False, lineterminator="\n")
            print(f"  {path}")
        for protocol in _protocols(corpus.name):
            try:
                made = _splits.make(corpus.utterances, protocol, seed=seed)
            except ValueError as error:
                print(f"  no {protocol}: {error}")
                continue
            path = out / f"{corpus.name}_{protocol}.csv"
            _splits.to_table(corpus.utterances, made).to_csv(path, index=False, lineterminator="\n")
            print(f"  {path}")
    if failed:
        raise typer.Exit(1)


def _protocols(name: str) -> list[str]:
    """Protocols that say something here: the corpora of a pool have each their own texts, SAVEE's tell the emotion."""
    from serlib.splits import PROTOCOLS

    if "+" in name:
        return ["random", "speaker_independent", "cross_corpus"]
    if name == "savee":
        return ["random", "speaker_independent"]
    return [protocol for protocol in PROTOCOLS if protocol != "cross_corpus"]


def _incomplete(corpus: _corpora.Corpus) -> str | None:
    """What is missing of the official releases; None where nothing is, or where one of the corpora is no release."""
    names = corpus.name.split("+")
    official = sum((Counter(SOURCES[name].clips) for name in names if name in SOURCES), Counter())
    counts = [(corpus.found.get(channel, 0), count, channel) for channel, count in official.items()]
    if not set(names) <= set(SOURCES) or all(found == count for found, count, _ in counts):
        return None
    return "found " + ", ".join(f"{found:,} of {count:,} official {channel} clips" for found, count, channel in counts)


Released = StrEnum("Released", list(SOURCES))  # type: ignore[misc]


@app.command()
def download(
    corpus: Annotated[Released, typer.Argument(help="Which corpus.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds the corpora; default: $SERLIB_DATA, else data/raw.",
            file_okay=False,
            resolve_path=True,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence and download.")] = False,
) -> None:
    """Fetch a released corpus from its official source, licence first; a stopped download goes on where it stopped.

    SAVEE and IEMOCAP need registration: says where and how, then checks what was unpacked. Ends with 1 wherever the
    corpus is not complete, without --yes too, so that no script goes on as if it were.
    """
    from serlib import downloads as _downloads

    try:
        complete = _downloads.download(corpus, data, yes, typer.echo)
    except (_downloads.DownloadError, OSError) as error:
        typer.secho(str(error), fg="red", err=True)
        complete = False
    if not complete:
        raise typer.Exit(1)


@app.command()
def features(
    names: Annotated[list[str] | None, typer.Argument(help="Corpora; default: all that are found.")] = None,
    data: Data = None,
    wanted: Annotated[
        str,
        typer.Option("--features", help="Among log_mel, mfcc, chroma, contrast, zcr, rms, pitch, periodicity; by +."),
    ] = "log_mel+mfcc",
    n_mels: Annotated[int, typer.Option(help="Mel bands.")] = 64,
    n_mfcc: Annotated[int, typer.Option(help="MFCCs.")] = 40,
) -> None:
    """Extract features of whole corpora into the cache, data/features; what is there already is kept."""
    from serlib import features as _features

    try:
        feature_set = _features.FeatureSet(tuple(wanted.split("+")), n_mels=n_mels, n_mfcc=n_mfcc)
        for name in names or _corpora.available(data):
            corpus = _corpora.load(name, data)
            started = time.perf_counter()
            files = set(_features.fill_cache(corpus.utterances, feature_set))
            seconds = time.perf_counter() - started
            megabytes = sum(path.stat().st_size for path in files) / 1e6
            print(f"{name}: {len(corpus.utterances):,} clips, {megabytes:,.0f} MB, {seconds:.1f} s")
        print(f"in {next(iter(files)).parent}")
    except (ValueError, OSError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error


#: Those of `serlib.explain`, which are not read from there because that loads TensorFlow
Method = StrEnum("Method", ["grad_cam", "grad_cam_plus_plus", "score_cam", "smooth_grad", "attention_rollout"])


@app.command()
def predict(
    recordings: Annotated[
        list[Path], typer.Argument(help="Sound files of any length, in any format that libsndfile reads.")
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of a run of notebook 04, 05, 06, 08, 09, 10, 17 or 18; default: see docs/using.md."),
    ] = None,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    over_time: Annotated[
        Path | None, typer.Option(help="PNG to draw: emotion over time through each recording.", dir_okay=False)
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(help="PNG to draw: for each recording, where the network looked, by --method.", dir_okay=False),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="How --explain finds the places; default: what suits the network, grad_cam where it has convolutions."
        ),
    ] = None,
) -> None:
    """Name the emotion of recordings with a model that a notebook left, or say why none is named.

    A file that cannot be read costs its own answer only; the command then ends with 1.
    """
    from serlib import predict as _predict

    try:
        for picture in filter(None, (explain, over_time)):
            if picture.suffix.lower() != ".png":
                raise ValueError(f"{picture} must end in .png")
            if not picture.parent.is_dir():
                raise ValueError(f"{picture} cannot be written: there is no folder {picture.parent}")
        if method and not explain:
            raise ValueError("--method says how --explain finds the places; give a picture to --explain as well")
        folder = run or _predict.find()
        recogniser = _predict.with_trust(_load(folder, light=explain is None), folder, data)
        answers = [_answer(recogniser, path) for path in recordings]
        read = [answer for answer in answers if answer.error is None]
        if explain and read:
            method = method or Method(_predict.default_method(recogniser))
            _explain(recogniser, read, explain, method)
        if over_time and read:
            _plots().emotions_over_time(read, recogniser.classes).savefig(over_time)
    except (OSError, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps([_as_json(answer) for answer in answers], indent=1))
    else:
        _print_answers(recogniser, answers, folder)
        if over_time and read:
            print(f"{over_time} shows emotion over time; pale: too quiet to have a say, or no answer at all.")
        if explain and read and method == Method.attention_rollout:
            print(f"{explain} shows what attention gathered, whatever the answer; notebook 08 says what that is worth.")
        elif explain and read:
            print(f"{explain} shows what spoke for the answers according to {method}; notebook 10 tests such maps.")
    if len(read) < len(answers):
        for answer in answers:
            if answer.error:
                typer.secho(answer.error, fg="red", err=True)
        raise typer.Exit(1)


@app.command()
def demo(
    run: Annotated[Path | None, typer.Option(help="Folder of a run; default: one that is found.")] = None,
    data: Data = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reached from this machine alone.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
) -> None:
    """Open a page that records or takes a file and shows what a network makes of it; Ctrl+C ends it."""
    from serlib import demo as _demo
    from serlib import predict as _predict

    try:
        folder = run or _predict.find()
        recogniser = _predict.with_trust(_load(folder, light=False), folder, data)
        print(f"Open http://{host}:{port} in your browser (Ctrl+C ends it). It asks the network of {folder}.")
        _demo.serve(recogniser, host=host, port=port)
    except (ImportError, OSError, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error


def _load(folder: Path, *, light: bool):
    """A run to ask, by LiteRT where `light` and possible; maps need Keras."""
    from serlib import litert, predict

    try:
        if light:
            with _quiet():
                return litert.load(folder)
    except litert.LiteRTError as error:
        typer.secho(f"{error}; Keras answers, which takes longer to start.", err=True)
    with _quiet():
        return predict.load(folder)


def _answer(recogniser, path: Path):
    """As `serlib.predict.answer`; where nothing can be read, the error says what to do."""
    from serlib import predict as _predict

    if path.is_dir():
        return _predict.Answer(str(path), error=f"{path} is a folder; name the files in it, such as {path}/*.wav")
    answer = _predict.answer(recogniser, path)
    if answer.error and path.suffix.lower() in _corpora.UNREADABLE and path.is_file():
        answer = replace(answer, error=f"{answer.error} Save it as wav, flac, ogg or mp3.")
    return answer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what TensorFlow says while it is imported; its C++ part greets on the second file descriptor."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _as_json(answer) -> dict:
    told = {"path": answer.path, "seconds": round(answer.seconds, 2), "emotion": answer.emotion}
    told |= {"reasons": answer.reasons, "error": answer.error}
    told |= {f"p_{name}": round(p, 4) for name, p in answer.p.items()}
    return told | {"over_time": answer.over_time.round(4).to_dict("records")}


def _print_answers(recogniser, answers, folder: Path) -> None:
    table = Table("recording", "seconds", "answer", "probability", "next")
    for answer in answers:
        ranked = sorted(answer.p, key=answer.p.__getitem__, reverse=True)
        row = [Path(answer.path).name, "–" if answer.error else f"{answer.seconds:.1f}"]
        if answer.emotion:
            row += [answer.emotion, f"{answer.p[ranked[0]]:.0%}", f"{ranked[1]} {answer.p[ranked[1]]:.0%}"]
        table.add_row(*row, *["not read" if answer.error else "none"] * (len(row) == 2))
    Console().print(table)
    for answer in answers:
        for reason in answer.reasons:
            print(f"{Path(answer.path).name}: {reason}")
    if all(answer.error for answer in answers):
        return
    kind = "synthetic speech, which says nothing of real voices" if recogniser.corpus == "mini" else "acted speech"
    print(f"{recogniser.model.name} of {folder}, trained on {recogniser.corpus}, {kind}; {recogniser.honest}.")
    if recogniser.trust is None:
        print(
            "Its training clips are not at hand: probabilities are not calibrated, and nothing unlike them is refused."
        )
    elif recogniser.trust.voices == 1:
        print("It has learned from one voice alone, so every other voice lies far from its training data.")


Predictions = Annotated[
    Path, typer.Option(help="Folder of gathered runs, with runs.csv.", exists=True, file_okay=False)
]


@app.command()
def stale(predictions: Predictions = _corpora.REPOSITORY / "data" / "predictions", profile: str = "full") -> None:
    """List gathered runs that the code or report.yaml would no longer give; prints nothing where there are none."""
    from serlib import runs

    found = runs.stale(predictions, profile)
    for row in found.itertuples():
        print(f"{row.notebook}/{row.run}: {row.why}")
    if len(found):
        raise typer.Exit(1)


@app.command()
def waive(
    notebook: Annotated[str, typer.Argument(help="Such as 04_cnn.")],
    reason: Annotated[str, typer.Option(help="Why its runs hold although the code changed; it is recorded.")],
    predictions: Predictions = _corpora.REPOSITORY / "data" / "predictions",
) -> None:
    """Accept a notebook's gathered runs under the code as it is now."""
    from serlib import runs

    try:
        count = runs.waive(predictions, notebook, reason)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    print(f"{notebook}: accepted runs of {count} older states of the code, recorded in {predictions / runs.WAIVERS}")


@app.command()
def audit(
    what: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of runs, or CSVs of a split of your own (data/README.md); default: committed runs."
        ),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Of a CSV that does not say it, such as random.")] = None,
    scales: Annotated[
        bool, typer.Option("--scales", help="Also compare the scale inside each run's network with its training clips.")
    ] = False,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of tables.")] = False,
) -> None:
    """Look for leaks: speakers, texts, sounds or copies that parts of a split share. Exit status 1 where there are."""
    from serlib import audit as _audit

    found, wrong_scales = [], []
    for path in what or [_corpora.REPOSITORY / "data" / "predictions"]:
        try:
            found.append(_audit.leaks(_audit.read(path, protocol)).assign(path=str(path)))
            wrong = _audit.scale(path, data) if scales else None
        except (FileNotFoundError, ValueError) as error:
            raise typer.BadParameter(str(error)) from error
        wrong_scales += [{"path": str(path), "shared": wrong, "verdict": _audit.FAULT}] if wrong else []
    table = pd.concat(found, ignore_index=True)
    faults = table[table.verdict == _audit.FAULT]
    if as_json:
        print(json.dumps([*json.loads(table.to_json(orient="records")), *wrong_scales], indent=1))
    else:
        told = [_audit.told(row) for _, row in faults.iterrows()]
        for line in [*told, *(f"{wrong['path']}: {wrong['shared']}" for wrong in wrong_scales)]:
            print(f"{_audit.FAULT}: {line}")
        for verdict in (_audit.DECLARED, _audit.ALLOWED):
            for line in _audit.summary(table[table.verdict == verdict]):
                print(f"{verdict}: {line}")
        print(f"{len(faults) + len(wrong_scales)} faults")
    if len(faults) or wrong_scales:
        raise typer.Exit(1)


def _plots():
    from serlib import plots

    plots.use_style()
    return plots


def _explain(recogniser, answers, path: Path, method: str) -> None:
    """Explain the answers in one figure; nothing is written unless all recordings can be explained."""
    from serlib import explain as _explain_module
    from serlib import predict as _predict

    x = _predict.inputs(recogniser, answers)
    emotions = [max(answer.p, key=answer.p.__getitem__) for answer in answers]
    try:
        maps = _predict.relevance(recogniser, x, emotions, method)
    except _explain_module.ExplainError as error:
        raise ValueError(f"{path} not written: {method} cannot explain {recogniser.model.name}: {error}") from error
    titles = []
    for answer, emotion in zip(answers, emotions, strict=True):
        name = Path(answer.path).name
        name = name if len(name) <= 40 else f"{name[:24]}…{name[-15:]}"
        told = f"{emotion}, {answer.p[emotion]:.0%}"
        titles.append(f"{name}: {told if answer.emotion else f'no answer ({told})'}")
        if len(answer.over_time) > 1:
            titles[-1] += f" (the {recogniser.seconds:.2f} of {answer.seconds:.2f} s that say so most)"
    times = recogniser.features.frames.times(x.shape[1])
    fig = _plots().explanations(x, maps, times, titles, hertz=recogniser.hertz, method=method)
    fig.savefig(path)


def _line(key: str, value: str) -> str:
    """One fact of a card, wrapped to 80 columns; a path or an address is never cut, so that it can be copied."""
    return textwrap.fill(
        value,
        width=80,
        initial_indent=f"  {key:<11}",
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _record(corpus: _corpora.Corpus) -> dict:
    table = corpus.utterances
    return {
        "corpus": corpus.name,
        "clips": corpus.n_clips,
        "speakers": int(table.speaker.nunique()),
        "emotions": {emotion: int(count) for emotion, count in table.emotion.value_counts().sort_index().items()},
        "problems": corpus.problems.to_dict("records"),
    }
