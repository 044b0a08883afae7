"""What the device panel shows of the answers it was given; each part is hidden until there is one."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import numpy as np

from ectoolkit.devices import Benchmark
from ectoolkit.errors import StageError
from ectoolkit.widgets.error_map_view import ErrorMapView
from ectoolkit.widgets.parts.ladder import VerdictLadder
from ectoolkit.widgets.parts.photos import PhotoBars
from ectoolkit.widgets.parts.strip import StripChart
from ectoolkit.widgets.parts.table import LayerTable
from ectoolkit.widgets.selection import Selection
from ectoolkit.workflow import DevicePanel
from ectoolkit.workflow.device_html import pictures

_OLDER = "older than the reference or the build: ask again"
#: charts of sensors beside the latency's
_SENSORS = 4


class Answers:
    """The parts, and what they show.

    Attributes:
        checks, ladder, where, loads, latency, sensors, photos, map: the parts.
        layer, against: what the error map is asked for.
    """

    def __init__(self, selection: Selection) -> None:
        self.checks = ipywidgets.HTML()
        self.checks.add_class("ect-checks")
        self.ladder = VerdictLadder(selection=selection)
        self.where = VerdictLadder(selection=selection)
        self.loads = LayerTable()
        self.latency = StripChart()
        self.sensors = [StripChart() for _ in range(_SENSORS)]
        self.photos = PhotoBars(selection=selection)
        self.map = ErrorMapView(selection)
        self.layer = ipywidgets.Dropdown(options=[""], description="layer", layout={"width": "26em"})
        self.against = ipywidgets.Dropdown(
            options=[("interpreter and device", "device"), ("float and interpreter", "float")],
            description="between",
            layout={"width": "22em"},
        )
        self.layer.add_class("ect-layer")
        self.against.add_class("ect-against")
        self._shown: dict[str, Any] = {}
        self._boxes: dict[str, ipywidgets.VBox] = {}
        selection.observe(self._choose_layer, names="layer")

    def widgets(self, map_button: ipywidgets.Button) -> list[ipywidgets.Widget]:
        """All there is, in the order of a session."""
        mapping = ipywidgets.HBox([self.layer, self.against, map_button], layout={"flex_flow": "row wrap"})
        columns = {"grid_template_columns": "repeat(auto-fit, minmax(320px, 1fr))", "grid_gap": "0 12px"}
        sensors = ipywidgets.GridBox(self.sensors, layout=columns)
        parts: dict[str, tuple[str, list[ipywidgets.Widget]]] = {
            "preflight": ("Preflight", [self.checks]),
            "judge": ("Verdict", [self.ladder]),
            "localize": ("Where it parts", [self.where]),
            "benchmark": ("Times", [self.loads, self.latency, sensors]),
            "photos": ("Photos: float, int8 and device", [self.photos]),
            "error_map": ("Error map", [mapping, self.map.view]),
        }
        for name, (title, children) in parts.items():
            box = ipywidgets.VBox([ipywidgets.HTML(f"<h4>{title}</h4>"), *children], layout={"display": "none"})
            box.add_class("ect-answer")
            box.add_class(f"ect-answer-{name}")
            self._boxes[name] = box
        return list(self._boxes.values())

    def offer(self, panel: DevicePanel) -> None:
        """Offer the layers of the reference."""
        layers = panel.mapped_layers if panel.flow.interpret.ready else []
        if list(self.layer.options) != (layers or [""]):
            chosen = self.layer.value
            self.layer.options = layers or [""]
            self.layer.value = chosen if chosen in layers else self.layer.options[0]
        self._reveal("error_map", bool(layers))

    def _choose_layer(self, change: Any) -> None:
        if change["new"] in self.layer.options:
            self.layer.value = change["new"]

    def show(self, panel: DevicePanel) -> None:
        """Show what is new in `DevicePanel.found`, and say of what is old that it is."""
        for name, draw in (
            ("preflight", self._show_checks),
            ("judge", self._show_verdict),
            ("localize", self._show_location),
            ("benchmark", self._show_times),
            ("error_map", self._show_map),
        ):
            found = panel.found.get(name)
            state = (id(found), panel.outdated(name))
            if found is not None and self._shown.get(name) != state:
                self._shown[name] = state
                draw(found, _OLDER if panel.outdated(name) else "")
                self._reveal(name, True)
        self._show_photos(panel)

    def _reveal(self, name: str, there: bool) -> None:
        if name in self._boxes:
            self._boxes[name].layout.display = "" if there else "none"

    def _show_checks(self, found: Any, older: str) -> None:
        title = f"<div>{escape('; '.join(filter(None, [f'of {found.device}', older])))}</div>"
        self.checks.value = title + found._repr_html_()

    def _show_verdict(self, found: Any, older: str) -> None:
        self.ladder.show(found, older)

    def _show_location(self, found: Any, older: str) -> None:
        self.where.show_location(found.device, found.location, older)

    def _show_times(self, found: Benchmark, older: str) -> None:
        latency, sensors = found.latency, found.sensors
        levels = {"p50": latency.p50_s * 1e3, "p95": latency.p95_s * 1e3, "p99": latency.p99_s * 1e3}
        self.loads.show(found.to_frame(), f"times of {found.deployment} on {found.device}")
        note = "; ".join(filter(None, [found.notice, older]))
        title = f"latency of {found.deployment} on {found.device}"
        self.latency.show(np.array(latency.seconds) * 1e3, marks=levels, note=note, title=title, unit="ms", along="run")
        names = [name for wanted in ("W", "°C") for name, unit in sensors.units.items() if unit == wanted][:_SENSORS]
        for chart, name in zip(self.sensors, [*names, *[None] * (_SENSORS - len(names))], strict=True):
            values = sensors.values[name] if name else []
            unit = sensors.units[name] if name else ""
            places = sensors.seconds if name else []
            said = "; ".join(filter(None, [sensors.notice, sensors.trouble]))
            chart.show(values, places, note=said, title=name or "", unit=unit, along="at", along_unit="s")
            chart.layout.display = "" if name else "none"  # an empty one would keep its place

    def _show_map(self, found: Any, older: str) -> None:
        self.map.show(found, older)

    def _show_photos(self, panel: DevicePanel) -> None:
        state = (panel.flow.interpret.generation, panel.generation, panel.stale)
        if self._shown.get("photos") == state:
            return
        self._shown["photos"] = state
        try:
            seen = pictures(panel) if panel.flow.interpret.ready else []
            top = panel.top() if seen else None
        except StageError:  # no classifier with known names
            top = None
        if top is not None:
            count = top["image"].nunique()
            more = f"and {count - len(seen)} more images: flow.device.top()" if count > len(seen) else ""
            current = panel.ready and not panel.stale
            missing = "" if current else "the device's column comes with Run and compare"
            self.photos.show(top, seen, "; ".join(filter(None, [more, missing])))
        self._reveal("photos", top is not None)
