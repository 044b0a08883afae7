"""Whether a card shows what a call gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit.widgets.cards import card_of
from ectoolkit.widgets.parts.base import plain
from ectoolkit.workflow.html import notices_html

if TYPE_CHECKING:
    from parity_walk import Walk


def matrix(part: Any) -> np.ndarray:
    return np.frombuffer(part.data, "<f4").reshape(part.shape)


def floats(values: Any) -> np.ndarray:
    return np.asarray(values, "<f4")


def numbers(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4")


def table_shows(walk: Walk, table: Any, frame: Any) -> None:
    assert table.columns == list(frame.columns)
    assert table.rows == [[plain(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    assert len(table.rows)


def verdict_shows(walk: Walk, ladder: Any, verdict: Any) -> None:
    shown = [(rung["name"], rung["must"], rung["standing"], rung["result"], rung["meaning"]) for rung in ladder.rungs]
    assert shown == [(one.name, one.must, str(one.standing), one.result, one.meaning) for one in verdict.rungs]
    assert ladder.location["text"] == str(verdict.location)


def distribution_shows(walk: Walk, _: Any, histogram: Any) -> None:
    explorer = card_of(walk.mine.quantize).detail
    assert explorer.selection.layer == walk.names["layer"]
    np.testing.assert_array_equal(numbers(explorer.histogram.shares), floats(histogram.shares))


def preview_shows(walk: Walk, histogram: Any, given: Any) -> None:
    assert histogram.noise["sqnr_db"] == given.prediction.sqnr_db
    assert histogram.noise["clipped_high"] == given.clipped_high


def channel_shows(walk: Walk, part: Any, row: Any) -> None:
    assert walk.card.selection.channel == part.channel == row["channel"]


def channels_show(walk: Walk, part: Any, table: Any) -> None:
    np.testing.assert_array_equal(matrix(part)[part.row_names.index("weight SQNR")], floats(table["weight_sqnr_db"]))


def graph_shows(walk: Walk, graph: Any, layout: Any) -> None:
    assert graph.names == list(layout.names)
    np.testing.assert_array_equal(numbers(graph.places), floats(layout.places).ravel())


def colours_show(walk: Walk, graph: Any, column: Any) -> None:
    assert [value for value in graph.values if value is not None] == [plain(one) for one in column if not np.isnan(one)]


def errors_show(walk: Walk, part: Any, table: Any) -> None:
    np.testing.assert_array_equal(matrix(part), floats(table.drop(columns="layer")).T)


def image_shows(walk: Walk, part: Any, column: Any) -> None:
    assert walk.card.selection.image == walk.names["image"]
    np.testing.assert_array_equal(matrix(part)[walk.names["image"]], floats(column))


def matrix_shows(walk: Walk, part: Any, array: Any) -> None:
    np.testing.assert_array_equal(matrix(part), floats(array))


def positions_show(walk: Walk, _: Any, array: Any) -> None:
    selection, part = walk.card.selection, walk.card.answers.map.positions
    assert (selection.image, selection.channel) == (walk.names["image"], walk.names["channel"])
    np.testing.assert_array_equal(matrix(part), floats(array))


def progress_shows(walk: Walk, bar: Any, _: Any) -> None:
    mine, theirs = walk.heard[id(walk.mine)], walk.heard[id(walk.theirs)]
    assert mine == theirs != []
    assert bar.max == mine[-1][1]


def label_shows(walk: Walk, _: Any, __: Any) -> None:
    steps = {f"{done}/{total} {escape(label)}" for done, total, label in walk.heard[id(walk.mine)]}
    shown = {label.removesuffix(" · finishing…") for label in walk.labels}
    assert shown & steps
    assert shown <= steps | {"", "starting…", "stopping at the next step…"} | {
        label for label in shown if label.startswith("loading ")
    }


def kept_show(walk: Walk, note: Any, settings: Any) -> None:
    assert note.value == ""
    assert set(settings) <= set(walk.card.form.fields)


def devices_show(walk: Walk, part: Any, health: Any) -> None:
    known = [(one.info.name, one.info.available, one.info.description, one.notice) for one in health]
    assert [(one["name"], one["ready"], one["description"], one["notice"]) for one in part.devices] == known


def sensor_shows(walk: Walk, chart: Any, values: Any) -> None:
    mine = walk.mine.device.found["benchmark"].sensors.values
    assert list(mine) == list(values) == ["power"]
    np.testing.assert_array_equal(numbers(chart.data), floats(mine.get(chart.title, [])))
    assert [bool(one.data) for one in walk.card.answers.sensors] == [True, False, False, False]


def place_shows(walk: Walk, ladder: Any, place: Any) -> None:
    assert getattr(walk.card.selection, walk.now.hand) == place == ladder.location[walk.now.hand]


def location_shows(walk: Walk, ladder: Any, location: Any) -> None:
    assert ladder.location["text"] == str(location)


def photos_show(walk: Walk, photos: Any, top: Any) -> None:
    for photo, (_, mine) in zip(photos.photos, top.groupby("image"), strict=True):
        best = [(way["by"], name, share) for way in photo["ways"] for name, share in way["best"]]
        assert best == list(zip(mine["by"], mine["class"], mine["share"], strict=True))


def reports_show(walk: Walk, _: Any, path: Any) -> None:
    mine, theirs = (json.loads(Path(one).read_text(encoding="utf-8")) for one in (walk.values["report"], path))
    assert (mine["links"], mine["location"]) == (theirs["links"], theirs["location"])
    assert mine["facts"]["faulty: deploy times"].startswith("latency over 20 runs: mean ")
    assert set(mine) == set(theirs)


#: by what is done, whether the page shows what the call gave: the walk, the control, what the call gave
SHOWN: dict[str, Callable[[Walk, Any, Any], None]] = {
    "read what went wrong": lambda walk, html, error: _same_text(html, "" if error is None else str(error)),
    "read settings that no field has": kept_show,
    "read the state": lambda walk, html, state: _same_text(html, f"{state}</span>", markup=True),
    "read the result in a line": lambda walk, html, line: _same_text(html, line.split("; latency")[0]),
    "read warnings": lambda walk, html, notices: _same_text(html, notices_html(notices), markup=True),
    "see how far it is": progress_shows,
    "see the step at hand": label_shows,
    "read the table": table_shows,
    "choose a layer in the table": distribution_shows,
    "choose a layer in the graph": distribution_shows,
    "choose a layer in the map": distribution_shows,
    "read a distribution": distribution_shows,
    "look at its weights": distribution_shows,
    "read its channels": channels_show,
    "choose a channel": channel_shows,
    "choose a channel in the strip": channel_shows,
    "move a handle": preview_shows,
    "read the log": lambda walk, html, log: [_same_text(html, step) for step in log],
    "open the script": lambda walk, _, script: _same_text(walk.card.detail.bar.script, script),
    "read the script": lambda walk, html, script: _same_text(html, script),
    "read what a change led to": lambda walk, html, notices: _same_text(html, notices_html(notices), markup=True),
    "read the graph": graph_shows,
    "colour the graph": colours_show,
    "read errors by image": errors_show,
    "choose an image": image_shows,
    "read where the error lies": matrix_shows,
    "look at devices and sensors": devices_show,
    "read devices and sensors": devices_show,
    "read the preflight": lambda walk, html, found: _same_text(html, found._repr_html_(), markup=True),
    "read the loads": lambda walk, table, _: table_shows(walk, table, walk.mine.device.found["benchmark"].to_frame()),
    "read the latencies": lambda walk, chart, seconds: _same_times(walk, chart, seconds),
    "read a sensor": sensor_shows,
    "read the verdict": verdict_shows,
    "go where the verdict points": place_shows,
    "read where it parts": location_shows,
    "go where it parts": place_shows,
    "read a map": matrix_shows,
    "choose an image in the map": positions_show,
    "choose a channel in the map": positions_show,
    "read its positions": positions_show,
    "read the best classes": photos_show,
    "choose a photo": lambda walk, photos, top: _same_photo(walk, photos, top),
    "name the report": reports_show,
    "save the report": reports_show,
    "read where it was written": lambda walk, html, path: _same_text(html, f"written: {walk.values['report']}"),
    "open a stage": lambda walk, view, stage: _same_card(walk, view, stage),
    "read all states": lambda walk, view, states: _same_titles(view, states),
}


def _same_text(html: Any, text: str, markup: bool = False) -> None:
    assert (text if markup else escape(text)) in html.value
    assert bool(text) == bool(html.value)


def _same_times(walk: Walk, chart: Any, seconds: Any) -> None:
    mine = walk.mine.device.found["benchmark"].latency.seconds
    assert len(mine) == len(seconds)
    np.testing.assert_array_equal(numbers(chart.data), floats(np.array(mine) * 1e3))


def _same_photo(walk: Walk, photos: Any, top: Any) -> None:
    assert walk.card.selection.image == photos.image == walk.names["image"]
    assert photos.photos[photos.image]["name"] == top["name"].iloc[0]


def _same_card(walk: Walk, view: Any, stage: Any) -> None:
    assert view.children[view.selected_index] is card_of(getattr(walk.mine, stage.attribute)).view


def _same_titles(view: Any, states: Any) -> None:
    assert all(title.endswith(str(state)) for title, state in zip(view.titles, states, strict=True))
