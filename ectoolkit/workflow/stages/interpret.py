"""3 · the reference: the graph on the interpreter, beside the float model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ectoolkit.analysis.errors import error_table
from ectoolkit.analysis.predictions import prediction_table
from ectoolkit.core import metrics
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress, Trace
from ectoolkit.core.words import counted
from ectoolkit.data import ImageSet
from ectoolkit.data.thumbnails import SHOWN
from ectoolkit.errors import InputError, StageError
from ectoolkit.interpreters import trace
from ectoolkit.workflow.cross_check import CrossCheck, cross_check
from ectoolkit.workflow.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Reference:
    """What the interpreter gave.

    Attributes:
        inputs: float32 ``(N, C, H, W)``.
        names: of the images.
        labels: true classes, None where unknown.
        trace: every layer of the integer graph.
        float_outputs: of the float model, None where there is none.
        float_layers: of the float model, by layer.
        pictures: the images to look at, the first at least; None where they are none.
    """

    inputs: np.ndarray
    names: list[str]
    labels: list[int | None]
    trace: Trace
    float_outputs: list[np.ndarray] | None
    float_layers: dict[str, np.ndarray]
    pictures: ImageSet | None = None

    def __repr__(self) -> str:
        return (
            f"Reference({len(self.names)} images of {self.trace.graph.name!r}, {len(self.float_layers)} float layers)"
        )

    def first(self, images: int | None) -> Reference:
        """The same of the first images alone; itself for None or all.

        Raises:
            InputError: there are not so many, or the graph's batch does not divide them.
        """
        count = len(self.names)
        if images is None or images == count:
            return self
        graph = self.trace.graph
        batch = graph.values[graph.inputs[0]].spec.shape[0]
        if not 1 <= images <= count or images % batch:
            multiple = f", a multiple of the batch {batch}" if batch > 1 else ""
            raise InputError(f"images is {images}, expected 1 to {count}, as the reference has{multiple}")
        return Reference(
            self.inputs[:images],
            self.names[:images],
            self.labels[:images],
            Trace(graph, {name: array[:images] for name, array in self.trace.arrays.items()}),
            None if self.float_outputs is None else [array[:images] for array in self.float_outputs],
            {name: array[:images] for name, array in self.float_layers.items()},
            None if self.pictures is None else self.pictures[:images],
        )


class InterpretStage(Stage[Reference]):
    """Runs images through the interpreter, and through the float model."""

    number = 3
    title = "Reference"
    attribute = "interpret"

    @property
    def upstream(self) -> tuple[Stage[Any], ...]:
        return () if isinstance(self.flow.source, Graph) else (self.flow.quantize,)

    def run(self, images: Any = None, engine: str = "auto", *, progress: Progress | None = None) -> Self:
        """Run images through the interpreter; what it gives is the reference of everything after it.

        Args:
            images: an image set, or float32 ``(N, C, H, W)``; the first four calibration images where None.
            engine: ``"auto"`` (the default), ``"fast"`` or ``"definition"``, as for `ectoolkit.interpret`; all give the
                same.
            progress: called after each layer; it may raise to cancel.

        Raises:
            StageError: the quantize stage has not run, or the graph takes several inputs.
            InputError: the images do not fit.
        """
        settings = {"engine": None if engine == "auto" else engine}
        return self._start(() if images is None else (images,), settings, progress)

    def _run(self, progress: Progress, images: Any = None, engine: str = "auto") -> Reference:
        graph = self.flow.quantize.graph
        if len(graph.inputs) > 1:
            raise StageError(
                f"{graph.name} takes {len(graph.inputs)} inputs, and a flow gives one. Use "
                "ect.interpret(graph, [a, b]) and ect.build(graph, out, reference_input=[a, b])"
            )
        inputs, names, labels, pictures = self._images(images)
        found = trace(
            graph, inputs, engine=engine, progress=progress
        )  # checks the inputs, which the float model would not
        if isinstance(self.flow.source, Graph):
            return Reference(inputs, names, labels, found, None, {}, pictures)
        outputs, layers = self.flow.quantize.result.float_layers(inputs, [node.name for node in graph.nodes])
        return Reference(inputs, names, labels, found, outputs, layers, pictures)

    def _images(self, images: Any) -> tuple[np.ndarray, list[str], list[int | None], ImageSet | None]:
        if images is None:
            if not isinstance(self.flow.calibration, ImageSet):
                raise StageError("give the images to run: flow.interpret.run(images), float32 (N, C, H, W)")
            images = self.flow.calibration[:4]
        images = self.flow.preprocessed(images)
        if isinstance(images, ImageSet):
            return images.batch(), images.names, images.labels, images
        array = np.asarray(images)
        if array.ndim < 2 or not array.shape[0]:
            raise InputError(f"images has shape {array.shape}, expected a batch: float32 (N, C, H, W)")
        names = [f"image {index}" for index in range(len(array))]
        seen = array.dtype == np.float32 and array.ndim == 4 and array.shape[1] == 3 and bool(np.isfinite(array).all())
        return array, names, [None] * len(array), ImageSet.from_arrays(array[:SHOWN], names[:SHOWN]) if seen else None

    @property
    def outputs(self) -> list[np.ndarray]:
        """The interpreter's outputs, float32, NCHW where 4-D."""
        return self.result.trace.outputs

    @property
    def trace(self) -> Trace:
        """Every layer's codes."""
        return self.result.trace

    def cross_check(self, device: str, images: Any = None, **options: Any) -> CrossCheck:
        """Check a device's arithmetic against the interpreter's; see `ectoolkit.workflow.cross_check.cross_check`.

        Args:
            device: ``"mera:InterpreterHw"``, ``"mera:Simulator"``, ``"cpu"``...
            images: an image set, or float32 ``(N, C, H, W)``; those of the last run where None.
            **options: of `ectoolkit.workflow.cross_check.cross_check`.
        """
        inputs = self.result.inputs if images is None else self._images(images)[0]
        return cross_check(self.flow.quantize.graph, device, inputs, **options)

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an image; see `ectoolkit.analysis.predictions.prediction_table`.

        Raises:
            StageError: the model is no classifier with known class names.
        """
        return self.prediction_table({})

    def prediction_table(self, more: dict[str, np.ndarray], images: int | None = None) -> pd.DataFrame:
        """The predictions of the first images, with a column for each further score, for example a device's."""
        reference = self.result.first(images)
        return prediction_table(self.scores(more, images), self.flow.class_names, reference.names, reference.labels)

    def scores(self, more: dict[str, np.ndarray], images: int | None = None) -> dict[str, np.ndarray]:
        """``(images, classes)`` of the float model, the interpreter, and whatever is given, by name.

        Raises:
            StageError: the model is no classifier with known class names.
        """
        reference = self.result.first(images)
        scores = reference.trace.outputs[0]
        if scores.ndim != 2 or scores.shape[1] != len(self.flow.class_names):
            raise StageError(
                f"{self.flow.name} gives {scores.shape} and {len(self.flow.class_names)} class names are known; "
                "predictions need a classifier and its names: ect.Flow(..., class_names=[...])"
            )
        columns = {"int8": scores} | more
        if reference.float_outputs is not None:
            columns = {"float": reference.float_outputs[0]} | columns
        return columns

    def _table(self, result: Reference) -> pd.DataFrame:
        return error_table(result.trace, result.float_layers)

    def summary(self) -> str:
        result = self.result
        line = counted(len(result.names), "image")
        if result.float_outputs is not None:
            line += f", outputs at {metrics.sqnr_db(result.float_outputs[0], self.outputs[0]):.1f} dB of float"
            if self.outputs[0].ndim == 2:
                share = metrics.agreement(result.float_outputs[0], self.outputs[0])
                line += f", top-1 agrees on {round(share * len(result.names))} of {len(result.names)}"
        return line
