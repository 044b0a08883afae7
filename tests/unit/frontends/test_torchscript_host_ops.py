"""What EdgeCortix's compiler leaves to the host, from torch's eager quantization to the compiled library."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.core import host_tables
from ectoolkit.core.graph import Graph
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PrecisionWarning, UnsupportedOpError
from ectoolkit.frontends.torchscript import import_torchscript, to_torchscript
from ectoolkit.frontends.torchscript.concerns import concerns
from ectoolkit.frontends.torchscript.same import first_difference

SHAPE = (2, 3, 12, 10)
quantized = torch.ops.quantized


class Host(nn.Module):
    """Each of them once, on codes that a test chooses by scales."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        codes = torch.quantize_per_tensor(x, 0.03, 90, torch.quint8)
        swish = quantized.hardswish(codes, 0.02, 20)
        pooled = nn.functional.avg_pool2d(swish, (3, 2), (2, 1), (1, 1))
        inside = nn.functional.avg_pool2d(codes, 3, 2, 1, count_include_pad=False)
        gate = nn.functional.hardsigmoid(nn.functional.adaptive_avg_pool2d(codes, 1))
        gated = quantized.mul(gate, codes, 0.017, 60)
        product = quantized.mul(torch.sigmoid(codes), swish, 0.011, 33)
        left, middle, right = product.view(2, 1, 3, 12, 10).transpose(1, 2).reshape(2, 3, 12, 10).chunk(3, 1)
        parts = quantized.cat([right, left, middle], 1, 0.02, 10)
        means = codes.mean([2, 3])
        return tuple(part.dequantize() for part in (pooled, inside, gated, parts, means))


@pytest.fixture(scope="module")
def traced() -> Any:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(Host(), torch.zeros(SHAPE), check_trace=False)


@pytest.fixture(scope="module")
def graph(traced: Any) -> Graph:
    with pytest.warns(PrecisionWarning) as caught:
        found = import_torchscript(traced, SHAPE)
    assert [str(warning.message) for warning in caught] == [
        "Host: EdgeCortix's compiler keeps the input's grid for the result of a hardsigmoid, where torch has 256 steps "
        "from 0 to 1: hardsigmoid (steps of 0.03 up to 1). The reference does what the board does. For a finer gate "
        "use nn.Sigmoid, whose result has 256 steps there too"
    ]
    return found


def images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, SHAPE).astype(np.float32)


def test_operations(graph: Graph) -> None:
    assert sorted({node.op for node in graph} - {"quantize", "dequantize", "reshape"}) == [
        "avg_pool2d", "concat", "global_avg_pool", "host_mean", "lookup", "multiply", "slice", "transpose",
    ]  # fmt: skip


def test_close_to_torch(traced: Any, graph: Graph) -> None:
    """Within a code or so: they truncate averages, and round a gate to the steps of its input."""
    x = images()
    mine = ect.interpret(graph, x)
    theirs = [y.numpy() for y in traced(torch.from_numpy(x))]
    for found, expected, steps in zip(mine, theirs, (0.02, 0.03, 0.08, 0.02, 0.03), strict=True):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= steps * 1.01


def test_written_and_read_back(graph: Graph) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        script = to_torchscript(graph)
        read = import_torchscript(script, SHAPE)
    assert first_difference(graph, read) is None
    text = str(script.inlined_graph)
    for op in ("quantized::hardswish", "aten::sigmoid", "aten::hardsigmoid", "aten::avg_pool2d", "aten::mean"):
        assert op in text


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_compiled(graph: Graph, layout: str, tmp_path: Path) -> None:
    x = images(1)
    built = ect.build(graph, tmp_path / "deploy", reference_input=x, layout=layout)
    with ect.open_device("cpu") as device:
        for found, expected in zip(device.run(built).outputs, ect.interpret(graph, x), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_frame_of_an_average_is_a_concern(graph: Graph) -> None:
    assert [concern.layers for concern in concerns(graph) if "frame of an average" in concern.what] == [("avg_pool2d",)]


def test_tables_by_hand() -> None:
    """0.05 · (q - 10): -0.5, ... 12.25, in Python's own numbers, away from ties."""
    source, target = QuantParams.uint8(0.05, 10), QuantParams.uint8(0.03, 7)
    swish, gate, soft = (
        host_tables.hardswish(source, target),
        host_tables.hardsigmoid(source),
        host_tables.sigmoid(source),
    )
    for code in range(256):
        x = float(np.float32(0.05)) * (code - 10)
        ramp = min(max(x + 3, 0), 6) / 6
        for found, exact, step, zero in (
            (swish, x * ramp, 0.03, 7),
            (gate, ramp, 0.05, 10),
            (soft, 1 / (1 + np.exp(-x)), 1 / 256, 0),
        ):
            place = exact / step
            if abs(place - np.floor(place) - 0.5) > 1e-4:
                assert found[code] == min(max(int(np.floor(place + 0.5)) + zero, 0), 255)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: nn.functional.avg_pool2d(x, 3, 2, ceil_mode=True),
            "layer avg_pool2d: aten::avg_pool2d with ceil_mode has no integer definition here",
        ),
        (
            lambda x: nn.functional.avg_pool2d(x, 3, 2, divisor_override=7),
            "layer avg_pool2d: aten::avg_pool2d with divisor_override has no integer definition here",
        ),
        (
            lambda x: x.mean([1]),
            "layer mean: aten::mean over axes [1] has no integer definition here; only rows and columns",
        ),
        (
            lambda x: x.mean(),
            "layer mean: aten::mean over all axes has no integer definition here; only rows and columns",
        ),
        (
            lambda x: torch.mean(x, dim=None, keepdim=True),
            "layer mean: aten::mean over all axes has no integer definition here; only rows and columns",
        ),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    class Refused(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return call(torch.quantize_per_tensor(x, 0.03, 90, torch.quint8)).dequantize()

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(Refused(), torch.zeros(SHAPE), check_trace=False)
    with pytest.raises(UnsupportedOpError) as caught:
        import_torchscript(script, SHAPE)
    start = f"{message}. What to do: put the layer behind a DeQuantStub, or replace it by one of those known. Known: "
    assert str(caught.value).startswith(start)
