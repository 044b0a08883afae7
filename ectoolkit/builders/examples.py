"""What every deploy directory holds whatever compiler made its library: one run's inputs and results, the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit.core.deployment import to_layout
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs, check_inputs
from ectoolkit.core.manifest import MANIFEST, Manifest, TensorFile, record_files, tensor_files
from ectoolkit.core.types import Layout
from ectoolkit.errors import InputError


def one_run(graph: Graph, reference_input: Inputs) -> list[np.ndarray]:
    """The inputs of one run, float32, in the graph's order and layout.

    Raises:
        InputError: they do not fit, or are more than one run.
    """
    specs = {name: graph.values[name].spec for name in graph.inputs}
    inputs = check_inputs(graph.name, specs, reference_input)
    for name, array in inputs.items():
        if array.shape != specs[name].shape:
            raise InputError(f"reference_input {name} has shape {array.shape}, expected one run: {specs[name].shape}")
    return [inputs[name] for name in graph.inputs]


def input_files(graph: Graph, layout: Layout) -> tuple[TensorFile, ...]:
    """A description of each input's file, in the graph's order."""
    return tensor_files(graph.inputs, [graph.values[name].spec.shape for name in graph.inputs], layout, "input{}.bin")


def output_files(graph: Graph, layout: Layout) -> tuple[TensorFile, ...]:
    """A description of each result's file, in the graph's order."""
    shapes = [graph.values[name].spec.shape for name in graph.outputs]
    return tensor_files(graph.outputs, shapes, layout, "ref_result_{}.bin")


def write_examples(
    folder: Path,
    graph: Graph,
    layout: Layout,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    **about: Any,
) -> None:
    """Write the run and then the manifest: whatever the folder holds by now is part of the deployment.

    Args:
        folder: with the library, its program and its parameters.
        graph: that was built.
        layout: of 4-D files.
        inputs: of one run, float32 in the graph's layout.
        outputs: the interpreter's for them, likewise.
        **about: the manifest's fields that tell what was built with what: ``target``, ``isa``, ``tools``, ...
    """
    described = input_files(graph, layout), output_files(graph, layout)
    for tensor, array in zip((*described[0], *described[1]), (*inputs, *outputs), strict=True):
        to_layout(array, tensor.layout).astype("<f4").tofile(folder / tensor.file)
    manifest = Manifest(
        name=graph.name,
        model_sha256=graph.origin.get("model_sha256", ""),
        graph_sha256=graph.sha256,
        quantization_sha256=graph.quantization_sha256,
        inputs=described[0],
        outputs=described[1],
        files=record_files(folder),
        **about,
    )
    (folder / MANIFEST).write_bytes(manifest.sealed().to_json())
