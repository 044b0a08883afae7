"""What a reader without a kernel sees of an executed notebook: the page that nbconvert makes with our configuration."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import JSONFileConfigLoader

CONFIG = Path(__file__).parents[2] / "notebooks" / "jupyter_nbconvert_config.json"
DRAWN = ("image/png", "text/html")
PLACEHOLDERS = (
    '<script type="application/vnd.jupyter.widget-view+json">',
    "Error displaying widget",
    "Loading widget",
)


def page(notebook: NotebookNode, theme: str = "light") -> str:
    """The notebook as HTML."""
    config = JSONFileConfigLoader(CONFIG.name, str(CONFIG.parent)).load_config()
    return HTMLExporter(config=config, theme=theme).from_notebook_node(notebook)[0]


def shown(notebook: NotebookNode, cell: str) -> list[NotebookNode]:
    """What a cell displays, not what it prints."""
    (found,) = (one for one in notebook.cells if one.id == cell)
    return [part for part in found.outputs if part.output_type in ("execute_result", "display_data")]


def normal(html: str) -> str:
    """HTML as nbconvert writes it, which parses what it is given."""
    return str(BeautifulSoup(html, "html.parser"))


def check_static_page(notebook: NotebookNode, plain: Collection[str] = ()) -> None:
    """Each stage, table and figure that is displayed has a form that needs no kernel, and the page contains it.

    Args:
        notebook: executed.
        plain: names of cells whose last value is a text, such as a list or the answer to an exercise.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert set(plain) <= {cell.id for cell in cells}
    html = page(notebook)
    drawn = 0
    for cell in cells:
        outputs = shown(notebook, cell.id)
        for part in outputs:
            found = [normal(part.data[kind].strip()) for kind in DRAWN if kind in part.data]
            assert found or (cell.id in plain and set(part.data) == {"text/plain"}), f"{cell.id}: {sorted(part.data)}"
            assert not found or any(text in html for text in found), f"{cell.id} is not on the page"
            drawn += bool(found)
        if "plt.show()" in cell.source:
            assert any("image/png" in part.data for part in outputs), f"{cell.id} has no figure"
    assert drawn, "nothing is shown"
    assert [text for text in PLACEHOLDERS if text in html] == []
    assert "widget-state+json" not in html, "the state of widgets, which nothing draws"
    assert re.findall(r'<(?:script|link)[^>]*(?:src|href)="(?!data:)[^"]*"', html) == []
