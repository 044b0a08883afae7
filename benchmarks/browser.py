"""What a person waits for in the notebook: from an action to its pixels, on a ResNet-50, in Chromium.

    make bench

JupyterLab, a kernel and Chromium run on this machine, as in the browser tests.  Times are taken in the page: from the
event that a hand would cause until the frame after the change that Python answered with.  Results go to
``benchmarks/results/browser.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import cpu_name, cpus, versions
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from jupyter_lab import Lab, jupyter_lab  # noqa: E402
from notebook_page import NotebookPage, chromium, launch, new_context, notebook_page  # noqa: E402
from playwright.sync_api import Browser, expect, sync_playwright  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "browser.json"
PACKAGES = ("ectoolkit", "torch", "anywidget", "ipywidgets", "jupyterlab", "playwright")
REPEATS = 20
FLOW = """
import ectoolkit as ect
flow = ect.Flow(ect.load_model("torchvision/resnet50", weights=None), calibration=ect.sample_photos(4))
flow.quantize.run(door="export")
flow.quantize.measure()
"""
TABLE = """
import numpy as np, pandas as pd
from ectoolkit.widgets.parts import LayerTable
random = np.random.default_rng(0)
columns = {name: random.normal(30, 10, 500) for name in ("sqnr_db", "predicted_sqnr_db", "isolated_sqnr_db", "macs")}
LayerTable(pd.DataFrame({"layer": [f"layer{index}.conv" for index in range(500)], **columns}), "500 layers")
"""
#: milliseconds from an act until `done` holds and the frame with it has been drawn
_UNTIL_DRAWN = """
const untilDrawn = (act, done) => new Promise((answer, refuse) => {
    const begin = performance.now();
    const patience = setTimeout(() => { watcher.disconnect(); refuse(new Error("no answer in 30 s")); }, 30000);
    const look = () => {
        if (!done()) return;
        watcher.disconnect();
        clearTimeout(patience);
        requestAnimationFrame(() => setTimeout(() => answer(performance.now() - begin)));
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    act();
});
"""
_DISPLAY = f"""() => {{ {_UNTIL_DRAWN}
    const rows = () => document.querySelector('.ect-card .ect-table tbody tr') && document.querySelector('.ect-node');
    return untilDrawn(() => window.jupyterapp.commands.execute('notebook:run-cell'), rows);
}}"""
_SELECT = f"""(layer) => {{ {_UNTIL_DRAWN}
    const node = document.querySelector(`.ect-node[data-layer="${{layer}}"]`);
    const told = () => document.querySelector('.ect-histogram-title').textContent.startsWith(`${{layer}}:`)
        && document.querySelector('.ect-table tr[aria-selected="true"]')?.cells[0].textContent === layer;
    return untilDrawn(() => node.dispatchEvent(new MouseEvent('click', {{ bubbles: true }})), told);
}}"""
_DRAG = f"""([x, y]) => {{ {_UNTIL_DRAWN}
    const handle = document.querySelector('.ect-handle[data-side="1"]');
    const price = () => document.querySelector('.ect-costs [data-cost=SQNR]')?.textContent;
    const before = price(), move = {{ clientX: x, clientY: y, bubbles: true }};
    return untilDrawn(() => handle.dispatchEvent(new PointerEvent('pointermove', move)), () => price() !== before);
}}"""
_SCROLL = """() => new Promise((answer) => {
    const scroll = document.querySelector('.ect-table-scroll'), times = [];
    const frame = (time) => {
        times.push(time);
        scroll.scrollTop += 60;
        if (times.length < 150) requestAnimationFrame(frame);
        else answer(times.slice(1).map((later, index) => later - times[index]));
    };
    requestAnimationFrame(frame);
})"""


def main() -> None:
    """Measure, print and save; says why where there is no browser."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--no-quickstart", action="store_true", help="do not execute the first notebook for its size")
    options = parser.parse_args()
    if chromium() is None:
        Console().print("browser: not measured: there is no Chromium; apt install chromium")
        return
    with tempfile.TemporaryDirectory() as folder:
        lab_folder = Path(folder) / "lab"
        lab_folder.mkdir()
        with jupyter_lab(lab_folder, threads=len(cpus())) as lab, sync_playwright() as playwright:
            browser = launch(playwright)
            rows = [*on_resnet(browser, lab), scrolling(browser, lab)]
            browser_version = browser.version
            browser.close()
        if not options.no_quickstart:
            rows.append(quickstart_size(Path(folder)))
    report(rows, browser_version)


Row = tuple[str, float, float, str]


def on_resnet(browser: Browser, lab: Lab) -> list[Row]:
    """Display of the quantize card, choosing layers, dragging a handle."""
    lab.run(FLOW, timeout=600)
    layers: list[str] = lab.value(
        "[row.layer for row in flow.quantize.table.itertuples() if row.op.startswith('conv2d')"
        " and flow.quantize.histogram(row.layer).adjustable]"
    )[:REPEATS]
    context = new_context(browser, height=1200)
    with notebook_page(context, lab) as notebook:
        page = notebook.open(lab.write("resnet50", ["flow.quantize"])).page
        page.locator(".jp-Cell").first.click()
        display = page.evaluate(_DISPLAY)
        page.locator(".ect-histogram").scroll_into_view_if_needed()
        settle(notebook)
        chosen = []
        for layer in layers:
            chosen.append(page.evaluate(_SELECT, layer))
            settle(notebook)
        dragged = drag(notebook)
    context.close()
    lab.forget()
    return [
        ("card shown after its cell", display / 1000, 1.5, "s"),
        (f"choose a layer, median of {len(chosen)}", statistics.median(chosen), 80, "ms"),
        (f"drag step with SQNR, median of {len(dragged)}", statistics.median(dragged), 120, "ms"),
    ]


def settle(notebook: NotebookPage) -> None:
    """Let what follows a choice (maps of channels and images) end, so that it does not count for the next."""
    notebook.lab.run("import ectoolkit.widgets.cards as cards; cards.card_of(flow.quantize).detail.wait(60)")
    notebook.page.wait_for_timeout(150)


def drag(notebook: NotebookPage) -> list[float]:
    """Hold the upper handle, move it by steps of a hand, let it go where it was taken."""
    page = notebook.page
    grab = page.locator('.ect-handle[data-side="1"] .ect-grab')
    grab.scroll_into_view_if_needed()
    box = grab.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    times = []
    for step in range(1, REPEATS + 1):
        times.append(page.evaluate(_DRAG, [x - 6 * step, y]))
        page.wait_for_timeout(60)
    page.keyboard.press("Escape")
    page.mouse.up()
    return times


def scrolling(browser: Browser, lab: Lab) -> Row:
    """The longest frame while 500 rows scroll past."""
    context = new_context(browser)
    with notebook_page(context, lab) as notebook:
        notebook.open(lab.write("table", [TABLE])).run_all()
        expect(notebook.page.locator(".ect-table [role=status]")).to_have_text("500 rows")
        notebook.page.wait_for_timeout(500)
        frames = notebook.page.evaluate(_SCROLL)
    context.close()
    return (f"longest of {len(frames)} frames, 500 rows scrolled", max(frames), 50, "ms")


def quickstart_size(folder: Path) -> Row:
    """Bytes of the first notebook, executed as it is."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / "01_quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return ("executed quickstart notebook", len(nbformat.writes(notebook).encode()) / 1e6, 1.5, "MB")


def report(rows: list[Row], browser_version: str) -> None:
    """Print, and write what it holds for beside it."""
    found: dict[str, Any] = {"cpu": cpu_name(), "cores": len(cpus()), "chromium": browser_version}
    found["versions"] = versions(PACKAGES)
    names = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    holds_for = f"{found['cpu']}, {found['cores']} cores; Chromium {browser_version}, {names}"
    table = Table("ResNet-50 in JupyterLab", "measured", "at most", "", caption=holds_for)
    for name, value, most, unit in rows:
        table.add_row(name, f"{value:.3g} {unit}", f"{most:g} {unit}", "✓" if value <= most else "over")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**found, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
