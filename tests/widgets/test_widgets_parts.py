"""Parts of cards alone: their traits, and how a selection joins them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain_numpy import IMAGES, small

from ectoolkit.analysis import histogram, layout, preview
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.widgets.parts import HeatMap, HistogramView, LayerGraph, LayerTable, Part
from ectoolkit.widgets.parts.base import packed, plain
from ectoolkit.widgets.selection import Selection

PARTS = (LayerTable, HistogramView, LayerGraph, HeatMap)


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return small()


def test_a_layer_chosen_in_one_part_is_chosen_in_all() -> None:
    selection = Selection()
    table, graph = LayerTable(selection=selection), LayerGraph(selection=selection)
    heat = HeatMap(selection=selection, row_chooses="image", column_chooses="layer")
    table.layer = "second"
    assert selection.layer == graph.layer == heat.layer == "second"
    heat.image = 3
    assert table.image == selection.image == 3
    selection.layer = "first"
    assert table.layer == graph.layer == "first"


def test_another_layer_has_other_channels() -> None:
    selection = Selection(layer="first", image=2, channel=4, element=9)
    selection.layer = "second"
    assert (selection.image, selection.channel, selection.element) == (2, -1, -1)
    assert repr(selection) == "Selection(layer='second', image=2, channel=-1, element=-1)"


def test_a_closed_part_lets_go() -> None:
    selection = Selection()
    graph = LayerGraph(selection=selection)
    graph.close()
    selection.layer = "first"
    assert graph.layer == ""


@pytest.mark.parametrize("kind", PARTS)
def test_parts_are_small_and_fetch_nothing(kind: type[Part]) -> None:
    for source in (kind._esm, kind._css):
        text = source.replace("http://www.w3.org/2000/svg", "")  # a name, which nobody opens
        assert not any(word in text for word in ("http:", "https:", "import ", "@import", "fetch(", "url(http"))
        assert len(source) < 32_000
    assert "\n" not in repr(kind())
    with pytest.raises(TypeError, match=f"{kind.__name__} has no colour"):
        kind(colour="red")


def test_arrays_are_little_endian_and_numbers_json() -> None:
    assert packed([[1, 2]], "uint32") == b"\x01\0\0\0\x02\0\0\0"
    assert packed(np.array([1.0], ">f8"), "float32") == b"\0\0\x80?"
    with pytest.raises(ValueError, match="dtype is 'int64', expected one of float32, float64, int32"):
        packed([1], "int64")
    assert [plain(one) for one in (np.float32(1.5), np.nan, -np.inf, np.int64(3), None, "x")] == [
        *(1.5, None, "-Infinity", 3, None, "x")
    ]


def test_a_table_tells_units_shades_and_what_a_row_is() -> None:
    frame = pd.DataFrame({"layer": ["a", "b", "c"], "isolated_sqnr_db": [20.0, 30.0, np.nan], "macs": [1, 1, 1]})
    table = LayerTable(frame)
    assert table.headings == [["layer", ""], ["isolated SQNR", "dB"], ["MACs", ""]]
    assert table.chooses == "layer"
    assert table.shades[0] == table.shades[2] == []
    assert table.shades[1][2] == "high"
    table.show(pd.DataFrame({"channel": [0, 1]}))
    assert table.chooses == "channel"
    table.show(pd.DataFrame({"file": ["x"]}))
    assert table.chooses == ""


def test_a_handle_asks_for_a_preview_and_applies_where_it_is_let_go(calibrated: Calibrated) -> None:
    model, applied = calibrated.quantize(), []
    view = HistogramView(
        histogram(model, "second"),
        preview=lambda low, high: preview(model, "second", clip=(low, high)),
        apply=lambda *ends: applied.append(ends),
    )
    assert view.adjustable
    assert view.ends == list(histogram(model, "second").range)
    np.testing.assert_array_equal(np.frombuffer(view.shares, "<f4"), histogram(model, "second").shares.astype("f4"))
    assert view.noise == {}
    view.ends = [-1.0, 2.0]
    wanted = calibrated.quantize(QuantConfig().tuned("second", clip=(-1, 2)))
    found = wanted.predictions["second"]
    assert view.noise["sqnr_db"] == found.sqnr_db
    assert (view.noise["rounding_db"], view.noise["clipping_db"]) == (found.rounding_db, found.clipping_db)
    grid = wanted.scheme["second"].grid
    assert grid is not None
    assert view.grid == [float(grid.scalar), grid.zero_point, 0, 255]
    assert applied == []
    view.settled += 1
    assert applied == [(-1.0, 2.0)]


def test_a_drag_is_priced_while_another_thread_shows_the_distribution(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    view = HistogramView(
        histogram(model, "second"), preview=lambda low, high: preview(model, "second", clip=(low, high))
    )
    drag = threading.Thread(target=lambda: setattr(view, "ends", [-1.0, 2.0]))

    def move(change: Any) -> None:  # the message of a drag comes in the middle of `show`
        drag.start()
        drag.join(0.2)

    view.observe(move, "caption")
    view.show(histogram(model, "add"))
    drag.join(30)
    assert view.noise["images"] == model.calibration_images
    wanted = calibrated.quantize(QuantConfig().tuned("second", clip=(-1, 2)))
    assert view.noise["sqnr_db"] == wanted.predictions["second"].sqnr_db


def test_a_relus_zeros_are_not_marked_as_saturation() -> None:
    ends = {"saturated_low": [0.6, 0.2, 0.1], "range_min": [0.0, -1.0, -2.0]}
    table = LayerTable(pd.DataFrame({"layer": ["relu", "signed", "other"], **ends}))
    assert table.plain == [[1], [], []]
    assert table.shades[1][1] < 0.3
    assert table.headings[1] == ["saturated low", "share"]


def test_ends_that_cannot_be_say_why(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    view = HistogramView(
        histogram(model, "second"),
        preview=lambda low, high: preview(model, "second", clip=(low, high)),
        apply=lambda *ends: None,
    )
    view.ends = [1.0, 2.0]
    assert view.note.startswith("clip is (1.0, 2.0), expected (smallest, largest) around 0")
    assert view.noise == {}


def test_without_somebody_to_apply_handles_stay(calibrated: Calibrated) -> None:
    assert not HistogramView(histogram(calibrated.quantize(), "second")).adjustable


def test_a_histogram_brings_its_channels(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    view = HistogramView(histogram(model, "input0"))
    rows = np.frombuffer(view.channels, "<f4").reshape(3, 3)
    np.testing.assert_array_equal(rows[:, 0], IMAGES.min((0, 2, 3)))
    np.testing.assert_array_equal(rows[:, 1], IMAGES.max((0, 2, 3)))
    view.clear("nothing")
    assert (view.shares, view.note, view.adjustable) == (b"", "nothing", False)


def test_a_graph_is_coloured_by_any_column(calibrated: Calibrated) -> None:
    graph = calibrated.quantize().graph
    names = [node.name for node in graph.nodes]
    table = pd.DataFrame({"layer": names, "op": ["x"] * len(names), "macs": range(len(names)), "wide_db": 1.0})
    table.loc[2, "wide_db"] = np.inf
    shown = LayerGraph(layout(graph), table)
    assert shown.names == ["input0", *names]
    assert (shown.column, shown.values) == ("macs", [None, *range(len(names))])
    assert shown.shade == [0.0, len(names) - 1.0, ""]
    assert shown.choices == [["macs", "MACs"], ["wide_db", "wide dB"]]
    np.testing.assert_array_equal(np.frombuffer(shown.places, "<f4").reshape(-1, 2), layout(graph).places)
    assert np.frombuffer(shown.edges, "<u4").reshape(-1, 2).tolist() == [list(edge) for edge in layout(graph).edges]
    shown.column = "wide_db"
    assert (shown.unit, shown.values[3]) == ("dB", "Infinity")
    assert shown.shade == []


def test_a_heat_map_shades_rows_by_themselves() -> None:
    heat = HeatMap(row_chooses="image")
    values = np.array([[1.0, 2.0], [np.nan, 40.0]])
    heat.show(values, "both", rows=["a", "b"], units=["dB", "share"], better=["high", ""])
    np.testing.assert_array_equal(np.frombuffer(heat.data, "<f4").reshape(heat.shape), values.astype("f4"))
    assert heat.shades[0][2] == "high"
    assert heat.shades[1] == []
    assert repr(heat) == "HeatMap('both', 2×2)"
    heat.clear()
    assert (heat.data, heat.shape) == (b"", [0, 0])


def test_a_heat_map_follows_what_its_axes_choose() -> None:
    selection = Selection()
    heat = HeatMap(selection=selection, row_chooses="image")
    selection.layer, selection.image = "fc", 3
    assert (heat.image, heat.layer) == (3, "")


def test_state_that_is_sent_is_json_and_bytes(calibrated: Calibrated) -> None:
    model = calibrated.quantize(QuantConfig().tuned("second", clip=(-50, 50)))
    view = HistogramView(histogram(model, "second"))
    view.show(histogram(model, "second"), model.predictions["second"])
    assert view.noise["clipping_db"] == "Infinity"
    sent: dict[str, Any] = view.get_state()
    assert all(isinstance(sent[name], bytes) for name in ("shares", "channels"))
