"""What Sphinx does not bring: the map of the course, terms that lead to the glossary where they are first used, and the
texts that figures carry for who cannot see them."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes

ROW, LEFT = 64, 110  # height of a row and width of the arcs, in pixels; book.css holds rows to the same height
SKIPPED = (nodes.title, nodes.literal, nodes.literal_block, nodes.reference, addnodes.pending_xref, nodes.raw)


def table(readme: str) -> list[dict]:
    """The rows of the README's table of notebooks: name, title, question, time to read, what it needs."""
    course = []
    for title, name, rest in re.findall(r"^\| \[([^\]]+)\]\(notebooks/(\w+)\.ipynb\) \| (.+) \|$", readme, re.M):
        question, reading, _, needs, _ = rest.split(" | ")
        notebook = {"name": name, "title": title, "question": question.replace("`", ""), "reading": reading}
        course.append(notebook | {"needs": re.findall(r"\b\d\d\b", needs)})
    return course


def drawn(course: list[dict]) -> str:
    """The course as HTML: a row for each notebook, and beside the rows an arc from each to what it needs."""
    row = {notebook["name"][:2]: k for k, notebook in enumerate(course)}
    arcs, dots, rows = [], [], []
    for k, notebook in enumerate(course):
        y = ROW * (k + 0.5)
        for needed in [number for number in notebook["needs"] if number in row]:
            above = ROW * (row[needed] + 0.5)
            reach = LEFT - 14 - (LEFT - 20) * ((k - row[needed]) / len(course)) ** 0.5 * 1.3
            arcs.append(f'<path d="M{LEFT - 8} {y} C{reach:.0f} {y} {reach:.0f} {above} {LEFT - 8} {above}"/>')
        dots.append(f'<circle cx="{LEFT - 8}" cy="{y}" r="5"/>')
        title, question, reading = (html.escape(notebook[key]) for key in ("title", "question", "reading"))
        needs = f"; needs {', '.join(notebook['needs'])}" if notebook["needs"] else ""
        link = f'<a href="notebooks/{notebook["name"]}.html">{title}</a>'
        rows.append(f'<li>{link} <small class="question">{question}</small> <small>{reading}{needs}</small></li>')
    height = ROW * len(course)
    svg = f'<svg width="{LEFT}" height="{height}" aria-hidden="true">{"".join(arcs)}{"".join(dots)}</svg>'
    return f'<div class="course-map">{svg}<ol>{"".join(rows)}</ol></div>'


class CourseMap(Directive):
    """``{course-map}``: the notebooks, each with what it needs."""

    def run(self) -> list[nodes.Node]:
        readme = Path(self.state.document.settings.env.srcdir) / "README.md"
        return [nodes.raw("", drawn(table(readme.read_text())), format="html")]


def glossary(path: Path) -> dict[str, str]:
    """Term or variant, as written -> the term that its entry begins with."""
    terms, first = {}, ""
    for line in path.read_text().split("```{glossary}", 1)[1].split("```", 1)[0].splitlines():
        if line and not line[0].isspace() and not line.startswith(":"):
            first = first or line.strip()
            terms[line.strip()] = first
        elif line.startswith("    "):
            first = ""
    return terms


def link_first_uses(app, doctree: nodes.document) -> None:
    """In a notebook's prose, the first use of each term of the glossary leads to its entry."""
    if not app.env.docname.startswith("notebooks/"):
        return
    terms = glossary(Path(app.srcdir) / "glossary.md")
    written = "|".join(sorted(map(re.escape, terms), key=len, reverse=True))
    found = re.compile(rf"(?<![\w-])({written})(?:s|es)?(?![\w-])", re.I)
    canonical = {term.lower(): first for term, first in terms.items()}
    seen: set[str] = set()
    for text in list(doctree.findall(nodes.Text)):
        if not _is_prose(text):
            continue
        parts, end = [], 0
        for match in found.finditer(text):
            term = canonical[match[1].lower()]
            if term in seen:
                continue
            seen.add(term)
            reference = addnodes.pending_xref(
                "", nodes.inline("", match[0]), refdomain="std", reftype="term", reftarget=term, refexplicit=True,
                refdoc=app.env.docname, refwarn=True,
            )  # fmt: skip
            parts += [nodes.Text(text[end : match.start()]), reference]
            end = match.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def _is_prose(text: nodes.Text) -> bool:
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, SKIPPED) or "cell_output" in node.get("classes", []):
            return False
        in_paragraph |= isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def describe_figures(app, doctree: nodes.document) -> None:
    """Give a figure that a cell drew the text which `serlib.plots.show` left beside it, and MyST-NB passes over."""
    notebook = Path(app.srcdir) / f"{app.env.docname}.ipynb"
    if not notebook.exists():
        return
    texts = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", []):
            if text := output.get("metadata", {}).get("image/png", {}).get("alt"):
                picture = base64.b64decode("".join(output["data"]["image/png"]))
                texts[hashlib.sha256(picture).hexdigest()] = text  # MyST-NB's name for the file
    for image in doctree.findall(nodes.image):
        if text := texts.get(Path(image["uri"]).stem):
            image["alt"] = text


def setup(app) -> dict:
    app.add_directive("course-map", CourseMap)
    app.connect("doctree-read", link_first_uses)
    app.connect("doctree-read", describe_figures)
    return {"parallel_read_safe": True}
