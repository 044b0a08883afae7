"""What is refused, mended or said before EdgeCortix's compiler is called; no compiler is needed for that."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from mera_nets import PER_TENSOR, SHAPE, ConvNet, Net, conv, traced
from numpy.testing import assert_array_equal
from torch import nn

import ectoolkit as ect
from ectoolkit.builders.mera import lost_relus
from ectoolkit.builders.mera.lost_relus import costs_db, warn_of_cost
from ectoolkit.builders.mera.preflight import refuse
from ectoolkit.builders.mera.source import torchscript_of
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import QuantParams
from ectoolkit.devices.mera import MeraDevice
from ectoolkit.errors import BuildError, DeviceError, DeviceNotFoundError, PrecisionWarning, UnsupportedOpError
from ectoolkit.passes.residual_add import FuseResidualAdd
from ectoolkit.testing.networks import convolution, example_input, residual_graph


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler is found, and none is needed: what is refused is refused before."""
    monkeypatch.setenv("MERA_PYTHON", str(tmp_path / "nowhere"))


def test_refused() -> None:
    graph = residual_graph()
    refuse(graph, "InterpreterHw")
    with pytest.raises(BuildError) as caught:
        ect.build(graph, "out", "mera:Simulator", reference_input=example_input(graph))
    assert str(caught.value) == (
        "mera:Simulator would not give this model's results. residual: EdgeCortix's compiler (MERA 1.6.0) is silently "
        "wrong in its Simulator target where a zero point is above 127: quant, fc. Compare with its InterpreterHw "
        "target, which is right, or quantize with activation_bits=7\n"
        "To build it nevertheless, and compare: preflight=False"
    )


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Net(conv(3, 8), nn.Hardtanh(-0.5, 0.5)), "layer layers.1: aten::hardtanh"),
        (Net(conv(3, 8), nn.LeakyReLU(0.1)), "layer layers.1: quantized::leaky_relu"),
        (Net(conv(3, 8), nn.AdaptiveAvgPool2d(2)), "layer layers.1: aten::adaptive_avg_pool2d"),
        (Net(conv(3, 8), nn.Upsample(scale_factor=3.0)), "layer layers.1: aten::upsample_nearest2d"),
    ],
    ids=["hardtanh", "leaky relu", "pool", "upsample"],
)
def test_refused_when_read(net: nn.Module, words: str) -> None:
    with pytest.raises(UnsupportedOpError, match=words):
        ect.import_torchscript(traced(net)[0], SHAPE)


def test_grouped() -> None:
    script, x = traced(Net(conv(3, 8), conv(8, 8, groups=2)))
    graph = ect.import_torchscript(script, SHAPE)
    with pytest.raises(BuildError, match=r"stops at grouped convolutions that are not depthwise: layers\.1\. Use"):
        ect.build(graph, "out", "mera:InterpreterHw", reference_input=x)


@pytest.mark.parametrize(
    ("net", "qconfig", "remedy"),
    [
        (
            Net(conv(3, 8)),
            PER_TENSOR,
            "one weight scale for all channels of layers.0, at which EdgeCortix's compiler ends its process: written "
            "anew with the same scale for each channel",
        ),
        (
            ConvNet(conv(3, 8)),
            None,
            "the class of (the model) has a name with 'Conv', which EdgeCortix's compiler takes for a convolution: "
            "written anew under another name",
        ),
    ],
    ids=["per tensor", "name"],
)
def test_mended(net: nn.Module, qconfig: Any, remedy: str) -> None:
    script, _ = traced(net, *([qconfig] if qconfig else []))
    graph = ect.import_torchscript(script, SHAPE)
    source = torchscript_of(graph, script, target="InterpreterHw")
    assert (source.origin, source.remedies) == ("written from the graph", (remedy,))


def test_as_given(tmp_path: Path) -> None:
    script, x = traced(Net(conv(3, 8)))
    graph = ect.import_torchscript(script, SHAPE)
    source = torchscript_of(graph, script, target="InterpreterHw")
    assert (source.origin, source.remedies) == ("as given", ())
    (tmp_path / "given.pt").write_bytes(source.data)
    assert_array_equal(ect.interpret(ect.import_torchscript(tmp_path / "given.pt", SHAPE), x), ect.interpret(graph, x))
    other, _ = traced(Net(conv(3, 9)))
    with pytest.raises(BuildError, match=r"^the TorchScript given is not the network of .*: layers\.0\.weight is int8"):
        torchscript_of(graph, other, target="InterpreterHw")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"platform": "DNA9"}, "platform is 'DNA9', expected one of DNAF200L0001, DNAF200L0002, "),
        ({"host_arch": "riscv"}, "host_arch is 'riscv', expected one of x86, arm"),
        ({"host_arch": "arm"}, "host_arch is 'arm', and mera:InterpreterHw runs on x86 alone; use mera:IP"),
        ({"scheduler": "best"}, "scheduler is 'best', expected one of fast, slow"),
        ({"workers": 0}, "workers is 0, expected at least 1"),
        ({"layout": "NCHW"}, "layout is 'NCHW'; EdgeCortix's compiler makes 'NHWC' alone"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    graph = residual_graph()
    with pytest.raises(BuildError) as caught:
        ect.build(graph, "out", "mera:InterpreterHw", reference_input=example_input(graph), **options)
    assert str(caught.value).startswith(message)


def test_devices(tmp_path: Path) -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        MeraDevice("Emulator")
    assert str(caught.value) == (
        "there is no device 'mera:Emulator'; there are mera:IP, mera:InterpreterHw, mera:Simulator, "
        "mera:VerilatorSimulator"
    )
    with pytest.raises(DeviceError) as other:
        MeraDevice("IP", board="U50")
    assert str(other.value) == "board is 'U50', expected one of SAKURA_1, XILINX_U50, INTEL_IA420"
    found = MeraDevice.discover()
    assert not any(info.available for info in found)
    assert found[0].reason == (
        f"{tmp_path / 'nowhere'} (named by MERA_PYTHON) is not there. Install MERA with `ectoolkit mera install`, or "
        "name another place"
    )
    with pytest.raises(DeviceError, match=r"^cannot start .*nowhere: No such file or directory"):
        MeraDevice("IP").__enter__()


def two_relus(left_relu: bool, right_relu: bool) -> Any:
    builder = GraphBuilder("net")
    x = builder.node("quantize", "quant", [builder.input((1, 3, 5, 5))], QuantParams.uint8(0.02, 100))
    operands = [convolution(builder, name, x, 4, relu=relu) for name, relu in (("a", left_relu), ("b", right_relu))]
    added = builder.node("add", "add", operands, QuantParams.uint8(0.03, 90), {"relu": False})
    return builder.finish([builder.node("dequantize", "out", [added], None, dtype="float32")])


def test_a_swap_keeps_the_relu() -> None:
    """The convolution without ReLU is fused instead; the sum of the two is what it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = FuseResidualAdd(swap=True)(two_relus(True, False))
    assert kept.node("add").inputs == ("b", "a")
    assert kept.node("a").attributes["relu"] is True
    assert "lost_relus" not in kept.origin
    with pytest.warns(PrecisionWarning, match="the ReLU of a is dropped"):
        lost = FuseResidualAdd(swap=True)(two_relus(True, True))
    assert lost.origin["lost_relus"] == "a"


def test_what_a_lost_relu_costs() -> None:
    with pytest.warns(PrecisionWarning):
        graph = FuseResidualAdd()(two_relus(True, False))
    x = example_input(graph)
    outputs = ect.interpret(graph, x)
    costs = costs_db(graph, x, outputs)
    assert list(costs) == ["a"]
    assert 0 < costs["a"] < 60
    with pytest.warns(PrecisionWarning) as caught:
        warn_of_cost(graph, x, outputs)
    assert str(caught[0].message) == (
        "net: EdgeCortix's compiler drops the ReLU of convolutions that only an add uses, and the reference does the "
        f"same. How far that leaves the outputs from those with it, on the reference input: a ({costs['a']:.1f} dB). "
        "To keep it, use its result a second time, or swap the add's operands"
    )
    # a graph that ends earlier has the origin of the whole, but not this layer
    assert costs_db(graph.replace(origin={"lost_relus": "elsewhere"}), x, outputs) == {}


def test_lost_relus_that_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_relus, "MEASURED", 1)
    with pytest.warns(PrecisionWarning):
        graph = FuseResidualAdd()(two_relus(True, False))
    graph = graph.replace(origin={"lost_relus": "a,a"})
    x = example_input(graph)
    with pytest.warns(PrecisionWarning, match=r"on the reference input: a \([0-9.]+ dB\) and 1 more, which were not"):
        warn_of_cost(graph, x, ect.interpret(graph, x))
