"""What notebook 03 asks for with the mouse: a collapsed network, cured in its card, and a range that is dragged."""

from __future__ import annotations

import re

import nbformat
from jupyter_lab import ROOT
from notebook_page import NotebookPage, OpenNotebook, number
from playwright.sync_api import Locator, expect

NOTEBOOK = ROOT / "notebooks" / "03_tuning_calibration.ipynb"
#: what the card needs; the other cells look, and run in another test
CELLS = ("parameters", "collect", "judge", "cure-one", "cure-all", "card")
#: few images, and the layer that one of those cells would find
SETTINGS = "CALIBRATION, UNSEEN = 4, 2\nworst = '_blocks.0._depthwise_conv'"
WORST, WIDEST, LAST = "_blocks.0._depthwise_conv", "_blocks.1._project_conv", "_fc"


def cells() -> list[str]:
    sources = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    found = [sources[name] for name in CELLS]
    found.insert(1, SETTINGS)
    return found


def row(card: Locator, layer: str) -> Locator:
    """The row of a layer."""
    name = card.page.locator("td:first-child", has_text=re.compile(f"^{re.escape(layer)}$"))
    return card.locator(".ect-table").first.locator("tbody tr").filter(has=name)


def decibels(notebook: NotebookPage, card: Locator, layer: str, column: str) -> float:
    """What the card's table says of a layer, once it says what the kernel has."""
    place = notebook.lab.value("list(flow.quantize.overview.columns)").index(column)
    value: float = notebook.lab.value(f"float(flow.quantize.overview.set_index('layer').loc[{layer!r}, {column!r}])")
    cell = row(card, layer).locator("td").nth(place)
    for _ in range(100):
        if abs(number(cell.inner_text()) - value) < 0.006:
            return value
        notebook.page.wait_for_timeout(100)
    raise AssertionError(f"{layer} has {column} {cell.inner_text()} in the table, expected {value}")


def changes(card: Locator, count: int) -> None:
    """Wait until so many changes are in the log."""
    log = card.locator(".ect-log")
    expect(log).to_contain_text(f"{count} change") if count else expect(log).to_have_text("")
    expect(card.locator(".ect-costs")).not_to_contain_text("applying")


def test_collapse_cure_and_drag(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(cells())
    card, page = notebook.page.locator(".ect-card.ect-quantize").last, notebook.page
    undo = card.get_by_role("button", name="undo")
    cured = decibels(notebook, card, LAST, "cumulative_sqnr_db")
    assert cured > 16
    assert f"{cured:.1f}" == notebook.lab.value("f'{after_db:.1f}'"), "the notebook speaks of another number"

    for left in (1, 0):
        undo.click()
        changes(card, left)
    collapsed = decibels(notebook, card, LAST, "cumulative_sqnr_db")
    assert collapsed < 8
    assert f"{collapsed:.1f}" == notebook.lab.value("f'{before_db:.1f}'")

    # the layer to blame, by the filter
    card.get_by_role("searchbox", name="filter rows").fill("0._depthwise")
    row(card, WORST).click()
    expect(card.locator(".ect-histogram-title")).to_contain_text(f"{WORST}: activation")
    card.locator(".ect-own-weights select").select_option("per_channel")
    changes(card, 1)
    card.get_by_role("searchbox", name="filter rows").fill("")
    assert collapsed + 1 < decibels(notebook, card, LAST, "cumulative_sqnr_db") < cured
    notebook.shoot(card, "tuning-one-layer")

    # all layers, by the form
    notebook.field(card, "weights").select_option("per_channel")
    card.locator("button.ect-run").click()
    changes(card, 0)
    expect(card.locator(".ect-head")).to_contain_text("✓ done")
    assert abs(decibels(notebook, card, LAST, "cumulative_sqnr_db") - cured) < 0.01

    # a range, by its handle
    row(card, WIDEST).click()
    expect(card.locator(".ect-histogram-title")).to_contain_text(f"{WIDEST}: activation")
    before = decibels(notebook, card, WIDEST, "isolated_sqnr_db")
    handle = card.get_by_role("slider", name="largest value with a code")
    handle.scroll_into_view_if_needed()
    box = handle.locator(".ect-grab").bounding_box()
    zero = card.get_by_role("slider", name="smallest value with a code").locator(".ect-grab").bounding_box()
    assert box is not None
    assert zero is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - (x - zero["x"]) / 3, y, steps=6)
    expect(card.locator(".ect-costs [data-cost=clipped]")).to_contain_text("% above")
    notebook.shoot(card, "tuning-drag")
    page.mouse.up()
    changes(card, 1)
    assert decibels(notebook, card, WIDEST, "isolated_sqnr_db") < before - 10
    undo.click()
    changes(card, 0)
    assert decibels(notebook, card, WIDEST, "isolated_sqnr_db") == before
