"""The history of a tuning: states, the steps between them, undo and redo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.config import QuantConfig

Result = TypeVar("Result")


@dataclass(frozen=True)
class TuningStep:
    """One change.

    Attributes:
        layer: whose settings changed; None for the network's.
        changes: the new settings by name, as for `QuantConfig.tuned`.
    """

    layer: str | None
    changes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.layer or 'network'}: {', '.join(f'{name}={value!r}' for name, value in self.changes.items())}"


@dataclass(frozen=True)
class State(Generic[Result]):
    """Where a tuning stood.

    Attributes:
        config: all settings.
        result: of quantizing with them.
        step: what led here from the state before; None for the first.
        notices: what was warned of then.
    """

    config: QuantConfig
    result: Result
    step: TuningStep | None = None
    notices: tuple[str, ...] = ()


class History(Generic[Result]):
    """States in order, and which of them is current."""

    def __init__(self, config: QuantConfig, result: Result) -> None:
        self._states: list[State[Result]] = [State(config, result)]
        self._position = 0

    @property
    def current(self) -> State[Result]:
        """The state that counts."""
        return self._states[self._position]

    @property
    def states(self) -> tuple[State[Result], ...]:
        """The first state and those that led to the current one."""
        return tuple(self._states[: self._position + 1])

    @property
    def can_undo(self) -> bool:
        """True where there is a state before the current one."""
        return self._position > 0

    @property
    def can_redo(self) -> bool:
        """True where a step was undone and none made since."""
        return self._position + 1 < len(self._states)

    @property
    def undone(self) -> TuningStep | None:
        """What `redo` makes again; None where it has nothing to do."""
        return self._states[self._position + 1].step if self.can_redo else None

    def changed(self, step: TuningStep) -> QuantConfig:
        """The current settings with one more step; nothing is recorded yet."""
        return self.current.config.tuned(step.layer, **step.changes)

    def add(self, step: TuningStep, config: QuantConfig, result: Result) -> None:
        """Record a step that was made; what had been undone is forgotten."""
        self._states = [*self.states, State(config, result, step)]
        self._position += 1

    def note(self, notices: tuple[str, ...]) -> None:
        """Keep with the current state what was warned of."""
        self._states[self._position] = replace(self.current, notices=notices)

    def undo(self) -> State[Result]:
        """Go one state back.

        Raises:
            QuantizationError: this is the first.
        """
        if not self.can_undo:
            raise QuantizationError("there is nothing to undo; this is the state of the last run")
        self._position -= 1
        return self.current

    def redo(self) -> State[Result]:
        """Go forward again to what was undone.

        Raises:
            QuantizationError: nothing was undone since the last step.
        """
        if not self.can_redo:
            raise QuantizationError("there is nothing to redo; the last step was not undone")
        self._position += 1
        return self.current
