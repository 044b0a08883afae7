"""The layer table alone: 500 rows sorted, filtered and chosen, beside what pandas says."""

from __future__ import annotations

import pytest
from accessibility import violations
from notebook_page import OpenNotebook, number
from playwright.sync_api import expect

TABLE = """
import numpy as np, pandas as pd
from ectoolkit.widgets.parts.table import LayerTable
from ectoolkit.widgets.selection import Selection
random = np.random.default_rng(0)
frame = pd.DataFrame({
    "layer": [f"block{i // 10}.conv{i % 10}" for i in range(500)],
    "op": ["conv2d" if i % 3 else "add" for i in range(500)],
    "sqnr_db": np.where(np.arange(500) % 50 == 7, np.nan, random.normal(30, 10, 500)),
    "macs": random.integers(0, 10**9, 500),
})
selection = Selection()
table = LayerTable(frame, "500 layers", selection=selection)
table
"""
ROWS = "tbody tr[data-place]"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sort_filter_choose(open_notebook: OpenNotebook, theme: str) -> None:
    notebook = open_notebook([TABLE], theme)
    table = notebook.output(0).locator(".ect-table")
    rows, count = table.locator(ROWS), table.get_by_role("status")
    expect(count).to_have_text("500 rows")
    assert violations(notebook.page, ".ect-table") == []

    sqnr = table.get_by_role("columnheader").nth(2)
    sqnr.get_by_role("button").click()
    expect(sqnr).to_have_attribute("aria-sort", "ascending")
    least = notebook.lab.value(
        "frame.sort_values('sqnr_db', kind='stable').head(20)[['layer', 'sqnr_db']].values.tolist()"
    )
    shown = notebook.texts(rows)[:20]
    assert [row[0] for row in shown] == [layer for layer, _ in least]
    assert [number(row[2]) for row in shown] == pytest.approx([value for _, value in least], abs=0.0051)

    table.get_by_role("searchbox").fill("block7.")
    expect(count).to_have_text("10 of 500 rows")
    wanted = (
        "frame[frame.layer.str.contains('block7.', regex=False)].sort_values('sqnr_db', kind='stable').layer.tolist()"
    )
    assert [row[0] for row in notebook.texts(rows)] == notebook.lab.value(wanted)
    rows.nth(4).click()
    expect(rows.nth(4)).to_have_attribute("aria-selected", "true")
    notebook.hears("selection.layer", notebook.lab.value(wanted)[4])
    notebook.shoot(table, f"table-{theme}")

    table.get_by_role("searchbox").fill("")
    notebook.lab.run("selection.layer = 'block49.conv9'")  # a script chooses: the row is brought into sight
    chosen = table.locator('tr[aria-selected="true"]')
    expect(chosen).to_contain_text("block49.conv9")
    expect(chosen).to_be_in_viewport()


#: where the first cells stand, from the left of what scrolls, and how many cells the browser would paint by themselves
ASIDE = """(scroll, left) => new Promise((answer) => {
    scroll.scrollLeft = left;
    requestAnimationFrame(() => requestAnimationFrame(() => {
        const edge = scroll.getBoundingClientRect().left + scroll.clientLeft;
        const all = [...scroll.querySelectorAll('th, td')];
        const own = (style) => style.position === 'sticky' || style.overflowX !== 'visible';
        const x = (cell) => Math.round(cell.getBoundingClientRect().left - edge);
        answer({
            scrolled: scroll.scrollLeft > 0,
            first: [...new Set([...scroll.querySelectorAll('th:first-child, tr[data-place] td:first-child')].map(x))],
            own: all.filter((cell) => own(getComputedStyle(cell))).length,
        });
    }));
})"""


def test_first_column_stays_and_cells_are_no_layers(open_notebook: OpenNotebook) -> None:
    """A cell that clips or sticks costs every frame, and a table has hundreds."""
    notebook = open_notebook([TABLE])
    notebook.page.set_viewport_size({"width": 430, "height": 900})
    scroll = notebook.output(0).locator(".ect-table-scroll")
    expect(scroll.locator(ROWS).first).to_be_visible()
    assert scroll.evaluate(ASIDE, 0) == {"scrolled": False, "first": [0], "own": 0}
    aside = scroll.evaluate(ASIDE, 80)
    assert (aside["scrolled"], aside["first"]) == (True, [0])
    assert 10 < aside["own"] < 60
    assert scroll.evaluate(ASIDE, 0)["own"] == 0


def test_violations_are_found(open_notebook: OpenNotebook) -> None:
    """A button without a name, planted in the table."""
    notebook = open_notebook([TABLE])
    table = notebook.output(0).locator(".ect-table")
    expect(table.get_by_role("status")).to_have_text("500 rows")
    table.evaluate("(table) => table.append(document.createElement('button'))")
    (found,) = violations(notebook.page, ".ect-table")
    assert found.startswith("button-name (critical): <button></button>")
