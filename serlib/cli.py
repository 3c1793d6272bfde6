"""The ``serlib`` command."""

from __future__ import annotations

import functools
import json
import textwrap
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from serlib import corpora as _corpora
from serlib import downloads as _downloads

app = typer.Typer(
    help="Speech emotion recognition on really unseen speakers.", no_args_is_help=True, add_completion=False
)


@app.command()
def corpora(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds the corpora; default: $SERLIB_DATA, else data/raw.",
            exists=True,
            file_okay=False,
            resolve_path=True,
        ),
    ] = None,
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
        missing = sorted(set(_corpora.SOURCES) - {corpus.name for corpus in found})
        for name in missing:
            source = _corpora.SOURCES[name]
            say(f"{name} not found in {_corpora.data_root(data) / name}; serlib download {name} (from {source.home})")
    for message in failed:
        typer.secho(message, fg="red", err=True)
    if failed:
        raise typer.Exit(1)


Released = StrEnum("Released", list(_corpora.SOURCES))  # type: ignore[misc]


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
    try:
        complete = _downloads.download(corpus, data, yes, typer.echo)
    except (_downloads.DownloadError, OSError) as error:
        typer.secho(str(error), fg="red", err=True)
        complete = False
    if not complete:
        raise typer.Exit(1)


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
