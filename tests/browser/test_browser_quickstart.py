"""The first notebook, run and tried by clicks alone, saved; then not trusted by who reads it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from jupyter_lab import ROOT, Lab
from notebook_page import NotebookPage
from playwright.sync_api import expect
from reader import held, seen

NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"
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

    # "Look into a layer": chosen in the graph, it is the row and the histogram with its handles
    look = page.locator(".ect-card.ect-quantize").first
    layer = lab.value("flow.quantize.table.set_index('op').layer['conv2d+relu'].iloc[0]")
    look.locator(f'.ect-node[data-layer="{layer}"]').click()
    expect(look.locator(".ect-histogram-title")).to_contain_text(f"{layer}: activation")
    expect(look.locator(".ect-histogram .ect-handle")).to_have_count(2)
    expect(look.locator('.ect-table tbody tr[aria-selected="true"] td').first).to_have_text(layer)
    notebook.shoot(look, "quickstart-quantize")

    # "Try it", the last section: other weights make what follows stale
    flow = page.locator(".ect-flow")
    flow.locator(HEADER, has_text="2 · Quantize").click()
    card = flow.locator(".jupyter-widget-Collapse-open .ect-card")
    notebook.field(card, "weights").select_option("per_tensor")
    card.locator("button.ect-run").click()
    expect(flow.locator(HEADER, has_text="6 · ")).to_contain_text("↻ stale")
    expect(page.locator(".ect-card.ect-interpret .ect-head").first).to_contain_text("↻ stale")
    notebook.shoot(page, "quickstart-flow")

    notebook.command("docmanager:save")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert saved.stat().st_size < MAX_BYTES
    print(f"executed quickstart notebook: {saved.stat().st_size / 1e6:.2f} MB")


def test_unknown_to_who_reads_it(notebook: NotebookPage, lab: Lab, saved: Path) -> None:
    """The saved notebook, not trusted and with another kernel: every table is there as HTML."""
    changed = nbformat.read(saved, as_version=4)
    changed.metadata["note"] = "other contents have another signature"
    page = notebook.open(put(lab, "untrusted", changed)).page
    expect(page.locator(".jp-OutputArea-output", has_text="2 · Quantize").first).to_be_visible()
    expected = held(changed)
    assert expected["tables"] >= 10
    assert seen(page) == expected
    for text in ("2 · Quantize", "equals the interpreter in every element"):
        expect(page.locator(".jp-OutputArea-output", has_text=text).first).to_be_visible()
    page.locator("#quantize, .jp-OutputArea-output", has_text="2 · Quantize").first.scroll_into_view_if_needed()
    notebook.shoot(page, "untrusted")
