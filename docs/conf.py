"""Settings of the book, whose sources `serlib.pages.book` lays out; nothing in it comes from a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Speech emotion recognition"
author = "The serlib maintainers"
copyright = "the serlib maintainers. Text and figures: CC BY 4.0; code: MIT"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinxcontrib.bibtex",
    "course",
]
exclude_patterns = ["figures", "_static"]

nb_execution_mode = "off"  # the notebooks come executed
nb_render_markdown_format = "myst"  # links in what cells display are links of the book
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_mock_imports = ["keras", "tensorflow"]  # seconds to import, and no docstring needs them
autodoc_preserve_defaults = True  # as written, not as they are on the machine that builds this
autodoc_typehints = "none"  # the docstrings have them
numpydoc_show_class_members = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["book.css"]
html_copy_source = False
html_show_sphinx = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "use_download_button": False,
    "navbar_persistent": [],
}
