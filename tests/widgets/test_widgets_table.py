"""LayerTable: what it sends to the page."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ectoolkit.widgets.parts import LayerTable
from ectoolkit.widgets.parts.table import MAX_ROWS


def test_values_become_what_json_carries() -> None:
    frame = pd.DataFrame(
        {
            "layer": ["conv", "fc", "end"],
            "macs": np.array([1, 2, 10**10]),
            "sqnr_db": np.array([12.5, np.inf, np.nan]),
            "agree": [True, False, True],
            "shape": [(1, 2), None, "x"],
        }
    )
    table = LayerTable(frame, "result")
    assert table.columns == ["layer", "macs", "sqnr_db", "agree", "shape"]
    assert table.numeric == [False, True, True, False, False]
    assert table.rows == [
        ["conv", 1, 12.5, True, "(1, 2)"],
        ["fc", 2, "Infinity", False, None],
        ["end", 10**10, None, True, "x"],
    ]
    assert table.caption == "result"
    json.dumps(table.rows, allow_nan=False)


def test_infinities_keep_their_sign_and_index_is_left_out() -> None:
    assert LayerTable(pd.DataFrame({"x": [-np.inf]}, index=[7])).rows == [["-Infinity"]]


def test_a_table_without_rows_keeps_its_columns() -> None:
    table = LayerTable(pd.DataFrame({"a": [], "b": []}))
    assert (table.columns, table.rows) == (["a", "b"], [])


def test_a_long_table_says_that_it_is_cut() -> None:
    table = LayerTable(pd.DataFrame({"x": range(MAX_ROWS + 1)}), "numbers")
    assert len(table.rows) == MAX_ROWS
    assert table.caption == f"numbers, the first {MAX_ROWS} of {MAX_ROWS + 1} rows"


def test_changes_are_heard() -> None:
    table, heard = LayerTable(), []
    table.observe(lambda change: heard.append(change["new"]), names="rows")
    table.show(pd.DataFrame({"x": [1]}))
    assert heard == [[[1]]]


def test_repr_is_short() -> None:
    assert repr(LayerTable(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))) == "LayerTable(2 rows, 2 columns)"


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="LayerTable has no colour"):
        LayerTable(colour="red")


def test_the_script_and_style_fetch_nothing() -> None:
    for source in (LayerTable._esm, LayerTable._css):
        text = source.replace("http://www.w3.org/2000/svg", "")  # a name, which nobody opens
        assert not any(word in text for word in ("http:", "https:", "import ", "@import", "fetch(", "url("))
