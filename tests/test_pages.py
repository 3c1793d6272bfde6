"""The book of all notebooks, one of them executed; in a browser where there is one, visibly skipped elsewhere."""

import html
import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from IPython.display import Audio

from serlib import pages
from serlib.corpora import REPOSITORY

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
NOTEBOOKS = {path.stem: path for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))}


def executed(path, corpus):
    """A notebook as papermill leaves it: a player, a picture with its text, a wide table, TensorFlow's greeting."""
    wide = "".join(f"<td>{k:09}</td>" for k in range(40))
    data = [
        {"text/html": Audio(np.sin(np.arange(8000) / 5), rate=8000)._repr_html_()},
        {"image/png": PICTURE},
        {"text/html": f"<table><thead><tr><th>epoch</th></tr></thead><tbody><tr>{wide}</tr></tbody></table>"},
        {"text/markdown": "[predictions](../data/README.md)"},
    ]
    outputs = [nbformat.v4.new_output("display_data", each) for each in data]
    outputs[1].metadata = {"image/png": {"alt": "Lines of UAR against epoch."}}
    said = "I0000 00:00 cudart_stub.cc:31] no\nmind this\n"
    outputs.append(nbformat.v4.new_output("stream", name="stderr", text=said))
    cells = [
        nbformat.v4.new_markdown_cell("# 01 · A title before it was reworded", id="title"),
        nbformat.v4.new_markdown_cell("[course map](../README.md#the-course) · [02 →](02_feature_extraction.ipynb)"),
        nbformat.v4.new_code_cell("import serlib", id="imports"),
        nbformat.v4.new_markdown_cell("UAR, and UAR again, of [runs](../report.yaml) of [04](04_cnn.ipynb)."),
        nbformat.v4.new_markdown_cell("<details><summary>Answer</summary>\n\nFolded.\n\n</details>"),
        nbformat.v4.new_code_cell("play()", outputs=outputs),
    ]
    known = {"papermill": {"parameters": {"corpus": corpus}}, "language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=known), path)
    return path


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """As it is published: the repository has a name."""
    folder = tmp_path_factory.mktemp("bound")
    first = {"01_dataset_exploration": executed(folder / "mini.ipynb", "mini")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_REPOSITORY", "someone/course")
        return pages.book(NOTEBOOKS | first, folder / "book").parent


@pytest.fixture
def no_api(monkeypatch):
    """Pages of docstrings take half of the time."""
    monkeypatch.setattr(pages, "_write_api", lambda folder: (folder.mkdir(), (folder / "index.md").write_text("# API")))


def site(book):
    return {path.relative_to(book): path.read_text() for path in book.rglob("*.html") if "_static" not in path.parts}


def test_every_link_of_the_book_leads_somewhere(book):
    broken = []
    for page, text in site(book).items():
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            path = unquote(html.unescape(target)).partition("#")[0].partition("?")[0]
            if path and not re.match(r"https?:|data:|mailto:", path) and not (book / page.parent / path).exists():
                broken.append(f"{page}: {path}")
    assert broken == []


def test_every_link_of_the_repository_leads_somewhere():
    texts = {page: page.read_text() for home in ("", "docs", "data") for page in (REPOSITORY / home).glob("*.md")}
    for page in NOTEBOOKS.values():
        cells = nbformat.read(page, as_version=4).cells
        texts[page] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = {page: re.findall(r"\]\((?!https?:|attachment:|#)([^)#\s]+)", text) for page, text in texts.items()}
    broken = [f"{page}: {link}" for page, found in links.items() for link in found if not (page.parent / link).exists()]
    assert broken == [] and sum(map(len, links.values())) > 200


def test_pages_of_docs_lead_to_each_other(book):
    pages_of = site(book)
    assert 'href="using.html"' in pages_of[pages.Path("README.html")]
    using = pages_of[pages.Path("using.html")]
    assert 'href="README.html#your-own-voice"' in using and 'href="notebooks/10_grad_cam.html"' in using
    assert 'src="_images/features.png"' in using
    assert 'href="https://github.com/someone/course/blob/main/serlib/transformer.py"' in using


def test_a_chapter_begins_with_its_question_and_explains_its_terms_once(book):
    chapter = site(book)[pages.Path("notebooks/01_dataset_exploration.html")]
    article = chapter[chapter.index("<article") : chapter.index("</article>")]
    assert "course map" not in article, "the site has its own way from page to page"
    assert article.count('href="../glossary.html#term-') == 1, "UAR leads to the glossary where it is first used"
    assert 'href="04_cnn.html"' in article
    for path in ("report.yaml", "data/README.md"):
        assert f'href="https://github.com/someone/course/blob/main/{path}"' in article
    assert "comes from a run with corpus = 'mini'" in html.unescape(re.sub("<[^>]+>", "", article))
    assert "mybinder.org/v2/gh/someone/course/" in article and "someone/course/blob/colab/notebooks/01_" in article
    answer = article[article.index("<summary>Answer") :]
    assert answer.index("Folded.") < answer.index("</details>"), "the answer stays inside its fold"
    assert "cudart_stub" not in article and "mind this" in article
    assert "Imports" in article and 'alt="Lines of UAR against epoch."' in article


def test_prose_is_as_it_is_now_not_as_it_was_when_it_was_run(book):
    text = (book / "notebooks" / "01_dataset_exploration.html").read_text()
    assert "before it was reworded" not in text and "01 · What is in a corpus" in text


def test_every_notebook_stands_in_the_map_with_what_it_needs(book):
    start = site(book)[pages.Path("index.html")]
    course_map = start[start.index("course-map") : start.index("</ol>")]
    assert re.findall(r"notebooks/(\w+)\.html", course_map) == list(NOTEBOOKS)
    assert course_map.count("<path") >= len(NOTEBOOKS) - 2


def test_no_image_is_without_a_text_and_no_page_names_this_machine(book):
    for page, text in site(book).items():
        for image in re.findall(r"<img[^>]+>", text):
            assert re.search(r'alt="[^"]+"', image) and not re.search(r'alt="\S+\.png"', image), f"{page}: {image}"
        assert str(REPOSITORY) not in text, page


def test_licensed_recordings_are_not_passed_on(tmp_path):
    for corpus, may_play in (("mini", True), ("tess", False), ("mini+tess", False), ("auto", False)):
        notebook = json.loads(executed(tmp_path / "executed.ipynb", corpus).read_text())
        pages._tidy(notebook, str)
        left = json.dumps(notebook)
        assert ("<audio" in left, "data:audio" in left) == (may_play, may_play), corpus
        assert (pages.NO_PLAYER in left) != may_play


def test_what_is_broken_is_named(tmp_path, no_api):
    cells = [nbformat.v4.new_markdown_cell("# 01 · Broken\n\n![gone](../figures/gone.png)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "broken.ipynb")
    with pytest.raises(RuntimeError, match=r"gone\.png"):
        pages.book({"01_dataset_exploration": tmp_path / "broken.ipynb"}, tmp_path / "book")


def test_at_home_links_lead_to_the_files_themselves(tmp_path, monkeypatch, no_api):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    first = {"01_dataset_exploration": executed(tmp_path / "mini.ipynb", "mini")}
    book = pages.book(first, tmp_path / "book").parent
    text = site(book)[pages.Path("notebooks/01_dataset_exploration.html")]
    for name in ("report.yaml", "04_cnn.ipynb"):
        (path,) = set(re.findall(rf'href="([^"]+{name})"', text))
        assert (book / "notebooks" / path).resolve() == next(REPOSITORY.rglob(name)).resolve()
    assert "mybinder" not in text


def test_on_colab_a_first_cell_fetches_and_installs(tmp_path):
    pages.for_colab(tmp_path, "someone/course")
    assert sorted(path.stem for path in tmp_path.glob("*.ipynb")) == list(NOTEBOOKS)
    notebook = nbformat.read(tmp_path / "04_cnn.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert "https://github.com/someone/course" in notebook.cells[0].source
    assert len(notebook.cells) == len(nbformat.read(NOTEBOOKS["04_cnn"], as_version=4).cells) + 1


@pytest.fixture(scope="module")
def address(book):
    """The book as a server gives it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=book)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("width", [390, 1400])
def test_pages_fit_the_screen(book, address, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for name in site(book):
        page.goto(f"{address}/{name}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide"


def test_a_table_keeps_its_head_a_player_plays_and_search_finds(address, page):
    page.goto(f"{address}/notebooks/01_dataset_exploration.html")
    assert page.locator(".cell_output thead").is_visible()
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0")
    page.goto(f"{address}/search.html?q=UAR")
    page.locator("#search-results li").first.wait_for()
    found = page.locator("#search-results").inner_text()
    assert "Glossary" in found and "03 · Protocols and metrics" in found


def test_every_paper_that_is_cited_stands_in_the_bibliography():
    entries = re.split(r"\n(?=@)", (REPOSITORY / "docs" / "references.bib").read_text())
    prose = [cell["source"] for path in NOTEBOOKS.values() for cell in nbformat.read(path, as_version=4).cells]
    texts = "\n".join([*prose, (REPOSITORY / "README.md").read_text()])
    texts += "\n".join(path.read_text() for path in (REPOSITORY / "serlib").glob("*.py"))
    corpus_page = "10.5281/zenodo.1188976"  # of a release, which data/README.md cites with its paper
    cited = set(re.findall(r"\b10\.\d{4,9}/[\w./()-]*\w", texts)) | set(re.findall(r"arXiv:(\d{4}\.\d{4,5})", texts))
    assert {doi for doi in cited if not any(doi in entry for entry in entries)} == {corpus_page}
    named = re.findall(r"\b([A-Z][\w'-]+)(?: and [A-Z]\w+| & [A-Z]\w+| et al\.)? \(?((?:19|20)\d\d)\b", texts)
    unknown = {(name, year) for name, year in named if not any(name in e and year in e for e in entries)}
    assert unknown == set()
