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
    notebook.field(card, "weights").select_option("per_tensor")
    card.locator("button.ect-run").click()
    expect(flow.locator(HEADER, has_text="6 · ")).to_contain_text("↻ stale")
    expect(page.locator(".ect-card.ect-interpret .ect-head").first).to_contain_text("↻ stale")
    notebook.shoot(page, "quickstart-flow")

    notebook.command("docmanager:save")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert saved.stat().st_size < MAX_BYTES
    print(f"executed quickstart notebook: {saved.stat().st_size / 1e6:.2f} MB")


#: with every fold opened: how many tables of outputs are seen, and which pictures did not load
SEEN = """() => {
    for (const fold of document.querySelectorAll('.jp-OutputArea-output details')) fold.open = true;
    const inside = (what) => [...document.querySelectorAll(`.jp-OutputArea-output ${what}`)];
    const seen = (element) => element.offsetWidth > 20 && element.offsetHeight > 10;
    return {
        tables: inside('table').filter(seen).length,
        broken: inside('img').filter((image) => !image.naturalWidth).map((image) => image.src.slice(0, 80)),
        pictures: inside('img').length,
    };
}"""


def static(path: Path) -> tuple[int, int]:
    """How many tables and pictures the outputs of a notebook hold as HTML."""
    found = nbformat.read(path, as_version=4)
    outputs = [part for cell in found.cells if cell.cell_type == "code" for part in cell.outputs]
    html = "".join("".join(part.get("data", {}).get("text/html", "")) for part in outputs)
    pictures = sum("image/png" in part.get("data", {}) and "text/html" not in part.data for part in outputs)
    assert "<svg" not in html  # JupyterLab drops it where the notebook is not trusted, and no count would show that
    assert "data:image/svg+xml;base64," in html
    return html.count("<table"), html.count("<img") + pictures


def check_static(notebook: NotebookPage, path: Path) -> None:
    seen, (tables, pictures) = notebook.page.evaluate(SEEN), static(path)
    assert tables >= 10
    assert seen == {"tables": tables, "broken": [], "pictures": pictures}
    for text in ("2 · Quantize", "equals the interpreter in every element"):
        expect(notebook.page.locator(".jp-OutputArea-output", has_text=text).first).to_be_visible()
    for text in ("Error displaying widget", "Loading widget", '"model_id"'):
        expect(notebook.page.get_by_text(text)).to_have_count(0)


def test_unknown_to_who_reads_it(notebook: NotebookPage, lab: Lab, saved: Path) -> None:
    """The saved notebook, not trusted and with another kernel: every table is there as HTML."""
    changed = nbformat.read(saved, as_version=4)
    changed.metadata["note"] = "other contents have another signature"
    page = notebook.open(put(lab, "untrusted", changed)).page
    expect(page.locator(".jp-OutputArea-output", has_text="2 · Quantize").first).to_be_visible()
    check_static(notebook, saved)
    page.locator("#quantize, .jp-OutputArea-output", has_text="2 · Quantize").first.scroll_into_view_if_needed()
    notebook.shoot(page, "untrusted")


def test_as_a_page(notebook: NotebookPage, saved: Path) -> None:
    """What nbconvert makes of it with the configuration that ships, read without a network."""
    config = JSONFileConfigLoader(CONFIG.name, str(CONFIG.parent)).load_config()
    html, _ = HTMLExporter(config=config).from_filename(str(saved))
    saved.with_suffix(".html").write_text(html, encoding="utf-8")
    notebook.page.goto(saved.with_suffix(".html").as_uri())
    check_static(notebook, saved)
    notebook.page.set_viewport_size({"width": 1000, "height": 4000})
    notebook.shoot(notebook.page, "nbconvert")
    # nbconvert's own scripts, for formulas; nothing above waited for them
    assert all(url.endswith(".js") or ".js?" in url for url in notebook.watch.external)
    notebook.watch.external.clear()
    notebook.watch.allowed.append("net::ERR_FAILED")
