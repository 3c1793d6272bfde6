"""The book: executed notebooks, docs and README as one site that is read without a network, built by Sphinx."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from serlib.corpora import REPOSITORY

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: What a page says in place of a player whose recording may not be passed on.
NO_PLAYER = "(an audio player, in the notebook itself: the recording is licensed)"
#: Cells that a page folds, by their first tag or else their id: a chapter begins with its question, not with imports.
FOLDED = {"imports": "Imports", "imports-serlib": "Imports of serlib", "parameters": "Parameters"}
FOLDED |= {"injected-parameters": "Parameters of the run on this page"}
#: First cell of a notebook on Colab, which has neither this repository nor its packages.
COLAB = """# this repository and its packages, once; the synthetic corpus mini makes itself
!test -d /content/course || git clone --quiet --depth 1 {url} /content/course
%cd -q /content/course/notebooks
%pip install --quiet -e .."""


def chromium() -> str | None:
    """Where Chromium, or Chrome, is on this machine."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def to_pdf(page: Path, pdf: Path) -> Path:
    """A page printed by Chromium, where there is one; the PDF, or the page itself, which any browser prints."""
    browser = chromium()
    if browser is None:
        return page
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={pdf.resolve()}"]
    subprocess.run([browser, *quiet, page.resolve().as_uri()], check=True, capture_output=True, timeout=300)
    return pdf


def book(executed: Mapping[str, Path], folder: Path) -> Path:
    """Build the book in a folder, anew.

    Parameters
    ----------
    executed : mapping of str to Path
        Page name (the notebook's stem) -> executed notebook.
    folder : Path
        Receives the site. Its sources lie beside it, in ``<folder>_source``.

    Returns
    -------
    Path
        The first page.

    Raises
    ------
    RuntimeError
        Sphinx found a broken link, an unknown citation or the like; the message is what it said.

    Notes
    -----
    Players of recordings other than the synthetic corpus's are replaced by a line that says so: pages may be passed
    on, the recordings may not. Prose is that of ``notebooks`` as it is now, since reworded text makes no run again.
    TensorFlow's greetings are left out, and so are the links from notebook to notebook at the top and the end, for
    which a site has its own. Where ``GITHUB_REPOSITORY`` names the repository, as it does in GitHub's workflows,
    links to its files lead there and each notebook can be opened on Binder and Colab.
    """
    source = folder.with_name(f"{folder.name}_source")
    for old in (folder, source):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(REPOSITORY / "docs", source, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    (source / "figures").symlink_to(REPOSITORY / "figures")
    (source / "notebooks").mkdir()
    repository = os.environ.get("GITHUB_REPOSITORY")
    texts = [Path("README.md"), *(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("docs/*.md"))]
    notebooks = {name: Path("notebooks", f"{name}.ipynb") for name in executed}
    pages = {path: Path(path.name) for path in texts} | {path: path for path in notebooks.values()}

    def linked(text: str, page: Path) -> str:
        home = os.path.relpath(REPOSITORY, folder / pages[page].parent)
        top = f"https://github.com/{repository}/blob/main" if repository else home
        return _linked(text, page, pages, lambda path: f"{top}/{path}")

    for path in texts:
        (source / path.name).write_text(linked((REPOSITORY / path).read_text(), path))
    for name, path in notebooks.items():
        notebook = json.loads(executed[name].read_text())
        _reword(notebook, json.loads((REPOSITORY / path).read_text()))
        _tidy(notebook, functools.partial(linked, page=path))
        notebook["cells"].insert(1, _origin(notebook, name, repository))
        (source / path).write_text(json.dumps(notebook))
    _write_api(source / "api")
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", str(source), str(folder)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(sphinx, capture_output=True, text=True, env=quiet, check=False)
    shutil.rmtree(folder.with_name("jupyter_execute"), ignore_errors=True)  # MyST-NB's scratch, which no page reads
    if done.returncode:
        raise RuntimeError(f"the book could not be built from {source}:\n{done.stderr}")
    return folder / "index.html"


def for_colab(folder: Path, repository: str) -> None:
    """Write every notebook with a first cell that fetches the repository (``owner/name`` on GitHub) and installs it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text())
        cell: dict = {"cell_type": "code", "id": "colab", "metadata": {}, "execution_count": None, "outputs": []}
        cell["source"] = COLAB.format(url=f"https://github.com/{repository}")
        notebook["cells"].insert(0, cell)
        (folder / path.name).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def _parameters(notebook: dict) -> dict:
    """What papermill was told; empty where it did not execute the notebook."""
    return notebook["metadata"].get("papermill", {}).get("parameters", {})


def _reword(notebook: dict, now: dict) -> None:
    """Give an executed notebook the prose that its cells have now: who rewords a paragraph makes no run again."""
    prose = {cell["id"]: cell["source"] for cell in now["cells"] if cell["cell_type"] == "markdown"}
    for cell in notebook["cells"]:
        cell["source"] = prose.get(cell.get("id"), cell["source"])


def _origin(notebook: dict, name: str, repository: str | None) -> dict:
    """A cell that says which run made a page, and where its notebook can be run."""
    said = []
    given = _parameters(notebook)
    if "corpus" in given:
        shown = ", ".join(f"`{key} = {value!r}`" for key, value in given.items() if key != "out_dir")
        said += [
            f"What this page plays, prints and draws as it goes comes from a run with {shown}; the figures under "
            "*What you should see* come from the runs of the full report."
        ]
    if repository:
        binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/notebooks/{name}.ipynb"
        colab = f"https://colab.research.google.com/github/{repository}/blob/colab/notebooks/{name}.ipynb"
        said += [f"Run this notebook [on Binder]({binder}), [on Colab]({colab}) or [at home](../README.md)."]
    return {"cell_type": "markdown", "id": "origin", "metadata": {}, "source": "\n\n".join(said)}


def _tidy(notebook: dict, linked: Callable[[str], str]) -> None:
    """Take licensed players, TensorFlow's log lines and links to neighbours out of an executed notebook."""
    may_play = _parameters(notebook).get("corpus") == "mini"
    cells: list[dict] = notebook["cells"]
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text = linked("\n".join(line for line in text.splitlines() if "[course map](" not in line))
        cell["source"] = text
        tags = cell["metadata"].setdefault("tags", [])
        if name := FOLDED.get(next(iter(tags), cell["id"])):
            cell["metadata"] |= {"tags": [*tags, "hide-input"], "mystnb": {"code_prompt_show": name}}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "<audio" in "".join(data.get("text/html", "")) and not may_play:
                output["data"] = {"text/plain": NO_PLAYER}
            if "text/markdown" in data:
                data["text/markdown"] = linked("".join(data["text/markdown"]))
            if output.get("name") == "stderr":
                said = "".join(output["text"])
                output["text"] = re.sub(r"(?m)^(WARNING: All log messages before absl|I0000 ).*\n?", "", said)
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if output.get("text", True)]


def _linked(text: str, page: Path, pages: Mapping[Path, Path], elsewhere: Callable[[Path], str]) -> str:
    """Markdown of a page of the repository as the book shows it.

    `pages` is file in the repository -> page of the book. Links to those lead there, links to other files `elsewhere`;
    the book holds figures where the repository does.
    """
    here = pages[page].parent

    def link(match: re.Match[str]) -> str:
        image, words, target, place = match.groups(default="")
        path = Path(os.path.normpath(page.parent / target))
        if image or path in pages:
            return f"{image}[{words}]({os.path.relpath(pages.get(path, path), here)}{place})"
        return f'<a href="{elsewhere(path)}">{words}</a>'

    return re.sub(r"(!?)\[([^\]]+)\]\((?!https?:|attachment:|data:|#)([^)#\s]+)(#[^)]*)?\)", link, text)


def _write_api(folder: Path) -> None:
    """A page of every module of serlib, from its docstrings, and one that lists them."""
    folder.mkdir()
    modules = sorted(path.stem for path in (REPOSITORY / "serlib").glob("[!_]*.py"))
    for name in modules:
        text = f"# serlib.{name}\n\n```{{eval-rst}}\n.. automodule:: serlib.{name}\n```\n"
        (folder / f"{name}.md").write_text(text)
    listed = "\n".join(modules)
    said = "What notebooks share. Every page is made of a module's docstrings."
    (folder / "index.md").write_text(f"# serlib\n\n{said}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")
