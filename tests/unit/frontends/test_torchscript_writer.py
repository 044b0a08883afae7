"""A graph written as TorchScript: reads back to the same numbers bit for bit, and torch comes close."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.ao import quantization as tq
from torch.nn import functional

import ectoolkit as ect
from ectoolkit.core.arithmetic import quantize_bias
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import PrecisionWarning, UnsupportedOpError
from ectoolkit.frontends.torchscript import import_torchscript, to_torchscript
from ectoolkit.frontends.torchscript.float_forms import factor_of
from ectoolkit.frontends.torchscript.module_paths import module_paths
from ectoolkit.frontends.torchscript.plain import plain
from ectoolkit.frontends.torchscript.same import first_difference
from ectoolkit.frontends.torchscript.stand_in import stand_in_grid
from ectoolkit.frontends.torchscript.writer_rules import WRITER_RULES, real_bias
from ectoolkit.quantization.calibrated import calibrate

IMAGES = np.random.default_rng(5).standard_normal((5, 3, 16, 16)).astype(np.float32)
GOLDEN = Path(__file__).parents[2] / "golden" / "cases"
CASES = sorted(
    path.name for path in GOLDEN.iterdir() if path.name.startswith(("add", "operands", "cat", "head_8", "up", "conv7"))
)


@pytest.fixture(autouse=True)
def _no_concerns() -> Iterator[None]:
    """What EdgeCortix's compiler does with these nets is another file's matter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*EdgeCortix's compiler", category=PrecisionWarning)
        yield


class Everything(nn.Module):
    """Each operation at least once; pads before a convolution and before a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Hardswish())
        self.project, self.grouped = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.reduce, self.expand = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.pool, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.act = nn.SiLU()
        self.head = nn.Sequential(nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 10))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(functional.pad(x, (0, 1, 0, 1)))
        x = self.project(self.depthwise(x)) + x
        x = torch.relu(self.grouped(x) + x)
        x = x * torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        left, right = x.chunk(2, 1)
        shuffled = torch.cat([right, left], 1).view(1, 2, 8, 8, 8).transpose(1, 2).reshape(1, 16, 8, 8)
        both = torch.cat(
            [
                self.pool(torch.relu(functional.pad(shuffled, (1, 1, 1, 1))))[:, :, 1:],
                self.act(functional.pad(self.mean(x), (0, 1, 0, 0))),
            ],
            1,
        )
        up = functional.interpolate(both, scale_factor=2, mode="bilinear")
        return self.head(both.mean((2, 3))), functional.interpolate(up, scale_factor=2)


class Block(nn.Module):
    """resnet18's block with a downsampled shortcut, as torchvision names it."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(2 * channels), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * channels)
        self.downsample = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1, stride), nn.BatchNorm2d(2 * channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu, self.maxpool = nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 1), Block(16, 2))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.avgpool(self.layer1(self.maxpool(self.relu(self.conv1(x))))), 1))


def test_the_most_precise_adds_are_refused_with_the_setting_that_helps() -> None:
    graph = calibrate(Residual().eval(), IMAGES).quantize().graph
    with pytest.raises(UnsupportedOpError) as error:
        to_torchscript(graph)
    assert str(error.value).startswith(
        "layer layer1.0.add_: precise_add has no form in quantized TorchScript. What to do: quantize with "
        "QuantConfig(hardware='dna'), whose adds and pools are the accelerator's. Known: add, "
    )


def graph_of(net: nn.Module, bits: int = 8, images: np.ndarray = IMAGES) -> Graph:
    torch.manual_seed(0)
    config = ect.QuantConfig(method="minmax", activation_bits=bits, hardware="dna")
    return calibrate(net.eval(), images).quantize(config).graph


def seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind()


@pytest.fixture(scope="module")
def everything() -> Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        return graph_of(seeded(Everything), 7)


def step(graph: Graph, output: int = 0) -> float:
    """Real units a code of an output."""
    quant = graph.values[graph.node(graph.outputs[output]).inputs[0]].quant
    assert quant is not None
    return float(quant.scalar)


def load(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch announces the end of TorchScript
        return torch.jit.load(path)


def run_torch(script: Any, images: np.ndarray) -> list[np.ndarray]:
    runs = []
    for image in images:
        result = script(torch.from_numpy(image[None]))
        runs.append(result if isinstance(result, tuple) else (result,))
    return [np.concatenate([part.numpy() for part in parts]) for parts in zip(*runs, strict=True)]


def test_every_operation_is_here(everything: Graph) -> None:
    only_read = {"avg_pool2d", "host_mean"}  # capturing makes neither: test_torchscript_host_ops
    assert {node.op for node in everything} == set(WRITER_RULES) - only_read


def test_every_operation_reads_back(everything: Graph, tmp_path: Path) -> None:
    path = ect.save_torchscript(everything, tmp_path / "net.pt")
    assert path == tmp_path / "net.pt"
    read = import_torchscript(path, (1, 3, 16, 16))
    for expected, found in zip(ect.interpret(everything, IMAGES), ect.interpret(read, IMAGES), strict=True):
        assert_array_equal(found, expected)
    assert first_difference(plain(everything), read) is None
    # the pad before the stem is its padding now, the one before the pool is still one
    assert [node.op for node in read].count("pad") == [node.op for node in everything].count("pad") - 1


def test_torch_is_close(everything: Graph) -> None:
    """7-bit activations: with 8 bits torch's own sums saturate on CPUs without VNNI."""
    script = to_torchscript(everything)
    results = zip(run_torch(script, IMAGES), ect.interpret(everything, IMAGES), strict=True)
    for output, (found, expected) in enumerate(results):
        assert np.abs(found - expected).max() <= 6.5 * step(everything, output)


@pytest.mark.parametrize("bits", [7, 8])
def test_residual_blocks(bits: int, tmp_path: Path) -> None:
    images = np.random.default_rng(2).standard_normal((6, 3, 32, 32)).astype(np.float32)
    graph = graph_of(seeded(Residual), bits, images)
    accumulators = [node.name for node in graph if graph.values[node.name].spec.dtype == "int32"]
    assert accumulators == ["layer1.0.conv2", "layer1.1.conv2"]
    path = ect.save_torchscript(graph, tmp_path / "residual.pt")
    read = import_torchscript(path, (1, 3, 32, 32))
    assert read.sha256 == graph.sha256  # every name, number and setting
    assert_array_equal(ect.interpret(read, images)[0], ect.interpret(graph, images)[0])
    if bits == 7:
        found, expected = run_torch(load(path), images)[0], ect.interpret(graph, images)[0]
        assert np.abs(found - expected).max() <= 4.5 * step(graph)
        assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("case", CASES)
def test_golden_models_survive(case: str) -> None:
    """Every form of an add: which operand is main, which convolution is fused, which ReLU is lost."""
    x = np.load(GOLDEN / case / "input.npy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # the lost ReLUs: once, when EdgeCortix's file is read
        graph = import_torchscript(GOLDEN / case / "model.pt", x.shape)
    script = to_torchscript(graph)
    assert import_torchscript(script, x.shape).sha256 == graph.sha256


def test_a_lost_relu_stays_lost() -> None:
    """What the accelerator drops is not in the file: torch then computes what the board does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        graph = import_torchscript(GOLDEN / "operands_rc_8bit" / "model.pt", (1, 3, 14, 14))
    script = to_torchscript(graph)
    main = next(node for node in graph if node.op == "add").inputs[0]
    assert script.get_submodule(main).original_name == "Conv2d"  # not ConvReLU2d


def test_another_batch(everything: Graph) -> None:
    graph = graph_of(seeded(Residual))
    read = import_torchscript(to_torchscript(graph), (2, 3, 16, 16))
    assert_array_equal(ect.interpret(read, IMAGES[:2])[0], ect.interpret(graph, IMAGES[:2])[0])


def test_names_of_classes_and_engine(everything: Graph) -> None:
    """EdgeCortix's importer takes every module whose class is named after a convolution for one."""
    before = torch.backends.quantized.engine
    script = to_torchscript(everything)
    assert torch.backends.quantized.engine == before
    named = {name for name, module in script.named_modules() if "Conv" in module.original_name}
    assert named == {node.name for node in plain(everything) if node.op == "conv2d"}


def test_files_are_the_same_but_for_the_process(everything: Graph, tmp_path: Path) -> None:
    """No temporary name ends up in the file."""
    import zipfile

    path = ect.save_torchscript(everything, tmp_path / "net.pt")
    assert {name.split("/")[0] for name in zipfile.ZipFile(path).namelist()} == {"archive"}
    assert list(tmp_path.iterdir()) == [path]


def test_rules_of_our_own_need_the_mark(trace: Any) -> None:
    class Framed(nn.Module):
        """As anybody would write it for torch's flow."""

        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.dequant(torch.constant_pad_nd(self.quant(x), [1, 1, 1, 1], 0.0))

    class Pooled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.max_pool2d(functional.pad(torch.relu(x), (1, 1, 1, 1)), 3)

    read = import_torchscript(to_torchscript(graph_of(Pooled())), IMAGES[:1].shape)
    assert "pad" in [node.op for node in read]
    with pytest.raises(UnsupportedOpError, match="aten::constant_pad_nd has no integer definition here"):
        import_torchscript(trace(Framed(), torch.randn(1, 3, 4, 4)), (1, 3, 4, 4))


# --- pads ------------------------------------------------------------------------------------------------------------


class Padded(nn.Module):
    def __init__(self, amounts: tuple[int, ...], **settings: Any) -> None:
        super().__init__()
        self.first, self.pad = nn.Conv2d(3, 4, 1), nn.ZeroPad2d(amounts)
        self.conv, self.other = nn.Conv2d(4, 4, **settings), nn.Conv2d(4, 2, 3, stride=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.pad(self.first(x))
        return self.conv(x), self.other(x)


@pytest.mark.parametrize("amounts", [(0, 1, 0, 1), (1, 0, 1, 0), (1, 2, 1, 2), (2, 2, 1, 1), (0, 3, 2, 0)])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": (5, 2), "stride": (2, 3), "groups": 4},
        {"kernel_size": 3, "dilation": (2, 3), "padding": (1, 0)},
        {"kernel_size": 2, "stride": 3, "padding": 1, "groups": 2},
    ],
    ids=["stride", "depthwise", "dilation", "grouped"],
)
def test_pads_become_padding(amounts: tuple[int, ...], settings: dict[str, Any]) -> None:
    graph = graph_of(Padded(amounts, **settings), images=IMAGES[:2])
    folded = plain(graph)
    assert "pad" not in {node.op for node in folded}
    for expected, found in zip(ect.interpret(graph, IMAGES), ect.interpret(folded, IMAGES), strict=True):
        assert_array_equal(found, expected)


def test_layers_that_do_nothing_are_left_out() -> None:
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x.permute(0, 1, 2, 3)[:, :3])

    graph = graph_of(Nothing())
    assert [node.op for node in plain(graph)] == ["quantize", "relu", "dequantize"]
    assert_array_equal(ect.interpret(plain(graph), IMAGES)[0], ect.interpret(graph, IMAGES)[0])


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.GELU("tanh"), nn.Hardswish(), nn.Hardsigmoid()),
        *(nn.ELU(0.7), nn.LeakyReLU(0.1), nn.PReLU(1, 0.3), nn.Hardtanh(-0.7, 1.1), nn.ReLU6()),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_functions(layer: nn.Module, scale: float) -> None:
    images = (IMAGES * scale).astype(np.float32)
    graph = graph_of(nn.Sequential(nn.MaxPool2d(2), layer), 8, images)
    read = import_torchscript(to_torchscript(graph), IMAGES[:1].shape)
    assert read.sha256 == graph.sha256
    found = run_torch(to_torchscript(graph), images)[0]
    assert np.abs(found - ect.interpret(graph, images)[0]).max() <= 1.01 * step(graph)


@pytest.mark.parametrize("factor", [0.01, 0.1, 1 / 3, 2.5])
def test_a_table_tells_its_factor(factor: float) -> None:
    target = QuantParams.uint8(0.02, 100)
    x = (np.arange(256) - 120) * 0.013
    table = np.clip(np.rint(x * factor / 0.02) + 100, 0, 255).astype(np.uint8)
    found = factor_of(x, table, target)
    assert found is not None
    assert found == pytest.approx(factor, rel=0.02)
    assert np.abs(np.clip(np.rint(x * found / 0.02) + 100, 0, 255) - table).max() <= 1  # at ties
    assert factor_of(np.zeros(256), table, target) is None
    assert factor_of(x, np.full(256, 255, np.uint8), target) is None


def test_biases_keep_their_codes() -> None:
    random = np.random.default_rng(0)
    steps = np.exp(random.normal(-9, 3, 4000)).astype(np.float32)
    small = random.integers(-(2**22), 2**22, 4000).astype(np.int32)
    large = quantize_bias((random.normal(0, 2**28, 4000) * steps).astype(np.float32), steps)
    for codes in (small, large):
        assert_array_equal(quantize_bias(real_bias(codes, steps, "conv"), steps), codes)


def test_the_stand_in_holds_what_matters() -> None:
    graph = graph_of(seeded(Residual))
    trace = ect.interpret(graph, IMAGES[:1], trace=True)
    for name in ("layer1.0.conv2", "layer1.1.conv2"):
        quant = stand_in_grid(graph, graph.node(name))
        assert quant.zero_point <= 127
        real = trace.real(name)
        add = graph.values[graph.users[name][0]].quant
        assert add is not None
        inside = (real >= -quant.zero_point * quant.scalar) & (real <= (255 - quant.zero_point) * quant.scalar)
        assert inside.mean() > 0.99
        assert quant.scalar < 4 * add.scalar


def test_paths_of_modules() -> None:
    names = ["a", "a.b", "a.b.c", "type", "x.forward", "0", "in", "é-2", "act", "act_2", "a.conv2d", "_packed_params"]
    paths = module_paths(torch, [(name, "conv2d") for name in names])
    assert paths == {
        "a": "a.conv2d",
        "a.b": "a.b.conv2d",
        "a.b.c": "a.b.c",
        "type": "type_",
        "x.forward": "x.forward_",
        "0": "0",
        "in": "in_",
        "é-2": "__2",
        "act": "act",
        "act_2": "act_2",
        "a.conv2d": "a.conv2d_2",
        "_packed_params": "_packed_params_",
    }


def test_names_that_torch_cannot_have(tmp_path: Path) -> None:
    builder = GraphBuilder("odd")
    grid = QuantParams.uint8(0.1, 10)
    last = builder.node("quantize", "in", [builder.input((1, 3, 4, 4))], grid)
    for name in ("type", "type.a", "a layer", "×"):
        last = builder.node("relu", name, [last], grid)
    graph = builder.finish([builder.node("dequantize", "forward", [last], None, dtype="float32")])
    read = import_torchscript(ect.save_torchscript(graph, tmp_path / "odd.pt"), (1, 3, 4, 4))
    assert first_difference(graph, read) is None


def test_differences_are_found() -> None:
    graph, other = (graph_of(seeded(Residual), bits) for bits in (8, 7))
    assert first_difference(graph, graph) is None
    assert str(first_difference(graph, other)).startswith("quant is uint8 1×3×16×16 NCHW QuantParams(")
    assert str(first_difference(graph, graph_of(nn.ReLU()))) == "1 inputs and 15 layers against 1 inputs and 3 layers"


@pytest.mark.slow
@pytest.mark.parametrize("bits", [7, 8])
def test_efficientnet_lite0(bits: int, tmp_path: Path) -> None:
    model = ect.load_model("efficientnet_lite0")
    photos = ect.sample_photos(24).with_preprocess(model.preprocess)
    config = ect.QuantConfig(method="minmax", activation_bits=bits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # 7 bits lose ReLU6's ceiling
        graph = ect.calibrate(model, photos[8:]).quantize(config.tuned(hardware="dna")).graph
    assert [node.op for node in graph].count("pad") == 17
    path = ect.save_torchscript(graph, tmp_path / "lite0.pt")
    read = import_torchscript(path, graph.values["input0"].spec.shape)
    assert "pad" not in {node.op for node in read}
    images = photos[:8].batch()
    expected = ect.interpret(graph, images)[0]
    assert_array_equal(ect.interpret(read, images)[0], expected)
    if bits == 7:
        found = run_torch(load(path), images)[0]
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 7 / 8
        assert np.abs(found - expected).max() <= 12 * step(graph)
