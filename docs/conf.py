"""How Sphinx makes the pages: MyST text, notebooks, and the API from docstrings.  `make docs` runs it.

Notebooks are kept without outputs; they are copied here and run once, with what they gave kept in ``_build``.  Set
``ECTOOLKIT_DOCS_EXECUTE=0`` to show them without results, in seconds.  No page asks another machine for anything.
"""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import ectoolkit

DOCS = Path(__file__).parent
EXECUTE = os.environ.get("ECTOOLKIT_DOCS_EXECUTE", "1") != "0"

project = "ectoolkit"
author = "the ectoolkit contributors"
version = release = ectoolkit.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "ectoolkit"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Cards show their HTML: there is nobody behind a page to draw a widget, and its scripts would come from elsewhere.
nb_mime_priority_overrides = [
    ("html", "text/html", 0),
    ("html", "application/vnd.jupyter.widget-view+json", 1000),
]
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_execution_mode = "cache" if EXECUTE else "off"
nb_execution_cache_path = str(DOCS / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
add_module_names = False
# in our docstrings `name` is a name of ours
default_role = "py:obj"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def copy_notebooks(app: Any) -> None:
    """Bring the notebooks beside the pages; their links into ``docs`` become links between pages."""
    target = DOCS / "notebooks"
    target.mkdir(exist_ok=True)
    notebooks = sorted((DOCS.parent / "notebooks").glob("*.ipynb"))
    for old in target.glob("*.ipynb"):
        if old.name not in {notebook.name for notebook in notebooks}:
            old.unlink()
    for notebook in notebooks:
        text = notebook.read_text(encoding="utf-8").replace("](../docs/", "](../")
        copy = target / notebook.name
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:
            copy.write_text(text, encoding="utf-8")
            shutil.copystat(notebook, copy)


def links_to_notebooks(app: Any, name: str, source: list[str]) -> None:
    """The files link to the notebooks of the repository, which GitHub shows; the pages link to the copies here."""
    source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def tables_in_docstrings(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Our docstrings have tables as Markdown writes them, which are to be read in a terminal too."""
    found: list[str] = []
    for is_row, group in itertools.groupby(lines, lambda line: line.lstrip().startswith("|")):
        if not is_row:
            found += group
            continue
        rows = [row.strip().strip("|").split("|") for row in group if set(row.strip()) - set("|- ")]
        cells = [f"   {'  -' if index else '* -'} {cell.strip()}" for row in rows for index, cell in enumerate(row)]
        found += ["", ".. list-table::", "   :header-rows: 1", "", *cells, ""]
    lines[:] = found


def copy_pictures(app: Any, exception: Exception | None) -> None:
    """The README's pictures are written as HTML, which Sphinx leaves alone: they go where its links lead."""
    if exception is None:
        shutil.copytree(DOCS / "images", Path(app.outdir) / "docs" / "images", dirs_exist_ok=True)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", copy_notebooks)
    app.connect("source-read", links_to_notebooks)
    app.connect("autodoc-process-docstring", tables_in_docstrings)
    app.connect("build-finished", copy_pictures)
