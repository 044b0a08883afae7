"""A session as a plain Python script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.data import ImageSet, LoadedModel, Preprocess
from ectoolkit.quantization.config import LayerConfig, QuantConfig

if TYPE_CHECKING:
    from ectoolkit.workflow.flow import Flow


@dataclass(frozen=True)
class Step:
    """One run, or another question: the stage's name in the flow, what it was given, and the method that took it.

    `decided` are settings that it chose by itself, and that a script names too.
    """

    stage: str
    arguments: tuple[Any, ...]
    settings: dict[str, Any]
    method: str = "run"
    decided: Mapping[str, Any] = field(default_factory=dict)


def script(flow: Flow) -> str:
    """The last good run of each stage and the last of each other question, in the order of the stages.

    What cannot be written down (a module of one's own, arrays) becomes a line with ``...`` and a comment that says what
    belongs there.
    """
    writer = _Writer(getattr(flow.source, "preprocess", None))
    last = {(step.stage, step.method): step for step in flow.log}
    lines = ["import ectoolkit as ect", "", *writer.definition("model", flow.source)]
    arguments = ["model"]
    if flow.calibration is not None:
        lines += writer.definition("calibration", flow.calibration)
        arguments.append("calibration=calibration")
    arguments += [f"{key}={writer.inline(value)}" for key, value in flow.given.items() if value is not None]
    lines.append(f"flow = ect.Flow({', '.join(arguments)})")
    for stage in flow.stages:
        for step in (found for (name, _), found in last.items() if name == stage.attribute):
            lines += writer.call(step)
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Writer:
    """Values as source text; `preprocess` is the model's, which image sets get by themselves."""

    preprocess: Preprocess | None

    def call(self, step: Step) -> list[str]:
        given, before = [], []
        named: list[tuple[str, str, Any]] = [
            (f"{step.stage}_{position}", "", value) for position, value in enumerate(step.arguments)
        ]
        named += [(f"{step.stage}_{key}", f"{key}=", value) for key, value in {**step.settings, **step.decided}.items()]
        for name, keyword, value in named:
            text = self.inline(value)
            if not text:
                before += self.definition(name, value)
            given.append(keyword + (text or name))
        return [*before, f"flow.{step.stage}.{step.method}({', '.join(given)})"]

    def inline(self, value: Any) -> str:
        """Source text of a simple value, empty for others."""
        if isinstance(value, np.generic):  # 1.5, not np.float64(1.5): the script does not import numpy
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return f"float({str(value)!r})"
        if isinstance(value, str):
            return repr(str.__str__(value))  # 'mse', not <Method.MSE: 'mse'>
        if isinstance(value, bool | type(None)):
            return repr(value)
        if isinstance(value, Real):
            return repr(int(value) if isinstance(value, int) else float(value))
        if isinstance(value, ImageSet) and value.origin:
            own = value.preprocess not in (None, self.preprocess)
            return value.origin + (f".with_preprocess({self.inline(value.preprocess)})" if own else "")
        if isinstance(value, LayerConfig | Preprocess):
            return self.made(value)
        if isinstance(value, tuple | list):
            return self.sequence(value)
        if isinstance(value, Mapping):
            # a pair of numbers, as in {"clip": ...}, may be an array
            plain = {key: part.tolist() if isinstance(part, np.ndarray) else part for key, part in value.items()}
            parts = {key: self.inline(part) for key, part in plain.items()}
            if all(isinstance(key, str) and text for key, text in parts.items()):
                return "{" + ", ".join(f"{str(key)!r}: {text}" for key, text in parts.items()) + "}"
        return repr(str(value)) if hasattr(value, "__fspath__") else ""

    def sequence(self, value: Sequence[Any]) -> str:
        """Source text of a tuple or a list, empty where a part has none."""
        parts = [self.inline(part) for part in value]
        if not all(parts):
            return ""
        if isinstance(value, list):
            return f"[{', '.join(parts)}]"
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"

    def made(self, value: Any) -> str:
        """The call that makes one of our dataclasses, with the fields that are not as they are by default."""
        given = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != _default(f)}
        arguments = ", ".join(f"{name}={self.inline(own)}" for name, own in given.items())
        return f"ect.{type(value).__name__}({arguments})"

    def definition(self, name: str, value: Any) -> list[str]:
        """A line that makes a value, or says what is missing."""
        if isinstance(value, LoadedModel):
            weights = "" if value.asked_weights == "DEFAULT" else f", weights={self.inline(value.asked_weights)}"
            return [f"{name} = ect.load_model({value.name!r}{weights})"]
        if self.inline(value):
            return [f"{name} = {self.inline(value)}"]
        if isinstance(value, QuantConfig):
            return self.config(name, value)
        kind = f"the Graph {value.sha256[:12]}" if isinstance(value, Graph) else f"your {type(value).__name__}"
        return [f"{name} = ...  # {kind}"]

    def config(self, name: str, config: QuantConfig) -> list[str]:
        """The network's settings, then a line for each layer that has its own."""
        lines = [f"{name} = {self.made(replace(config, layers={}))}"]
        for layer, own in config.layers.items():
            changes = self.made(own).partition("(")[2]
            lines.append(f"{name} = {name}.tuned({layer!r}, {changes}")
        return lines


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()
