"""All executed notebooks as others read them: not trusted in JupyterLab, and as nbconvert's page, without a network."""

from __future__ import annotations

import nbformat
import pytest
from executed_notebooks import SETTINGS, ExecutedNotebooks
from jupyter_lab import Lab
from nbformat import NotebookNode
from notebook_page import NotebookPage
from reader import held, seen
from static_page import page

#: whoever comes first executes all of them
pytestmark = pytest.mark.timeout(900)
#: a notebook with fewer tables and pictures than this has lost some
FEWEST = {
    "01_quickstart": 24,
    "02_resnet50_u50": 12,
    "03_tuning_calibration": 14,
    "04_how_int8_works": 4,
    "05_edgecortix": 4,
    "06_board_bringup": 4,
    "07_your_own_model": 25,
}


@pytest.fixture(scope="module")
def notebooks(executed_notebooks: ExecutedNotebooks) -> dict[str, NotebookNode]:
    found = {name: executed_notebooks[name].notebook for name in SETTINGS}
    numbers = {name: held(one)["tables"] + held(one)["pictures"] for name, one in found.items()}
    assert {name: number for name, number in numbers.items() if number < FEWEST[name]} == {}
    return found


def test_not_trusted_in_jupyterlab(notebook: NotebookPage, lab: Lab, notebooks: dict[str, NotebookNode]) -> None:
    """Their widgets are dead there, and nobody has signed them."""
    found = {}
    for name, one in notebooks.items():
        nbformat.write(one, lab.folder / f"{name}.ipynb")
        lab.attach(f"{name}.ipynb")
        notebook.open(f"{name}.ipynb")  # a page each: JupyterLab may complain of notebooks that are closed too soon
        assert not notebook.page.evaluate(
            "() => [...window.jupyterapp.shell.currentWidget.content.model.cells].some((cell) => cell.trusted)"
        )
        found[name] = seen(notebook.page)
        for theme in ("dark", "light"):
            notebook.theme(theme)
            notebook.shoot_all(f"untrusted-{name}-{theme}")
    assert found == {name: held(one) for name, one in notebooks.items()}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_as_a_page(notebook: NotebookPage, lab: Lab, notebooks: dict[str, NotebookNode], theme: str) -> None:
    """What nbconvert makes with the configuration that ships; it asks nobody for anything."""
    found = {}
    for name, one in notebooks.items():
        file = lab.folder / f"{name}-{theme}.html"
        file.write_text(page(one, theme), encoding="utf-8")
        notebook.page.goto(file.as_uri())
        found[name] = seen(notebook.page)
        notebook.shoot_all(f"page-{name}-{theme}")
    assert found == {name: held(one) for name, one in notebooks.items()}
