"""The settings that the chosen layer has of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from ectoolkit.quantization.config import ACTIVATION_BITS, METHODS, WEIGHT_BITS, WEIGHTS
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.widgets.forms import choice
from ectoolkit.widgets.pressing import when_pressed
from ectoolkit.workflow import QuantizeStage

_NETWORK = "the network's"


def _own(values: Sequence[Any]) -> list[tuple[str, Any]]:
    """The values, and first of all none; not None, which a drop-down list shows as a blank."""
    return [(_NETWORK, ""), *((str(value), value) for value in values)]


class LayerSettings:
    """Fields for one layer; a change is told at once.

    Args:
        tune: is called with the changed setting by name.

    Attributes:
        shows: whether the histogram is of activations or of weights; not in `view`, it stands above the histogram.
        fields: by the name of the setting.
        free: gives a range by hand back to the method.
        view: all of them.
    """

    def __init__(self, tune: Callable[..., None]) -> None:
        self._tune = tune
        self._shown: dict[str, Any] = {}
        self.shows = ipywidgets.ToggleButtons(
            options=[("activations", "activation"), ("weights", "weight")], style={"button_width": "8em"}
        )
        self.fields: dict[str, Any] = {
            "method": choice("method", _own(METHODS), "how this layer's range is chosen"),
            "activation_bits": choice("bits", _own(ACTIVATION_BITS), "of this layer's output"),
            "weights": choice("weights", _own(WEIGHTS), "one scale for each output channel, or one for all of them"),
            "weight_bits": choice("weight bits", _own(WEIGHT_BITS), "of this layer's weights, sign included"),
            "keep_float": ipywidgets.Checkbox(
                description="keep in float", indent=False, layout={"width": "max-content"}
            ),
        }
        self.free = ipywidgets.Button(
            description="range back to the method",
            tooltip="drop the clip range given by hand",
            layout={"width": "auto"},
        )
        for name, field in self.fields.items():
            field.add_class(f"ect-own-{name.replace('_', '-')}")
            field.observe(lambda change, name=name: self._changed(name, change["new"]), "value")
        self.free.add_class("ect-free")
        when_pressed(self.free, lambda: self._tune(clip=None))
        self.shows.add_class("ect-shows")
        row = {"flex_flow": "row wrap", "align_items": "center"}
        self.view = ipywidgets.HBox(
            [ipywidgets.HTML("<h4>of this layer</h4>"), *self.fields.values(), self.free], layout=row
        )
        self.view.add_class("ect-own")

    def show(self, stage: QuantizeStage, layer: str) -> None:
        """Show what a layer has of its own; nothing where it has no settings."""
        there = stage.ready and layer and stage.is_tunable and isinstance(stage.result, ExportedModel)
        self.view.layout.display = self.shows.layout.display = "" if there else "none"
        if not there:
            return
        own = stage.own_settings(layer)
        for setting, field in self.fields.items():
            value = getattr(own.config, setting)
            self._shown[setting] = "" if value is None else value
            field.value = self._shown[setting]
        if not own.has_weights:
            self.shows.value = "activation"
        self.shows.disabled = not own.has_weights  # it stays where it is: nothing jumps
        for name in ("weights", "weight_bits"):
            self.fields[name].layout.display = "" if own.has_weights else "none"
        self.fields["keep_float"].layout.display = "" if own.is_layer else "none"
        self.free.layout.display = "none" if own.config.clip is None else ""
        for widget in (*self.fields.values(), self.free):
            widget.layout.visibility = "hidden" if own.keeps_grid else "visible"

    def enable(self, enabled: bool) -> None:
        """Let the fields be changed, or not while a change is at work."""
        for widget in (*self.fields.values(), self.free):
            widget.disabled = not enabled

    def _changed(self, name: str, value: Any) -> None:
        if value != self._shown.get(name):  # a hand's
            self._tune(**{name: None if value == "" else value})

    def __repr__(self) -> str:
        return f"LayerSettings({', '.join(self.fields)})"
