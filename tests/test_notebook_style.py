"""What every notebook has in common, so that readers and tools find it."""

import ast
import itertools
import json
import re

import pytest

from serlib import provenance
from serlib.corpora import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
COMMON_PARAMETERS = [
    *("corpus", "protocol", "fold", "seed", "n_epochs", "batch_size", "max_utterances", "data_dir", "out_dir")
]
SECTIONS = ["The question", "What you should see", "Limits", "Try it", "Check yourself", "Summary"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    content = json.loads(request.param.read_text())
    for cell in content["cells"]:
        cell["source"] = "".join(cell["source"])
    return request.param, content["cells"]


def of_type(cells, kind):
    return [cell for cell in cells if cell["cell_type"] == kind]


def test_skeleton(notebook):
    path, cells = notebook
    markdown = [cell["source"] for cell in of_type(cells, "markdown")]
    headings = re.findall(r"^(#+) (.+)$", "\n\n".join(markdown), re.MULTILINE)
    assert next(text for level, text in headings if level == "#").startswith(f"{path.stem[:2]} · ")
    assert sum(level == "#" for level, _ in headings) == 1
    second = [text for level, text in headings if level == "##"]
    assert [text for text in second if text in SECTIONS] == SECTIONS
    card = markdown[1]
    assert [row in card for row in ("**You will**", "**You need**", "**Time**", "**Writes**")] == [True] * 4
    assert "\n\n".join(markdown).count("<details><summary>Answer</summary>") >= 5
    summary, navigation = markdown[-1].partition("## Summary\n\n")[2].split("\n\n")
    assert 3 <= len(re.findall(r"[.?!](?= |$)", summary)) <= 5 and "[course map]" in navigation
    assert len(" ".join(markdown).split()) >= 400
    most = {"02": 62, "20": 70}.get(path.stem[:2], 48)  # 02 derives ten features by hand, 20 reports on all
    assert 20 <= len(cells) <= most


def test_cells_are_short_named_and_without_output(notebook):
    _, cells = notebook
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)
    assert [i for i in ids if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", i)] == []
    for cell in of_type(cells, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None, f"{cell['id']} has output: run nbstripout"
        assert len(cell["source"].splitlines()) <= 25, f"{cell['id']} is too long to read at once"


def test_every_exercise_has_a_cell_to_start_in_and_a_check_and_nothing_depends_on_it(notebook):
    path, cells = notebook
    ids = [cell["id"] for cell in cells]
    tries = [cell for cell in cells if provenance.EXERCISE in cell["metadata"].get("tags", [])]
    assert [cell["id"] for cell in tries] == ["try-1", "try-2", "try-3"]
    for k, cell in enumerate(tries, 1):
        begin = r"^answer = \.\.\.  # (a letter in quotes|a number)\n"
        check = rf'exercises\.check\("{path.stem[:2]}\.{k}", answer, "[0-9a-f]{{8}}"\)$'
        assert re.search(begin + check, cell["source"], re.MULTILINE)
        before = cells[ids.index(cell["id"]) - 1]["source"]
        assert re.search(r"\*\*\d\.\*\* ", before) and "<details><summary>Answer" in before
    last = max(k for k, cell in enumerate(cells) if cell["cell_type"] == "code" and cell not in tries)
    assert last < ids.index("try-1"), "a run has written all it finds before the first exercise"


def test_one_parameters_cell_of_commented_literals(notebook):
    _, cells = notebook
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    lines = tagged[0]["source"].splitlines()
    assert all("  # " in line for line in lines), "every parameter has a comment"
    names = []
    for statement in ast.parse(tagged[0]["source"]).body:
        ast.literal_eval(statement.value)
        names.append(statement.targets[0].id)
    common = [name for name in names if name in COMMON_PARAMETERS]
    assert common == [name for name in COMMON_PARAMETERS if name in common], "the common names come in one order"
    assert names[: len(common)] == common, "and before the notebook's own"


def test_links_and_figures_exist(notebook):
    path, cells = notebook
    text = "\n".join(cell["source"] for cell in of_type(cells, "markdown"))
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [t for t in targets if not t.startswith("http") and not (path.parent / t).exists()]
    assert missing == []
    figures = [t for t in targets if t.endswith(".png")]
    assert figures, "curated figures of the full report are embedded"


def test_navigation_follows_the_order():
    stems = [path.stem for path in NOTEBOOKS]
    for before, after in itertools.pairwise(stems):
        assert f"({after}.ipynb)" in (REPOSITORY / "notebooks" / f"{before}.ipynb").read_text()
        assert f"({before}.ipynb)" in (REPOSITORY / "notebooks" / f"{after}.ipynb").read_text()


def test_readme_lists_every_notebook():
    readme = (REPOSITORY / "README.md").read_text()
    assert re.findall(r"\(notebooks/(\w+)\.ipynb\)", readme) == [path.stem for path in NOTEBOOKS]
