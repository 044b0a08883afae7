"""The quantize card's explorer: one choice in all parts, and a handle that does what a script does."""

from __future__ import annotations

import pytest
from accessibility import violations
from notebook_page import OpenNotebook
from playwright.sync_api import Locator, Page, expect

FLOW = """
import numpy as np, torch, ectoolkit as ect
from torch import nn

torch.manual_seed(0)
module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                       nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
images = np.random.default_rng(0).normal(size=(6, 3, 16, 16)).astype(np.float32)
flow = ect.Flow(module, calibration=images)
flow.quantize.run()
"""
#: a flow that no card has seen, with the range that the handle was left at
SCRIPT = """
other = ect.Flow(module, calibration=images)
other.quantize.run()
other.quantize.tune("2", clip=flow.quantize.histogram("2").range)
"""
LAYER = "2"
OUTDATED = ".ect-node.ect-outdated"
ROW = 'tbody tr[aria-selected="true"]'


def drag(page: Page, handle: Locator, by: float) -> None:
    """Take the handle in its middle and move it sideways in steps, as a hand does."""
    handle.scroll_into_view_if_needed()
    box = handle.locator(".ect-grab").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=8)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_graph_table_histogram_and_handle(open_notebook: OpenNotebook, theme: str) -> None:
    notebook = open_notebook([FLOW, "flow.quantize"], theme)
    card, page = notebook.card("quantize"), notebook.page
    place = notebook.lab.value("list(flow.quantize.overview.columns).index('predicted_sqnr_db')")
    predicted = 'f\'{float(%s.quantize.overview.set_index("layer").predicted_sqnr_db["2"]):.4g}\''

    # the worst layer is there at once
    worst = notebook.lab.value("flow.quantize.table[1:].set_index('layer').isolated_sqnr_db.idxmin()")
    expect(card.locator(".ect-table").first.locator(ROW).locator("td").first).to_have_text(worst)
    expect(card.locator(".ect-histogram-title")).to_contain_text(f"{worst}: activation")

    # chosen in the graph, chosen everywhere
    card.locator(f'.ect-node[data-layer="{LAYER}"]').click()
    row = card.locator(".ect-table").first.locator(ROW)
    expect(row.locator("td").first).to_have_text(LAYER)
    expect(card.locator(".ect-histogram-title")).to_contain_text(f"{LAYER}: activation")
    expect(card.locator(".ect-graph [role=status]")).to_contain_text(f"{LAYER}, conv2d")
    shown = row.locator("td").nth(place)
    before = shown.inner_text()
    assert float(before) == pytest.approx(float(notebook.lab.value(predicted % "flow")))

    # while the handle moves its price is told; let go, the row has what a script gets
    handle = card.get_by_role("slider", name="largest value with a code")
    at_first = handle.get_attribute("aria-valuenow")
    drag(page, handle, -120)
    low = card.get_by_role("slider", name="smallest value with a code").get_attribute("aria-valuenow")
    found = f"flow.quantize.preview({LAYER!r}, clip=({low}, {handle.get_attribute('aria-valuenow')}))"
    share = notebook.lab.value(f"float({found}.clipped_high)")
    assert 0 < share < 1
    told = page.evaluate("(share) => `${(100 * share).toPrecision(2)} % above`", share)
    expect(card.locator(".ect-costs [data-cost=clipped]")).to_contain_text(told)
    assert notebook.lab.value("flow.quantize.can_undo") is False
    # the row follows; what it and all behind it were measured at is stale until it is let go
    expect(shown).to_have_text(f"{notebook.lab.value(f'float({found}.prediction.sqnr_db)'):.2f}")
    behind = notebook.lab.value(f"[{LAYER!r}, *flow.quantize.layout().behind({LAYER!r})]")
    assert card.locator(OUTDATED).evaluate_all("nodes => nodes.map((node) => node.dataset.layer)") == behind
    stale = card.locator(".ect-table tr:has(.ect-old) td:first-child").all_inner_texts()
    assert stale == [name for name in notebook.lab.value("list(flow.quantize.overview.layer)") if name in behind]
    page.mouse.up()
    expect(shown).not_to_have_text(before)
    expect(card.locator(".ect-costs")).not_to_contain_text("applying")
    expect(card.locator(f"{OUTDATED}, .ect-old")).to_have_count(0)
    notebook.lab.run(SCRIPT)
    assert float(shown.inner_text()) == pytest.approx(float(notebook.lab.value(predicted % "other")))
    assert float(handle.get_attribute("aria-valuenow") or "nan") < float(at_first or "nan")
    notebook.shoot(card, f"explorer-{theme}")
    assert violations(page, ".ect-card") == []

    card.get_by_role("button", name="undo").click()
    expect(shown).to_have_text(before)
    expect(handle).to_have_attribute("aria-valuenow", at_first or "")
    assert notebook.lab.value(
        "flow.quantize.graph.sha256 == ect.Flow(module, calibration=images).quantize.run().graph.sha256"
    )

    # the same by keys: ten codes down, and applied at once
    handle.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(shown).not_to_have_text(before)


def test_keys_during_a_drag_and_in_the_strip(open_notebook: OpenNotebook) -> None:
    """What a key let go or took back stays so, whatever the pointer does after it; the strip keeps its focus."""
    notebook = open_notebook([FLOW, "flow.quantize"])
    card, page = notebook.card("quantize"), notebook.page
    card.locator(f'.ect-node[data-layer="{LAYER}"]').click()
    expect(card.locator(".ect-histogram-title")).to_contain_text(f"{LAYER}: activation")
    notebook.lab.run("from ectoolkit.widgets.cards import card_of; explorer = card_of(flow.quantize).detail")
    handle = card.get_by_role("slider", name="largest value with a code")
    at_first = handle.get_attribute("aria-valuenow") or ""

    # taken back: neither the message that waited nor the pointer, which is still down, brings the drag back
    drag(page, handle, -90)
    page.keyboard.press("Escape")
    place = page.evaluate("() => [...document.querySelectorAll('.ect-grab')].at(-1).getBoundingClientRect().x")
    page.mouse.move(place - 40, 400, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    expect(handle).to_have_attribute("aria-valuenow", at_first)
    expect(card.locator(f"{OUTDATED}, .ect-old")).to_have_count(0)
    assert notebook.lab.value("(explorer.histogram.ends[1], flow.quantize.can_undo)") == (float(at_first), False)

    # applied by a key: the release of the pointer does not take it back
    drag(page, handle, -90)
    page.keyboard.press("Enter")
    page.mouse.up()
    expect(card.locator(".ect-log")).to_contain_text("1 change")
    expect(card.locator(".ect-costs")).not_to_contain_text("applying")
    applied = notebook.lab.value("flow.quantize.histogram('2').range[1]")
    assert applied < float(at_first)
    expect(handle).to_have_attribute("aria-valuenow", str(applied))

    strip = card.get_by_role("slider", name="channel", exact=True)
    strip.focus()
    for channel in ("0", "1", "2"):
        page.keyboard.press("ArrowDown")
        expect(strip).to_have_attribute("aria-valuenow", channel)
        expect(strip).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(strip).to_have_attribute("aria-valuenow", "1")
    notebook.hears("explorer.selection.channel", 1)

    # what is typed in a part stays there, but saving works
    cells = page.locator(".jp-Notebook .jp-Cell")
    for key in ("d", "d", "Control+s"):
        page.keyboard.press(key)
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    for key in ("d", "d"):
        page.keyboard.press(key)
    expect(strip).to_be_focused()
    expect(cells).to_have_count(2)
