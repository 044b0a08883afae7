"""The golden cases, each a folder; `ECTOOLKIT_GOLDEN` may name a folder with more of them."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ectoolkit.core.graph import Graph
from ectoolkit.core.ops.base import grid
from ectoolkit.errors import PrecisionWarning
from ectoolkit.frontends.torchscript import import_torchscript

HERE = Path(__file__).parent / "cases"

#: the convolution whose ReLU an add drops, by the nets of make_golden.py (7- and 8-bit alike)
LOST_RELU = {
    "add_none": "a",
    "add_none_relu": "a",
    "operands_rc": "a",
    "operands_rc_relu": "a",
    "operands_rx_narrow": "a",
    "operands_rx_narrow_relu": "a",
    "operands_xr": "b",
    "operands_xr_relu": "b",
}


def case_folders() -> list[Path]:
    found = {path.name: path for path in HERE.iterdir() if path.is_dir()}
    more = os.environ.get("ECTOOLKIT_GOLDEN")
    if more:
        extra = {path.parent.name: path.parent for path in Path(more).glob("*/interpreter_hw.npz")}
        found = extra | found
    return [found[name] for name in sorted(found)]


@dataclass(frozen=True)
class Golden:
    """A case, imported.

    Attributes:
        name: of its folder.
        position: in the list of cases.
        graph: the imported model.
        x: the input, NCHW.
        expected: InterpreterHw's outputs, NCHW where 4-D.
    """

    name: str
    position: int
    graph: Graph
    x: np.ndarray
    expected: list[np.ndarray]


def import_case(folder: Path, shape: tuple[int, ...]) -> Graph:
    """Import, and hold the importer to warning of a dropped ReLU exactly where there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = import_torchscript(folder / "model.pt", shape)
    texts = [str(warning.message) for warning in caught if warning.category is PrecisionWarning]
    others = [warning for warning in caught if warning.category is not PrecisionWarning]
    # torch's C++ warning of quantized tensors comes once a process, wherever that is
    assert [str(w.message) for w in others if "quantized tensor creation functions" not in str(w.message)] == []
    lost = LOST_RELU.get(folder.name.removesuffix("_8bit"))
    expected = [] if lost is None else [lost_relu_text(lost)]
    if "hardsigmoid" in folder.name:
        expected = [coarse_gate_text(graph)]
    assert texts == expected
    if lost is not None:
        assert graph.node(lost).op == "conv2d"
        assert graph.values[lost].spec.dtype == "int32"
    return graph


def lost_relu_text(layer: str) -> str:
    return (
        f"model: the ReLU of {layer} is dropped, because EdgeCortix's compiler fuses a convolution that only an add "
        "uses into that add, before its ReLU. The reference does what the board does. To keep the ReLU, use its "
        "result a second time or swap the add's operands, as import_torchscript(keep_relus=True) does where that helps"
    )


def coarse_gate_text(graph: Graph) -> str:
    quant = grid(graph.values["gate"])
    step = float(quant.scalar)
    top = min((255 - quant.zero_point) * step, 1)
    return (
        "model: EdgeCortix's compiler keeps the input's grid for the result of a hardsigmoid, where torch has 256 "
        f"steps from 0 to 1: gate (steps of {step:.3g} up to {top:.3g}). The reference does what the board does. "
        "For a finer gate use nn.Sigmoid, whose result has 256 steps there too"
    )


@pytest.fixture(scope="module", params=case_folders(), ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = request.param
    x = np.load(folder / "input.npy")
    with np.load(folder / "interpreter_hw.npz") as file:
        raw = [file[f"out_{index}"] for index in range(len(file.files))]
    expected = [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in raw]
    position = case_folders().index(folder)
    return Golden(folder.name, position, import_case(folder, x.shape), x, expected)
