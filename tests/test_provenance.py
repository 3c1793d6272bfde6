import json

import pytest

from serlib import provenance

CELLS = [
    "from serlib import audio, plots\nfrom serlib.splits import make as divide",
    "x = audio.load('a.wav')\nplots.show(x)",
    "parts = divide(x)",
]
AUDIO = '''
"""Waveforms."""
import json
from serlib import sources
RATE = 16_000
UNUSED = 1
if RATE > 1:
    SILENT = sources.quiet(RATE)


def load(path):
    """One clip."""
    return _read(path)


def _read(path):
    return path, SILENT


def other(path):
    return path
'''
SOURCES = "class Source:\n    size = 1\n\n\ndef quiet(rate):\n    return Source\n\n\ndef loud():\n    return 2\n"
SPLITS = "def make(x):\n    from serlib import sources\n\n    return sources.quiet(x)\n"
PLOTS = "from serlib import sources\n\n\ndef show(x):\n    return sources.loud()\n"


def notebook(cells, prose=""):
    cells = [{"cell_type": "code", "source": cell, "metadata": {}} for cell in cells]
    exercise = {"cell_type": "code", "source": f"answer = {prose!r}", "metadata": {"tags": [provenance.EXERCISE]}}
    return json.dumps({"cells": [*cells, exercise, {"cell_type": "markdown", "source": [prose]}]})


def code_hash(cells=CELLS, prose="", **changed):
    modules = {"audio": AUDIO, "sources": SOURCES, "splits": SPLITS, "plots": PLOTS} | changed
    return provenance.code_hash(
        "n", {"n.ipynb": notebook(cells, prose)} | {f"{name}.py": text for name, text in modules.items()}
    )


@pytest.mark.parametrize(
    "same",
    [
        {"prose": "another paragraph"},
        {"cells": [*CELLS[:2], "# why\nparts = divide( x )"]},
        {"audio": AUDIO.replace("One clip.", "A clip.").replace("Waveforms", "Sounds")},
        {"audio": AUDIO.replace("    return path\n", "    return path, 1\n")},
        {"audio": AUDIO.replace("UNUSED = 1", "UNUSED = 2  # not reached")},
        {"audio": AUDIO + "\n\ndef new(path):\n    return path\n"},
        {"sources": SOURCES.replace("return 2", "return 3")},
        {"plots": PLOTS.replace("loud()", "quiet(1)")},
    ],
)
def test_what_cannot_change_a_number_does_not_change_the_hash(same):
    assert code_hash(**same) == code_hash()


@pytest.mark.parametrize(
    "other",
    [
        {"cells": [*CELLS[:2], "parts = divide(x, 1)"]},
        {"audio": AUDIO.replace("16_000", "8_000")},
        {"audio": AUDIO.replace("return path, SILENT", "return SILENT, path")},
        {"sources": SOURCES.replace("size = 1", "size = 2")},
        {"splits": SPLITS.replace("quiet(x)", "quiet(2)")},
        {"audio": AUDIO + "\n\nprint('a side effect')\n"},
        {"audio": AUDIO + "\n\nfor rate in range(3):\n    print(rate)\n"},
        {"audio": AUDIO + "\n\nif RATE:\n    name = 1\n    print(name)\n"},
        {"cells": [*CELLS, "y = audio.other(x)"]},
    ],
)
def test_what_can_change_a_number_changes_the_hash(other):
    assert code_hash(**other) != code_hash()


def test_a_module_used_whole_counts_whole():
    cells = [*CELLS, "f = getattr(audio, 'lo' + 'ad')"]
    changed = AUDIO.replace("    return path\n", "    return path, 1\n")
    assert code_hash(cells, audio=changed) != code_hash(cells)


def test_a_name_that_is_only_bound_is_no_use_of_the_module_of_that_name():
    """As a field of a class may be called like a module that is imported beside it."""
    uses = "from serlib import sources\nclass Clip:\n    sources: str\ndef make(x):\n    return sources.Source, Clip\n"
    changed = SOURCES.replace("return 2", "return 3")  # of `loud`, which nobody calls
    cells = ["from serlib import splits", "splits.make(1)"]
    assert code_hash(cells, splits=uses, sources=changed) == code_hash(cells, splits=uses)


def test_faults_are_named():
    with pytest.raises(ValueError, match=r"audio\.py cannot be parsed"):
        code_hash(audio="def")
    with pytest.raises(ValueError, match=r"audio\.py: what a star imports cannot be followed"):
        code_hash(audio="from serlib.sources import *")
    for other in ("import serlib", "import serlib.sources", "import serlib.sources as s", "from . import sources"):
        with pytest.raises(ValueError, match=r"audio\.py: .* cannot be followed; write `from serlib import …`"):
            code_hash(audio=other)
    with pytest.raises(ValueError, match=r"no notebook other\.ipynb"):
        provenance.code_hash("other", {})


def test_real_notebooks_reach_what_they_use():
    """A change deep below a notebook is seen; one in drawing is not."""
    texts = provenance.sources()

    def changed(module, old, new):
        assert old in texts[module]
        return texts | {module: texts[module].replace(old, new)}

    before = provenance.code_hash("04_cnn", texts)
    assert provenance.code_hash("04_cnn", changed("splits.py", "TEST_SHARE, VALIDATION_SHARE = 0.2", "A, B = 0.3")) != (
        before
    )
    assert provenance.code_hash("04_cnn", changed("plots.py", '"#CC6677"', '"#000000"')) == before
    assert provenance.code_hash("04_cnn", changed("transformer.py", "def ", "def _")) == before
