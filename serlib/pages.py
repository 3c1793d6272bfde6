"""Executed notebooks as web pages that link to each other."""

from __future__ import annotations

import base64
import functools
import mimetypes
import os
import re
import shutil
import subprocess
from pathlib import Path

from serlib.corpora import REPOSITORY

#: For print: prose, figures and tables; no code, nothing torn apart or wider than the page.
PRINT = """<style>@media print {
  .jp-CodeCell > .jp-Cell-inputWrapper, .jp-InputPrompt, .jp-OutputPrompt, audio { display: none !important }
  .jp-Notebook { padding: 0 } table { font-size: 7pt; width: 100%; table-layout: auto; break-inside: auto }
  td, th { white-space: normal !important; overflow-wrap: break-word; padding: 1pt 3pt !important }
  img, tr { break-inside: avoid; max-width: 100% } pre { white-space: pre-wrap } @page { size: A4; margin: 18mm }
}</style>"""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")


def to_pdf(page: Path, pdf: Path) -> Path:
    """A page printed by Chromium, where there is one; the PDF, or the page itself, which any browser prints."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        return page
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={pdf.resolve()}"]
    subprocess.run([browser, *quiet, page.resolve().as_uri()], check=True, capture_output=True, timeout=300)
    return pdf


def to_html(executed: dict[str, Path], folder: Path) -> None:
    """Executed notebooks, and the README as their index, as HTML pages that link to each other.

    Parameters
    ----------
    executed : dict of str to Path
        Page name (the notebook's stem) -> executed notebook.
    folder : Path
        Receives ``<name>.html`` and ``index.html``, images embedded.

    Notes
    -----
    Players of recordings other than the synthetic corpus's are replaced by a line that says so: pages may be passed
    on, the recordings may not. TensorFlow's greetings are left out.
    """
    import nbformat
    from nbconvert import HTMLExporter

    folder.mkdir(parents=True, exist_ok=True)
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    readme = nbformat.v4.new_markdown_cell((REPOSITORY / "README.md").read_text())
    pages = {"index": (nbformat.v4.new_notebook(cells=[readme]), REPOSITORY)}
    for name, path in executed.items():
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            _tidy(cell, notebook.metadata.get("papermill", {}).get("parameters", {}).get("corpus") == "mini")
        pages[name] = (notebook, REPOSITORY / "notebooks")
    for name, (notebook, home) in pages.items():
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": name, "path": str(home)}})
        body = body.replace("</head>", f"{PRINT}</head>", 1)
        body = re.sub(r'src="(?!data:|https?:)([^"]+)"', functools.partial(_embed, home=home), body)
        link = functools.partial(_link, home=home, folder=folder, pages=set(pages))
        (folder / f"{name}.html").write_text(re.sub(r'href="([^"#:]+)(#[^"]*)?"', link, body))


def _tidy(cell, may_play: bool) -> None:
    """Take players of licensed recordings and TensorFlow's log lines out of one executed cell."""
    for output in cell.get("outputs", []):
        if "<audio" in str(output.get("data", {}).get("text/html", "")) and not may_play:
            output["data"] = {"text/plain": "(an audio player, in the notebook itself: the recording is licensed)"}
        if output.get("name") == "stderr":
            output["text"] = re.sub(r"(?m)^(WARNING: All log messages before absl|I0000 ).*\n?", "", output["text"])
    if "outputs" in cell:
        cell["outputs"] = [output for output in cell["outputs"] if output.get("text", True)]


def _embed(match: re.Match[str], home: Path) -> str:
    """An image file as part of the page; nbconvert's own embedding refuses ``../`` and breaks folded answers."""
    path = home / match[1]
    if not path.is_file():
        return match[0]
    return f'src="data:{mimetypes.guess_type(path)[0]};base64,{base64.b64encode(path.read_bytes()).decode()}"'


def _link(match: re.Match[str], home: Path, folder: Path, pages: set[str]) -> str:
    """A relative link of a file in `home`, as a page in `folder` needs it."""
    path = (home / match[1]).resolve()
    name = {"README": "index"}.get(path.stem, path.stem)
    if path.suffix in {".ipynb", ".md"} and name in pages:
        anchor = "#The-course" if match[2] == "#the-course" else match[2] or ""  # nbconvert keeps the heading's case
        return f'href="{name}.html{anchor}"'
    return f'href="{os.path.relpath(path, folder.resolve())}"'
