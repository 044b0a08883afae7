"""1 · the float model: its layers, and how it will be quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ectoolkit._optional import require
from ectoolkit.analysis.frames import frame
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import InputError
from ectoolkit.quantization.eager import missing_stubs
from ectoolkit.workflow.amounts import macs_text, parameters_text
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("layer", "kind", "output", "macs", "parameters", "note")


@dataclass(frozen=True)
class ModelReport:
    """What is known of a float model.

    Attributes:
        rows: one a layer.
        input_shape: that it was run with.
        route: how it will become an integer graph.
    """

    rows: list[dict[str, object]]
    input_shape: tuple[int, ...]
    route: str


class ModelStage(Stage[ModelReport]):
    """Runs the float model once on zeros and lists its layers."""

    number = 1
    title = "Model"
    attribute = "model"

    def run(self, input_shape: Sequence[int] | None = None, *, progress: Progress | None = None) -> Self:
        """Run the float model once on zeros.

        Args:
            input_shape: ``(1, channels, height, width)``; the model's own where it has one, else that of a calibration
                image.
            progress: called after each layer; it may raise to cancel.

        Raises:
            InputError: the shape is not known, or the model does not run on it.
        """
        return self._start(() if input_shape is None else (tuple(input_shape),), {}, progress)

    def _run(self, progress: Progress, input_shape: tuple[int, ...] | None = None) -> ModelReport:
        if isinstance(self.flow.source, Graph):
            raise InputError(f"{self.flow.name} is an integer graph already; its layers are in flow.quantize.table")
        module = self.module
        shape = tuple(input_shape or self._shape())
        rows = _layers(module, shape, progress)
        eager = "by its QuantStubs, as in the U50 guide"
        return ModelReport(rows, shape, "as torch.export captures it" if missing_stubs(module) else eager)

    @property
    def module(self) -> Any:
        """The ``nn.Module``.

        Raises:
            InputError: the flow was given something else.
        """
        module = getattr(self.flow.source, "module", self.flow.source)
        if not isinstance(module, require("torch", feature="A float model").nn.Module):
            raise InputError(f"expected a model from load_model or an nn.Module, got {type(module).__name__}")
        return module

    def _shape(self) -> tuple[int, ...]:
        shape = getattr(self.flow.source, "input_shape", None)
        if shape is None and hasattr(self.flow.calibration, "__getitem__"):
            shape = (1, *self.flow.calibration[0].shape[-3:])
        if shape is None:
            raise InputError("the input shape is not known; call flow.model.run(input_shape=(1, 3, 224, 224))")
        return tuple(shape)

    def _table(self, result: ModelReport) -> pd.DataFrame:
        """Columns: ``layer``; ``kind`` of module; ``output`` shape; ``macs``; ``parameters``; ``note``."""
        return frame(result.rows, COLUMNS)

    def summary(self) -> str:
        rows = self.result.rows
        macs, parameters = (sum(int(row[key]) for row in rows) for key in ("macs", "parameters"))  # type: ignore[call-overload]
        shape = "×".join(map(str, self.result.input_shape))
        size = f"{len(rows)} layers, {parameters_text(parameters)}, {macs_text(macs)}, input {shape}"
        trained = ", in eval() mode though the module is in train mode" if self.module.training else ""
        return f"{size}; quantized {self.result.route}{trained}"


def _layers(module: Any, shape: tuple[int, ...], progress: Progress) -> list[dict[str, object]]:
    torch = require("torch", feature="A float model")
    leaves = [(name, child) for name, child in module.named_modules() if not list(child.children())]
    rows: list[dict[str, object]] = []

    def watch(name: str, child: Any) -> Any:
        def hook(_: Any, inputs: Any, output: Any) -> None:
            rows.append(_row(name, child, output))
            progress(len(rows), max(len(leaves), len(rows)), name)

        return child.register_forward_hook(hook)

    hooks = [watch(name, child) for name, child in leaves]
    training = [child for child in module.modules() if child.training]
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(shape))
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"the model does not run on an input of shape {shape}: {first}") from error
    finally:
        for hook in hooks:
            hook.remove()
        for child in training:
            child.training = True
    return rows


def _row(name: str, child: Any, output: Any) -> dict[str, object]:
    weight = getattr(child, "weight", None)
    kind = type(child).__name__
    elements = output.numel() if hasattr(output, "numel") else 0
    per_output = weight[0].numel() if weight is not None and kind in ("Conv2d", "Linear") else 0
    notes = {"Dropout": "does nothing at inference", "BatchNorm2d": "folded into the convolution before it"}
    return {
        "layer": name,
        "kind": kind,
        "output": "×".join(map(str, getattr(output, "shape", ()))),
        "macs": elements * per_output,
        "parameters": sum(parameter.numel() for parameter in child.parameters(recurse=False)),
        "note": notes.get(kind, ""),
    }
