"""What can be known before a deployment runs on a device: asked in order, nothing is opened or run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ectoolkit.analysis.frames import frame
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices import Device, DeviceHealth, health_of
from ectoolkit.errors import EctoolkitError
from ectoolkit.workflow.verdicts import input_proof

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it is as it must be; None where an earlier one failed, so that this one was not looked at.
        detail: what was found, with the remedy where it is wrong.
    """

    name: str
    ok: bool | None
    detail: str

    @property
    def state(self) -> str:
        """In a word, with its sign."""
        return {True: "✓ ok", False: "✗ wrong", None: "○ not looked at"}[self.ok]


@dataclass(frozen=True)
class Preflight:
    """All checks; truthy where nothing is wrong.

    Attributes:
        device: name of the device.
        checks: in the order they were made.
    """

    device: str
    checks: tuple[Check, ...]

    def __bool__(self) -> bool:
        return all(check.ok for check in self.checks)

    def __repr__(self) -> str:
        wrong = next((check.name for check in self.checks if check.ok is False), "")
        return f"Preflight({self.device}, {f'{wrong} is wrong' if wrong else 'ready'})"

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        head = "".join(f'<th scope="col" {left}>{name}</th>' for name in ("check", "state", "detail"))
        rows = "".join(
            f'<tr><th scope="row" {left}>{escape(check.name)}</th>'
            f"<td {left}>{check.state}</td><td {left}>{escape(check.detail)}</td></tr>"
            for check in self.checks
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def to_frame(self) -> pd.DataFrame:
        """One row a check.  Columns: ``check`` name; ``state``; ``detail``."""
        rows = ({"check": check.name, "state": check.state, "detail": check.detail} for check in self.checks)
        return frame(rows, ("check", "state", "detail"))


#: gives what was found; raises EctoolkitError where it is wrong
Question = Callable[[], str]


def ask(device: str, questions: dict[str, Question]) -> Preflight:
    """Ask one after another, until one fails."""
    checks: list[Check] = []
    for name, question in questions.items():
        if any(check.ok is False for check in checks):
            checks.append(Check(name, None, ""))
            continue
        try:
            checks.append(Check(name, True, question()))
        except EctoolkitError as error:
            checks.append(Check(name, False, str(error)))
    return Preflight(device, tuple(checks))


def device_state(device: Device) -> str:
    """The device is there and its sensors answer.

    Raises:
        EctoolkitError: it is not; with the remedy.
    """
    health: DeviceHealth = health_of(device.info(), device)
    if not health.info.available or health.trouble:
        raise EctoolkitError(health.info.reason or health.trouble)
    return " · ".join([health.info.description, *map(str, health.readings)])


def input_state(inputs: np.ndarray, deployment: Deployment) -> str:
    """What reaches the device is what the images are.

    Raises:
        EctoolkitError: the images do not fit, or become other numbers on the way.
    """
    (name,) = (tensor.name for tensor in deployment.manifest.inputs)
    proof = input_proof({name: inputs}, [deployment])
    odd = proof.first_odd
    if odd is not None:
        raise EctoolkitError(
            f"{odd.stage} takes other numbers as {odd.input} than the images hold: sha256 {odd.sha256}"
        )
    first = proof.facts[0]
    return f"{first.dtype} {'×'.join(map(str, first.shape))} from {first.minimum:.4g} to {first.maximum:.4g}, the same"
