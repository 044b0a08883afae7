"""Stage cards as a person uses them, on a network of two layers, beside what Python says."""

from __future__ import annotations

import pytest
from accessibility import violations
from notebook_page import NotebookPage, OpenNotebook, number
from playwright.sync_api import Locator, expect

FLOW = """
import numpy as np, torch, ectoolkit as ect
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2), nn.ReLU())

    def forward(self, x):
        return self.dequant(self.body(self.quant(x)))

torch.manual_seed(0)
module = Tiny().eval()
images = np.random.default_rng(0).normal(size=(6, 3, 16, 16)).astype(np.float32)
flow = ect.Flow(module, calibration=images)
"""
#: calibration images that stop before the third until ``gate`` is set
GATE = """
import threading
gate, reached = threading.Event(), threading.Event()

class Slow:
    looks = 0

    def __len__(self):
        return len(images)

    def __iter__(self):
        self.looks += 1
        stops = self.looks > 1  # the first look is whether they look like raw pixels
        for index, image in enumerate(images):
            if index == 2 and stops:
                reached.set()
                assert gate.wait(60)
            yield image

flow = ect.Flow(module, calibration=Slow())
"""
ROWS = "tbody tr[data-place]"


def run(card: Locator) -> None:
    """Press Run and wait for the end."""
    card.locator("button.ect-run").click()
    expect(card.locator(".ect-head")).to_contain_text("done")


def column(notebook: NotebookPage, card: Locator, index: int) -> list[str]:
    return [row[index] for row in notebook.texts(card.locator(ROWS))]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_error_and_cure_by_clicks(open_notebook: OpenNotebook, theme: str) -> None:
    notebook = open_notebook([FLOW, "flow.quantize", "flow.interpret"], theme)
    quantize, interpret = notebook.card("quantize"), notebook.card("interpret")
    expect(interpret.locator(".ect-head")).to_contain_text("○ not run")
    interpret.locator("button.ect-run").click()
    expect(interpret.get_by_role("alert")).to_have_text(
        "StageError: Quantize has not run; call flow.quantize.run() first"
    )
    notebook.shoot(interpret, f"error-{theme}")
    assert violations(notebook.page, ".ect-card") == []

    notebook.field(quantize, "method").select_option("minmax")
    run(quantize)
    run(interpret)
    expect(interpret.get_by_role("alert")).to_have_count(0)
    assert notebook.lab.value("[step.settings['method'] for step in flow.log if step.stage == 'quantize']") == [
        "minmax"
    ]
    # the page shows the numbers of a flow that no card has seen
    notebook.lab.run("other = ect.Flow(module, calibration=images)\nother.quantize.run(method='minmax')")
    assert column(notebook, quantize, 0) == notebook.lab.value("list(other.quantize.overview['layer'])")
    scales = notebook.lab.value("[scale for scale in other.quantize.overview['scale'] if scale == scale]")
    place = notebook.lab.value("list(other.quantize.overview.columns).index('scale')")
    shown = [number(text) for text in column(notebook, quantize, place) if text]
    assert shown == pytest.approx(scales, rel=1e-3)

    notebook.field(quantize, "method").select_option("mse")
    run(quantize)
    expect(interpret.locator(".ect-head")).to_contain_text("↻ stale")
    notebook.shoot(notebook.page, f"cards-{theme}")
    assert violations(notebook.page, ".ect-card") == []


def test_six_stages_by_clicks(open_notebook: OpenNotebook) -> None:
    """The whole page of a flow: every stage is opened and run, and the end equals the interpreter."""
    notebook = open_notebook([FLOW, "flow"])
    flow = notebook.page.locator(".ect-flow")
    titles = notebook.lab.value("[f'{stage.number} · {stage.title}' for stage in flow.stages]")
    for title in titles:
        header = flow.locator(".jupyter-widget-Collapse-header", has_text=title)
        header.click()
        flow.locator(".jupyter-widget-Collapse-open button.ect-run").click()
        expect(header).to_contain_text("✓ done")
    device = flow.locator(".jupyter-widget-Collapse-open .ect-card")
    expect(device.locator(".ect-summary")).to_contain_text("cpu equals the interpreter in every element")
    assert notebook.lab.value("bool(flow.device.diff)") is True
    notebook.shoot(flow, "flow")
    assert violations(notebook.page, ".ect-flow") == []


def test_a_session_that_is_gone_says_so(open_notebook: OpenNotebook) -> None:
    """Its cards are freed; in the page stays why.  A cell that ends in a stage would be kept by IPython's ``Out``."""
    notebook = open_notebook([FLOW, "flow.quantize.run()\ndisplay(flow.quantize, flow)"])
    card = notebook.card("quantize")
    expect(card.locator(ROWS).first).to_be_visible()
    expect(card.locator(".ect-node").first).to_be_visible()
    notebook.lab.run("import gc\ndel flow\ngc.collect()")
    expect(card.get_by_role("alert")).to_have_text("StageError: this session is gone; run the cell that makes it again")
    expect(card.locator(".ect-table, .ect-explorer, button")).to_have_count(0)
    assert violations(notebook.page, ".ect-card") == []


def test_cancel_during_calibration(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([FLOW + GATE, "flow.quantize"])
    card = notebook.card("quantize")
    card.locator("button.ect-run").click()
    expect(card.locator(".ect-head")).to_contain_text("◐ running")  # before the kernel waits, which reads no click then
    notebook.lab.run("assert reached.wait(30)")
    expect(card.locator("button.ect-run")).to_be_disabled()
    expect(card.locator(".ect-label")).to_contain_text("/6 image")
    card.get_by_role("button", name="Cancel").click()
    expect(card.locator(".ect-label")).to_have_text("stopping at the next step…")
    notebook.lab.run("gate.set()")
    expect(card.locator(".ect-head")).to_contain_text("■ cancelled")
    expect(card.locator(".ect-error")).to_contain_text("Quantize was cancelled at step 3 of 6 (image 3)")
    assert notebook.lab.value("flow.quantize.ready") is False
    run(card)
    assert notebook.lab.value("flow.quantize.ready") is True


def test_keyboard_alone(open_notebook: OpenNotebook) -> None:
    """From the method to a layer of the table without a mouse; no key reaches JupyterLab's command mode."""
    notebook = open_notebook([FLOW, "flow.quantize"])
    card, page, cells = notebook.card("quantize"), notebook.page, notebook.page.locator(".jp-Notebook .jp-Cell")
    page.keyboard.press("Escape")  # command mode, where "d d" deletes the cell
    notebook.field(card, "method").focus()
    page.keyboard.type("min")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText || document.activeElement.tagName"))
        if reached[-1].strip() == "Run":
            break
    assert reached[-1].strip() == "Run", reached
    # Notebook 7 hears a key before the card does, and asks the element in focus
    expect(page.locator(":focus")).to_have_attribute("data-lm-suppress-shortcuts", "true")
    page.keyboard.press("Space")
    expect(card.locator(".ect-head")).to_contain_text("done")
    assert notebook.lab.value("flow.log[-1].settings['method']") == "minmax"

    card.get_by_role("button", name="scale").focus()
    page.keyboard.press("Enter")
    expect(card.get_by_role("columnheader", name="scale")).to_have_attribute("aria-sort", "ascending")
    wanted = notebook.lab.value("list(flow.quantize.overview.sort_values('scale', kind='stable')['layer'])")
    assert column(notebook, card, 0) == wanted
    card.locator(ROWS).first.focus()
    page.keyboard.press("ArrowDown")
    expect(card.locator(ROWS).nth(1)).to_have_attribute("aria-selected", "true")
    expect(card.locator(ROWS).nth(1)).to_be_focused()
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.keyboard.press("Escape")
    expect(card.locator('tr[aria-selected="true"]')).to_have_count(0)
    expect(cells).to_have_count(2)
