"""The settings of each stage as form fields."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any, ClassVar

import ipywidgets
from traitlets import TraitError

from ectoolkit.builders import TARGETS
from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.quantization.config import ACTIVATION_BITS, METHODS, WEIGHTS, QuantConfig
from ectoolkit.quantization.doors import DOORS
from ectoolkit.widgets.parts.devices import DeviceList
from ectoolkit.workflow import BuildStage, DevicePanel, ImportStage, InterpretStage, QuantizeStage, Stage

_STYLE = {"description_width": "initial"}


def choice(description: str, options: Sequence[Any], tooltip: str = "") -> ipywidgets.Dropdown:
    """A field with one of `options`: values, or pairs of text and value."""
    width = {"width": "max-content"}
    return ipywidgets.Dropdown(options=options, description=description, tooltip=tooltip, style=_STYLE, layout=width)


def number(description: str, value: int, least: int, most: int, tooltip: str = "") -> ipywidgets.BoundedIntText:
    """A field for a whole number from `least` to `most`."""
    return ipywidgets.BoundedIntText(
        value,
        min=least,
        max=most,
        description=description,
        tooltip=tooltip,
        style=_STYLE,
        layout={"width": "11em"},
    )


class Form:
    """Fields for some of a stage's settings; the others of the last run are kept and named.

    Attributes:
        positional: names of what ``run`` takes by position.
        fields: widgets by the name of the setting.
        widgets: all there is to show.
    """

    positional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, stage: Stage[Any]) -> None:
        self.fields: dict[str, ipywidgets.ValueWidget] = self._fields(stage)
        self._kept: dict[str, Any] = {}
        self._note = ipywidgets.HTML(layout={"display": "none"})
        self.widgets = (*self.fields.values(), self._note) if self.fields else ()
        for name, field in self.fields.items():
            field.add_class("ect-field")
            field.observe(lambda _, name=name: self._keep({k: v for k, v in self._kept.items() if k != name}), "value")

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        return {}

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and settings for ``stage.run``."""
        return (), {name: field.value for name, field in self.fields.items()} | self._kept

    def show(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
        """Show what a run was given."""
        given = dict(zip(self.positional, arguments, strict=False)) | dict(settings)
        self._keep({name: value for name, value in given.items() if not self._set(name, value)})

    def _keep(self, settings: dict[str, Any]) -> None:
        """Settings that no field shows, or that a field cannot; they hold until its field is changed."""
        self._kept = settings
        named = ", ".join(f"{name}={_short(value)}" for name, value in settings.items())
        self._note.value = f"and {escape(named)}" if named else ""
        self._note.layout.display = "" if named else "none"

    def _set(self, name: str, value: Any) -> bool:
        """Put a value into its field; False where there is no field that takes it."""
        if name not in self.fields:
            return False
        try:
            self.fields[name].value = value
        except TraitError:
            return False
        return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


class QuantizeForm(Form):
    """Method, weights, bits, and the way there."""

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        return {
            "method": choice("method", METHODS, "how the range of an activation is chosen"),
            "weights": choice("weights", WEIGHTS, "one scale for each output channel, or one for all"),
            "activation_bits": choice("activation bits", ACTIVATION_BITS, "7 is the U50 guide's setting"),
            "door": choice("door", DOORS, "export: any module, with statistics to tune by; eager: the U50 guide's way"),
        }

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments, settings = super().call()
        if settings["door"] == "auto":  # as in a script that leaves it out
            del settings["door"]
        return arguments, settings

    def show(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
        config = arguments[0] if arguments else settings.get("config")
        if isinstance(config, QuantConfig):  # as if its fields had been given, so that another run keeps them
            given = {one.name: getattr(config, one.name) for one in fields(QuantConfig)}
            changed = {
                name: value
                for name, value in given.items()
                if name in self.fields or value != getattr(QuantConfig(), name)
            }
            settings = changed | {name: value for name, value in settings.items() if name != "config"}
        super().show((), settings)


class InterpretForm(Form):
    """How many images: of those last given to ``run``, else of the calibration set."""

    def __init__(self, stage: Stage[Any]) -> None:
        self._pool: Any = stage.flow.calibration
        self._own: Any = None
        super().__init__(stage)

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        count = len(self._pool) if hasattr(self._pool, "__getitem__") else 0
        return {"images": number("images", min(4, count), 1, count, "the first so many")} if count else {}

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self.fields:
            return (), {}
        self._own = self._pool[: self.fields["images"].value]
        return (self._own,), {}

    def show(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
        given = (*arguments, settings.get("images"))[0]
        if self.fields and given is not None and given is not self._own:
            self._pool = given
            field = self.fields["images"]
            field.max = field.value = len(given)


class ImportForm(Form):
    """Layout and instruction set."""

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        return {
            "layout": choice("layout", ("NHWC", "NCHW"), "of the library's 4-D inputs and outputs"),
            "isa": choice("instruction set", ("host", *ISAS), "host: the best that this CPU has"),
        }


class BuildForm(Form):
    """Target and folder."""

    positional = ("out", "target")

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        folder = ipywidgets.Text(
            description="folder",
            placeholder=f"{stage.flow.name.replace('/', '_')}_deploy",
            style=_STYLE,
            layout={"width": "20em"},
        )
        return {"out": folder, "target": choice("target", tuple(TARGETS))}

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments, settings = super().call()
        return arguments, settings | {"out": settings["out"].strip() or None}

    def _set(self, name: str, value: Any) -> bool:
        return super()._set(name, "" if value is None else str(value)) if name == "out" else super()._set(name, value)


class DeviceForm(Form):
    """Device, deployment, images, threads, timed runs."""

    positional = ("device", "runs")

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        assert isinstance(stage, DevicePanel)
        cpus = len(os.sched_getaffinity(0))
        self.list = DeviceList(value="cpu")
        self.list.show(stage.health)
        fields = {
            "device": self.list,
            "deployment": ipywidgets.Combobox(
                description="deployment", placeholder="the one just built", style=_STYLE, layout={"width": "26em"}
            ),
            "images": choice("images", [("all of the reference", 0)], "the first so many"),
            "threads": choice("threads", [("all", 0), *((str(n), n) for n in range(1, cpus + 1))]),
            "runs": number("timed runs", 20, 1, 10_000),
        }
        self.list.observe(lambda change: self._limit(fields["threads"], change["new"]), names="value")
        return fields

    def offer(self, stage: DevicePanel) -> None:
        """Offer the deployments and the numbers of images that there are now."""
        self.fields["deployment"].options = [str(path) for path in stage.deployments]
        count = len(stage.flow.interpret.result.names) if stage.flow.interpret.ready else 0
        chosen, field = self.fields["images"].value, self.fields["images"]
        options = [("all of the reference", 0), *((str(n), n) for n in range(1, count))]
        if list(field.options) != options:
            field.options = options
            field.value = chosen if chosen < count else 0

    def _limit(self, threads: ipywidgets.Dropdown, device: str) -> None:
        """Threads are a setting of the cpu alone."""
        threads.disabled = device != "cpu"

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments, settings = super().call()
        settings["deployment"] = str(settings["deployment"]).strip()
        unset = {name for name in ("deployment", "images", "threads") if not settings[name]}
        if self.fields["threads"].disabled:
            unset.add("threads")
        return arguments, {name: value for name, value in settings.items() if name not in unset}

    def _set(self, name: str, value: Any) -> bool:
        if name == "deployment" and value is not None:
            return super()._set(name, str(getattr(value, "path", value)))
        return super()._set(name, value)


FORMS: dict[type[Stage[Any]], type[Form]] = {
    QuantizeStage: QuantizeForm,
    InterpretStage: InterpretForm,
    ImportStage: ImportForm,
    BuildStage: BuildForm,
    DevicePanel: DeviceForm,
}


def form_of(stage: Stage[Any]) -> Form:
    """The form of a stage; one without fields where the stage is unknown or has no settings."""
    kind = next((FORMS[base] for base in type(stage).__mro__ if base in FORMS), Form)
    return kind(stage)
