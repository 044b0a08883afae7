"""A stage whose settings are changed step by step: tune, undo, redo, and the log of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ectoolkit._notices import warn
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import EctoolkitWarning, QuantizationError, StageError
from ectoolkit.quantization.config import LayerConfig, QuantConfig
from ectoolkit.quantization.eager import QuantizedModel, missing_stubs, unknown_to_eager
from ectoolkit.quantization.exported import ExportedModel
from ectoolkit.quantization.tuning import History, State, TuningStep
from ectoolkit.workflow.stage import Stage, StageEvent

Quantized = QuantizedModel | ExportedModel


class _Unchanged:
    """Of a setting that a step leaves alone; None is a value."""

    def __repr__(self) -> str:
        return "unchanged"


UNCHANGED: Any = _Unchanged()


def door_of(result: Quantized) -> str:
    """The way that led to a result, as `ectoolkit.quantize` names it: ``"eager"`` is the U50 guide's."""
    return "export" if isinstance(result, ExportedModel) else "eager"


class TunedStage(Stage[Quantized]):
    """Keeps every state since the last run; a subclass calls `_begin` where it has a first one."""

    _history: History[Quantized] | None = None

    def _begin(self, config: QuantConfig, result: Quantized) -> None:
        """A run gave a first state; what was tuned before is forgotten."""
        self._history = History(config, result)

    def _start(self, arguments: tuple[Any, ...], settings: dict[str, Any], progress: Progress | None) -> Self:
        super()._start(arguments, settings, progress)
        self._tuned().note(self.notices)
        return self

    @abstractmethod
    def source_of(self, layer: str) -> str:
        """The name by which settings know a row of `table`."""

    def tune(
        self,
        layer: str | None = None,
        *,
        method: str | None = UNCHANGED,
        percentile: float | None = UNCHANGED,
        weights: str | None = UNCHANGED,
        weight_bits: int | None = UNCHANGED,
        activation_bits: int | None = UNCHANGED,
        symmetric: bool | None = UNCHANGED,
        clip: tuple[float, float] | None = UNCHANGED,
        keep_float: bool = UNCHANGED,
        hardware: str = UNCHANGED,
        corrections: str | Sequence[str] = UNCHANGED,
        layers: Mapping[str, LayerConfig | Mapping[str, Any]] = UNCHANGED,
        fuse: Sequence[Sequence[str]] = UNCHANGED,
        progress: Progress | None = None,
        **unknown: Any,
    ) -> Self:
        """Change some settings, of one layer or of the network; only what they touch is made anew.

        A model that went the U50 guide's way stays on it as long as torch's flow knows the settings, and is calibrated
        again; other settings take it through ``torch.export``, with a warning.

        Args:
            layer: a name of the first column of `table`; None for the network.
            method, percentile, weights, weight_bits, activation_bits, symmetric: as for `run`; of a layer, None gives
                it back to the network's setting.
            clip: of a layer: its output's range by hand, (smallest, largest) around 0 in real units; None frees it.
            keep_float: of a layer: run it in float.
            hardware, corrections, layers, fuse: of the network, as for `run`.
            progress: of corrections and of the U50 guide's way, the only parts that take long.
            **unknown: refused, with the settings that there are.

        Returns:
            The stage, so that it displays as a card.

        Raises:
            QuantizationError: there is no such layer or setting, none was named, or the value is none of those allowed.
            StageError: the stage has not run.

        Warns:
            EctoolkitWarning: the step left the U50 guide's way.
        """
        settings = {
            "method": method,
            "percentile": percentile,
            "weights": weights,
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
            "symmetric": symmetric,
            "clip": clip,
            "keep_float": keep_float,
            "hardware": hardware,
            "corrections": corrections,
            "layers": layers,
            "fuse": fuse,
        }
        changes = {name: value for name, value in settings.items() if value is not UNCHANGED} | unknown
        return self._step(layer, changes, progress)

    def _step(self, layer: str | None, changes: dict[str, Any], progress: Progress | None) -> Self:
        history = self._tuned()
        if not changes:
            of_what = "network" if layer is None else f"layer {layer}"
            raise QuantizationError(f"no setting of the {of_what} was named to change; name one, like method='minmax'")
        step = TuningStep(None if layer is None else self.source_of(layer), changes)
        config = history.changed(step)
        before = door_of(history.current.result)
        door = "eager" if before == "eager" and not unknown_to_eager(config) else "export"
        self.run(config, door=self._door_to(door), progress=progress)
        history.add(step, config, self.result)
        self._history = history
        left = ""
        if door != before:
            left = (
                f"{self.flow.name} left the U50 guide's way, whose flow does not know ({step}): it went through "
                "torch.export (door='export'), so every scale is new, not only what the step changed, and there is no "
                "traced TorchScript file. flow.quantize.undo() goes back; to tune from a state that this step can be "
                "compared with, begin with flow.quantize.run(door='export')"
            )
            self.notices = (*self.notices, left)
        history.note(self.notices)
        self._tell(StageEvent(self, "state"))  # whoever shows the log heard of the run before the step was in it
        if left:
            warn(left, EctoolkitWarning, stacklevel=3)
        return self

    def undo(self) -> Self:
        """Take the last step of tuning back.

        Raises:
            QuantizationError: there is none.
        """
        history = self._tuned()
        return self._show(history.undo(), history.redo)

    def redo(self) -> Self:
        """Make the step again that was undone last.

        Raises:
            QuantizationError: there is none.
        """
        history = self._tuned()
        return self._show(history.redo(), history.undo)

    @property
    def states(self) -> tuple[State[Quantized], ...]:
        """Where the tuning stood: the last run, then every step up to now."""
        return self._tuned().states

    @property
    def is_tunable(self) -> bool:
        """True where there is a state to tune from."""
        return self._history is not None

    @property
    def can_undo(self) -> bool:
        """True where `undo` has a step to take back."""
        return self._history is not None and self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """True where `redo` has a step to make again."""
        return self._history is not None and self._history.can_redo

    @property
    def undone(self) -> TuningStep | None:
        """The step that `redo` makes again; None where there is none."""
        return None if self._history is None else self._history.undone

    @property
    def log(self) -> list[str]:
        """The steps of tuning in words, in order."""
        return [str(state.step) for state in self.states[1:]]

    def _show(self, state: State[Quantized], back: Callable[[], object]) -> Self:
        door = self._door_to(door_of(state.result))
        try:
            settings = {} if door == "auto" else {"door": door}
            return self._adopt(state.result, (state.config,), settings, state.notices)
        except StageError:  # it is running: the history stays where it was
            back()
            raise

    def _door_to(self, door: str) -> str:
        """What to ask for to go this way; where there is one way only, what the user asked for last stays."""
        asked = str(self.settings.get("door", "auto"))
        return asked if asked == "auto" and missing_stubs(self.flow.model.module) else door

    def _tuned(self) -> History[Quantized]:
        if self._history is None:
            raise StageError(f"{self.title} has not run; call flow.{self.attribute}.run() first")
        return self._history
