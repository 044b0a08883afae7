"""A session as a plain Python script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ectoolkit.core.graph import Graph
from ectoolkit.data import ImageSet, LoadedModel

if TYPE_CHECKING:
    from ectoolkit.workflow.flow import Flow


@dataclass(frozen=True)
class Step:
    """One run: the stage's name in the flow and what it was given."""

    stage: str
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


def script(flow: Flow) -> str:
    """The last good run of each stage, in the order of the stages.

    What cannot be written down (a module of one's own, arrays) becomes a line with ``...`` and a comment that says what
    belongs there.
    """
    last = {step.stage: step for step in flow.log}
    lines = ["import ectoolkit as ect", "", *_definition("model", flow.source)]
    arguments = "model"
    if flow.calibration is not None:
        lines += _definition("calibration", flow.calibration)
        arguments += ", calibration=calibration"
    lines += [f"flow = ect.Flow({arguments})"]
    for stage in flow.stages:
        if stage.attribute in last:
            lines += _call(last[stage.attribute])
    return "\n".join(lines) + "\n"


def _call(step: Step) -> list[str]:
    given, before = [], []
    for position, argument in enumerate(step.arguments):
        given.append(_inline(argument) or f"{step.stage}_{position}")
        if not _inline(argument):
            before += _definition(given[-1], argument)
    for key, value in step.settings.items():
        text = _inline(value) or f"{step.stage}_{key}"
        if not _inline(value):
            before += _definition(text, value)
        given.append(f"{key}={text}")
    return [*before, f"flow.{step.stage}.run({', '.join(given)})"]


def _inline(value: Any) -> str:
    """Source text of a simple value, empty for others."""
    if isinstance(value, str | int | float | bool | type(None)):
        return repr(value)
    if isinstance(value, ImageSet) and value.origin:
        return value.origin
    if isinstance(value, tuple | list) and all(_inline(part) for part in value):
        return repr(value)
    return repr(str(value)) if hasattr(value, "__fspath__") else ""


def _definition(name: str, value: Any) -> list[str]:
    if isinstance(value, LoadedModel):
        weights = "" if value.asked_weights == "DEFAULT" else f", weights={value.asked_weights!r}"
        return [f"{name} = ect.load_model({value.name!r}{weights})"]
    if _inline(value):
        return [f"{name} = {_inline(value)}"]
    kind = f"the Graph {value.sha256[:12]}" if isinstance(value, Graph) else f"your {type(value).__name__}"
    return [f"{name} = ...  # {kind}"]
