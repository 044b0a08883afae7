"""The full text of every refusal and warning of save_torchscript, so that each one is known to render."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from messages import message_of
from torch import nn
from torch.nn import functional

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.errors import (
    DeployFormatError,
    GraphError,
    InputError,
    PostconditionError,
    PrecisionWarning,
    QuantizationError,
    UnsupportedOpError,
)
from ectoolkit.frontends.torchscript import import_torchscript, to_torchscript, writer
from ectoolkit.frontends.torchscript.mark import FORMAT
from ectoolkit.frontends.torchscript.writer_rules import WRITER_RULES
from ectoolkit.quantization.calibrated import calibrate

SHAPE = (1, 2, 4, 4)
GRID = QuantParams.uint8(0.1, 10)
CONV = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": False}
KNOWN = ", ".join(sorted(WRITER_RULES))
REMEDY = "keep the model in ectoolkit's own file with save_graph, or replace the layer before quantizing"


def warnings_of(graph: Graph) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        to_torchscript(graph)
    assert all(warning.category is PrecisionWarning and warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


class Net:
    """A graph by hand: quantize, what is added, dequantize."""

    def __init__(self) -> None:
        self.builder = GraphBuilder("net")
        self.x = self.builder.node("quantize", "quant", [self.builder.input(SHAPE)], GRID)

    def conv(self, x: str, name: str, **settings: Any) -> str:
        weight = np.full((2, 2, 1, 1), 50, np.int8)
        return self.builder.weighted("conv2d", name, x, weight, np.float32(0.01), None, GRID, {**CONV, **settings})

    def lookup(self, function: str, table: np.ndarray) -> Graph:
        constant = self.builder.constant("act.table", table.astype(np.uint8), Layout.C, GRID)
        return self.finish(self.builder.node("lookup", "act", [self.x, constant], GRID, {"function": function}))

    def finish(self, last: str) -> Graph:
        return self.builder.finish([self.builder.node("dequantize", "dequant", [last], None, dtype="float32")])


def relu_graph() -> Graph:
    net = Net()
    return net.finish(net.builder.node("relu", "act", [net.x], GRID))


def test_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(WRITER_RULES, "relu")
    known = KNOWN.replace("relu, ", "")
    assert message_of(lambda: to_torchscript(relu_graph()), UnsupportedOpError) == (
        f"layer act: relu has no form in quantized TorchScript. What to do: {REMEDY}. Known: {known}"
    )


def test_unknown_function() -> None:
    graph = Net().lookup("mish", np.arange(256))
    assert message_of(lambda: to_torchscript(graph), UnsupportedOpError) == (
        f"layer act: lookup of 'mish' is no function that torch has under that name. What to do: {REMEDY}. "
        f"Known: {KNOWN}"
    )


def test_a_table_that_is_not_its_function() -> None:
    graph = Net().lookup("sigmoid", np.arange(256))
    text = message_of(lambda: to_torchscript(graph), UnsupportedOpError)
    assert text == (
        "layer act: lookup of 'sigmoid' differs from torch's function by up to 235 steps, in 254 of 256 codes. "
        f"What to do: {REMEDY}. Known: {KNOWN}"
    )


def test_a_table_that_rounds_differently() -> None:
    table = np.arange(256)
    table[[20, 30]] += 1
    graph = Net().lookup("times 1", table)
    assert warnings_of(graph) == [
        "net: torch rounds some of the 256 codes of a function to the neighbour, in act (2). import_torchscript gives "
        "the graph's codes; torch and EdgeCortix's compiler may give their own"
    ]


def test_other_codes() -> None:
    builder = GraphBuilder("net")
    narrow = QuantParams(np.float32(0.1), 10, 0, 127)
    last = builder.node("quantize", "quant", [builder.input(SHAPE)], narrow)
    graph = builder.finish([builder.node("dequantize", "dequant", [last], None, dtype="float32")])
    assert message_of(lambda: to_torchscript(graph), QuantizationError) == (
        "layer quant uses the codes 0..127, expected 0..255: TorchScript cannot say others. Quantize with "
        "activation_bits=8 or 7, which both allow all codes"
    )


def test_bias() -> None:
    net = Net()
    last = net.conv(net.x, "conv")
    graph = net.finish(last)
    constants = {**graph.constants, "conv.bias": np.array([0, 2**24 + 1], np.int32)}
    graph = graph.replace(constants=constants)
    assert message_of(lambda: to_torchscript(graph), QuantizationError) == (
        "layer conv: no float32 bias gives channel 1 its bias code 16777217 at scale 0.001; TorchScript keeps biases "
        "as float32. Give the channel a larger weight scale, so that its bias is fewer than 2**22 steps"
    )


@pytest.mark.parametrize("order", ["fused", "swapped"])
def test_add_that_is_not_in_hardware_form(order: str) -> None:
    net = Net()
    relu = net.builder.node("relu", "act", [net.x], GRID)
    if order == "fused":
        main, other, taken = net.conv(net.x, "conv"), net.x, "conv, before it is rounded"
    else:
        main, other, taken = net.x, relu, "act"
    graph = net.finish(net.builder.node("add", "skip", [main, other], GRID, {"relu": False}))
    assert message_of(lambda: to_torchscript(graph), GraphError) == (
        f"layer skip: the add's main operand is {main}, but EdgeCortix's compiler and import_torchscript would take "
        f"{taken}. Apply ectoolkit.passes.residual_add.FuseResidualAdd to the graph first; its results change by that"
    )


def test_a_file_that_reads_back_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    other = net.finish(net.conv(net.x, "conv"))
    monkeypatch.setattr(writer, "import_torchscript", lambda script, shapes: other)
    assert message_of(lambda: to_torchscript(relu_graph()), PostconditionError) == (
        "the TorchScript of net does not read back as the same network: layer act is relu {} against conv2d "
        f"{CONV}. This is a bug in ectoolkit; please report it with the graph"
    )


def test_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "none" / "net.pt"
    assert message_of(lambda: ect.save_torchscript(relu_graph(), path), InputError) == (
        f"cannot write {path}: the folder {path.parent} does not exist. Create it, or choose another place"
    )


# --- the mark --------------------------------------------------------------------------------------------------------


def marked(change: Callable[[dict[str, Any]], None]) -> Any:
    script = to_torchscript(Net().lookup("times 1", np.arange(256)))
    mark = json.loads(script.ectoolkit)
    change(mark)
    script.ectoolkit = json.dumps(mark)
    return script


def test_newer_file() -> None:
    script = marked(lambda mark: mark.update(format_version=2))
    assert message_of(lambda: import_torchscript(script, SHAPE), DeployFormatError) == (
        "Network has format version 2; this ectoolkit reads version 1. Upgrade ectoolkit, or make the file again with "
        "this one"
    )


def test_other_format() -> None:
    script = marked(lambda mark: mark.update(format="something"))
    assert message_of(lambda: import_torchscript(script, SHAPE), DeployFormatError) == (
        f"Network is not an {FORMAT} file: its format is 'something'"
    )


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        ([1, 2], "a table holds 2 numbers, expected 256 codes 0..255"),
        ([300] * 256, "a table holds 256 numbers, expected 256 codes 0..255"),
        ("abc", "Expected `array`, got `str` - at `$.tables[...].codes`"),
    ],
    ids=["few", "large", "text"],
)
def test_damaged_table(codes: Any, why: str) -> None:
    script = marked(lambda mark: mark["tables"]["act"].update(codes=codes))
    assert message_of(lambda: import_torchscript(script, SHAPE), DeployFormatError) == (
        f"Network has a damaged mark of ectoolkit: {why}. Save the graph again"
    )


# --- what EdgeCortix's compiler makes of a file -----------------------------------------------------------------------


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


class Pads(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 2)


class Many(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([part + part for part in x.split(1, 1)] * 2 + list(x[:, :, 1:].split(1, 1)), 2)


class AddsToJoined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x)
        return torch.relu(self.layer(x) + torch.cat([x, x], 1))


COMPILER = "EdgeCortix's compiler (MERA 1.6.0)"
UNEVEN = (
    "in its Simulator target where parts of other than 64, 128, ... channels are joined and not only convolutions "
    "use them"
)


@pytest.mark.parametrize(
    ("net", "low", "expected"),
    [
        (
            nn.ReLU(),
            -5,
            [
                f"net: {COMPILER} is silently wrong in its Simulator target where a zero point is above 127: quant, "
                "relu. Compare with its InterpreterHw target, which is right, or quantize with activation_bits=7"
            ],
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2), nn.ReLU()),
            -1,
            [
                f"net: {COMPILER} stops at grouped convolutions that are not depthwise: 2. Use groups=1, or keep this "
                "model off the accelerator"
            ],
        ),
        (
            nn.Sequential(Flat(), nn.ReLU()),
            -1,
            [
                f"net: {COMPILER} counts in NHWC order and silently takes other elements: 0.flatten. Pool to 1×1 "
                "before flattening, or keep this model off the accelerator"
            ],
        ),
        (
            Pads(),
            -1,
            [
                f"net: {COMPILER} silently pads with code 0 instead of the zero point: pad. Let only convolutions use "
                "the pad: then it becomes their padding"
            ],
        ),
        (
            Many(),
            -1,
            [
                f"net: {COMPILER} counts in NHWC order and silently takes other elements: split, split_2, split_3, "
                "slice, split_4 and 2 more. Pool to 1×1 before flattening, or keep this model off the accelerator",
                f"net: {COMPILER} is silently wrong, or fails, {UNEVEN}: cat. Let a convolution follow the "
                "concatenation, or use its InterpreterHw target",
            ],
        ),
        (
            AddsToJoined(),
            -1,
            [
                f"net: {COMPILER} adds to a concatenation by a rule of its InterpreterHw alone (docs/numerics.md): "
                "add. Let a convolution follow the concatenation, before the add",
                f"net: {COMPILER} ends its process in its Simulator target where a concatenation is added: add. Let a "
                "convolution follow the concatenation, before the add",
                f"net: {COMPILER} is silently wrong, or fails, {UNEVEN}: cat. Let a convolution follow the "
                "concatenation, or use its InterpreterHw target",
            ],
        ),
    ],
    ids=["zero point", "grouped", "flatten", "pad", "many", "adds"],
)
def test_concerns(net: nn.Module, low: float, expected: list[str]) -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(0).uniform(low, 2, (4, 3, 4, 4)).astype(np.float32)
    config = ect.QuantConfig(method="minmax", hardware="dna" if isinstance(net, Many | AddsToJoined) else "")
    assert warnings_of(calibrate(net.eval(), images, name="net").quantize(config).graph) == expected
