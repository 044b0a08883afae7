"""The settings of each stage as form fields."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any, ClassVar

import ipywidgets
from traitlets import TraitError

from ectoolkit.builders import TARGETS
from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.devices import option_names
from ectoolkit.errors import DeviceError, PluginError
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

    A run changes a field where it was given something else than the field said when it was last asked or shown: so what
    a hand chooses while a run is at work stays.

    Attributes:
        positional: names of what ``run`` takes by position.
        fields: widgets by the name of the setting.
        widgets: all there is to show.
    """

    positional: ClassVar[tuple[str, ...]] = ()

    def __init__(self, stage: Stage[Any]) -> None:
        self.fields: dict[str, ipywidgets.ValueWidget] = self._fields(stage)
        self._kept: dict[str, Any] = {}
        #: of a run that leaves a setting out
        self._defaults = {name: field.value for name, field in self.fields.items()}
        self._known = dict(self._defaults)
        self.note = ipywidgets.HTML(layout={"display": "none"})
        self.note.add_class("ect-kept")
        self.widgets = (*self.fields.values(), self.note) if self.fields else ()
        for name, field in self.fields.items():
            field.add_class("ect-field")
            field.observe(lambda _, name=name: self._keep({k: v for k, v in self._kept.items() if k != name}), "value")

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        return {}

    def offer(self, stage: Stage[Any]) -> None:
        """Offer what there is to choose from now."""

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and settings for ``stage.run``."""
        return (), {name: field.value for name, field in self.fields.items()} | self._kept

    def for_run(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`call`, of which `show` will hear again where the run goes well."""
        arguments, settings = self.call()
        self._known = self._said(self._given(arguments, settings))
        return arguments, settings

    def show(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
        """Show what a run was given."""
        given = self._given(arguments, settings)
        known, self._known = self._known, self._said(given)
        refused = {name for name, value in self._known.items() if value != known[name] and not self._set(name, value)}
        still = {name for name in self._kept if name in self.fields and name in given} | refused
        self._keep({name: value for name, value in given.items() if name not in self.fields or name in still})

    def _given(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        """All that a run was given, by name."""
        return dict(zip(self.positional, arguments, strict=False)) | dict(settings)

    def _said(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """By name of the field what it says of these settings."""
        return self._defaults | {
            name: self._worded(name, value) for name, value in given.items() if name in self.fields
        }

    def _worded(self, name: str, value: Any) -> Any:
        """A setting as its field says it."""
        return value

    def _keep(self, settings: dict[str, Any]) -> None:
        """Settings that no field shows, or that a field cannot; they hold until its field is changed."""
        self._kept = settings
        named = ", ".join(_named(name, value) for name, value in settings.items())
        self.note.value = f"and {named}" if named else ""
        self.note.layout.display = "" if named else "none"

    def _set(self, name: str, value: Any) -> bool:
        """Put a value into its field; False where it does not take it: a number out of bounds is cut, not refused."""
        try:
            self.fields[name].value = value
        except TraitError:
            return False
        return bool(self.fields[name].value == value)


def _named(name: str, value: Any) -> str:
    """A setting in words, as HTML: what single layers have of their own opens to a list of them."""
    if name != "layers" or not isinstance(value, Mapping):
        return escape(f"{name.replace('_', ' ')} {_short(value)}")
    count = "settings of 1 layer" if len(value) == 1 else f"settings of {len(value)} layers"
    listed = "".join(f"<li>{escape(f'{layer}: {_own_settings(own)}')}</li>" for layer, own in value.items())
    return f"<details><summary>{count}</summary><ul>{listed}</ul></details>"


def _own_settings(own: Any) -> str:
    """What a layer has of its own: ``clip -1 to 2, method minmax``."""
    given = dict(own) if isinstance(own, Mapping) else {one.name: getattr(own, one.name) for one in fields(own)}
    changed = {name: value for name, value in given.items() if value is not None and value is not False}
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in changed.items())


def _short(value: Any) -> str:
    """A value for people."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(one, int | float) for one in value):
        return f"{value[0]:.4g} to {value[1]:.4g}"
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return " and ".join(value) or "none"
    if isinstance(value, list | tuple) and all(isinstance(one, list | tuple) for one in value):
        return " and ".join(" + ".join(map(str, one)) for one in value)
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


class QuantizeForm(Form):
    """Method, weights, bits, and the way there."""

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        fields: dict[str, ipywidgets.ValueWidget] = {
            "method": choice("method", METHODS, "how the range of an activation is chosen"),
            "weights": choice("weights", WEIGHTS, "one scale for each output channel, or one for all"),
            "activation_bits": choice("activation bits", ACTIVATION_BITS, "7 is the U50 guide's setting"),
            "door": choice("door", DOORS, "export: any module, with statistics to tune by; eager: the U50 guide's way"),
        }
        for name, field in fields.items():
            if name != "door":
                field.value = getattr(QuantConfig(), name)  # what a run without settings takes
        return fields

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments, settings = super().call()
        if settings["door"] == "auto":  # as in a script that leaves it out
            del settings["door"]
        return arguments, settings

    def _given(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        config = arguments[0] if arguments else settings.get("config")
        if isinstance(config, QuantConfig):  # as if its fields had been given, so that another run keeps them
            given = {one.name: getattr(config, one.name) for one in fields(QuantConfig)}
            changed = {
                name: value
                for name, value in given.items()
                if name in self.fields or value != getattr(QuantConfig(), name)
            }
            settings = changed | {name: value for name, value in settings.items() if name != "config"}
        return dict(settings)


class InterpretForm(Form):
    """How many images: of those last given to ``run``, else of the calibration set."""

    def __init__(self, stage: Stage[Any]) -> None:
        self._flow = weakref.ref(stage.flow)
        self._own: Any = None
        self._theirs: Any = None
        super().__init__(stage)
        self.offer(stage)

    def _fields(self, stage: Stage[Any]) -> dict[str, ipywidgets.ValueWidget]:
        return {"images": number("images", 4, 1, 4, "the first so many")}

    def _pool(self) -> Any:
        """The images to take from; None where there are none that could be counted."""
        flow = self._flow()
        images = self._theirs if self._theirs is not None or flow is None else flow.calibration
        return images if hasattr(images, "__getitem__") and len(images) else None

    def offer(self, stage: Stage[Any]) -> None:
        """Count the images; without any there is no field."""
        pool, field = self._pool(), self.fields["images"]
        field.layout.display = "none" if pool is None else ""
        if pool is not None and field.max != len(pool):
            field.max = len(pool)

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        pool = self._pool()
        if pool is None:
            return (), dict(self._kept)
        self._own = pool[: self.fields["images"].value]
        return (self._own,), dict(self._kept)

    def show(self, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
        given = (*arguments, settings.get("images"))[0]
        if given is not None and given is self._own:  # the form's own run changes nothing
            return
        self._theirs = given
        pool, field = self._pool(), self.fields["images"]
        if pool is not None:
            field.max = len(pool)
            field.value = len(pool) if given is not None else min(4, len(pool))
        field.layout.display = "none" if pool is None else ""
        self._keep({name: value for name, value in settings.items() if name != "images"})


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

    def _worded(self, name: str, value: Any) -> Any:
        return ("" if value is None else str(value)) if name == "out" else value


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

    def offer(self, stage: Stage[Any]) -> None:
        """Offer the deployments and the numbers of images that there are now."""
        assert isinstance(stage, DevicePanel)
        self.fields["deployment"].options = [str(path) for path in stage.deployments]
        counts = stage.image_counts
        chosen, field = self.fields["images"].value, self.fields["images"]
        options = [("all of the reference", 0), *((str(count), count) for count in counts)]
        if list(field.options) != options:
            field.options = options
            field.value = chosen if chosen in counts else 0

    def _limit(self, threads: ipywidgets.Dropdown, device: str) -> None:
        """Threads are a setting of some devices."""
        try:
            threads.disabled = "threads" not in option_names(device)
        except (DeviceError, PluginError):  # no such device: a run will say so
            threads.disabled = True

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments, settings = super().call()
        settings["deployment"] = str(settings["deployment"]).strip()
        unset = {name for name in ("deployment", "images", "threads") if not settings[name]}
        if self.fields["threads"].disabled:
            unset.add("threads")
        return arguments, {name: value for name, value in settings.items() if name not in unset}

    def _worded(self, name: str, value: Any) -> Any:
        if value is None:
            return self._defaults[name]
        return str(getattr(value, "path", value)) if name == "deployment" else value


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
