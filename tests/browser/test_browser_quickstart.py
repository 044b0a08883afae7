"""The first notebook, run and tried by clicks alone; then as a saved file that others read."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import ROOT, Lab
from nbconvert import HTMLExporter
from notebook_page import NotebookPage
from playwright.sync_api import expect
from traitlets.config import JSONFileConfigLoader

NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"
CONFIG = ROOT / "notebooks" / "jupyter_nbconvert_config.json"
FEW = {"CALIBRATION": 4, "IMAGES": 2}
MAX_BYTES = 1_500_000
HEADER = ".jupyter-widget-Collapse-header"


def put(lab: Lab, name: str, notebook: nbformat.NotebookNode) -> str:
    nbformat.write(notebook, lab.folder / f"{name}.ipynb")
    return f"{name}.ipynb"


def quickstart() -> nbformat.NotebookNode:
    """The notebook, with fewer images."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (settings,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for name, value in FEW.items():
        settings.source, count = re.subn(rf"^{name} = \d+", f"{name} = {value}", settings.source, flags=re.MULTILINE)
        assert count == 1
    return notebook


@pytest.fixture(scope="module")
def saved(lab: Lab) -> Path:
    """Where the notebook is saved by the first test."""
    return lab.folder / "quickstart.ipynb"


def test_by_clicks(notebook: NotebookPage, lab: Lab, saved: Path) -> None:
    put(lab, "quickstart", quickstart())
    lab.attach("quickstart.ipynb")
    page = notebook.open("quickstart.ipynb").page
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    notebook.quiet(150)
    expect(page.locator('[data-mime-type="application/vnd.jupyter.error"]')).to_have_count(0)

    assert lab.value("bool(flow.device.diff)") is True

    # "Try it", the last section: other weights make what follows stale
    flow = page.locator(".ect-flow")
    flow.locator(HEADER, has_text="2 · Quantize").click()
    card = flow.locator(".jupyter-widget-Collapse-open .ect-card")
    card.get_by_label("weights").select_option("per_tensor")
    card.locator("button.ect-run").click()
    expect(flow.locator(HEADER, has_text="6 · ")).to_contain_text("↻ stale")
    expect(page.locator(".ect-card.ect-interpret .ect-head").first).to_contain_text("↻ stale")
    notebook.shoot(page, "quickstart-flow")

    page.get_by_role("button", name=re.compile("Save")).first.click()
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert saved.stat().st_size < MAX_BYTES
    print(f"executed quickstart notebook: {saved.stat().st_size / 1e6:.2f} MB")


def tables(path: Path) -> int:
    """How many tables the outputs of a notebook hold as HTML."""
    found = nbformat.read(path, as_version=4)
    outputs = [part for cell in found.cells if cell.cell_type == "code" for part in cell.outputs]
    return sum("".join(part.get("data", {}).get("text/html", "")).count("<table") for part in outputs)


@pytest.mark.parametrize("trusted", [False, True])
def test_reopened_without_its_kernel(notebook: NotebookPage, lab: Lab, saved: Path, trusted: bool) -> None:
    """In a notebook that nobody ran here, every table is there as HTML."""
    name = saved.name
    if not trusted:
        changed = nbformat.read(saved, as_version=4)
        changed.metadata["note"] = "another file has another signature"
        name = put(lab, "untrusted", changed)
    page = notebook.open(name).page
    page.wait_for_timeout(1500)
    notebook.shoot(page, f"reopened-{trusted}")
    print(page.locator(".jp-OutputArea-output table").count(), tables(saved), page.get_by_text("Error displaying widget").count())
