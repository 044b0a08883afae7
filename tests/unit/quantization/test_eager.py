"""One's own modules, quantized in one call."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch.ao import quantization as tq
from torch.ao.nn.quantized import FloatFunctional

from ectoolkit.analysis.errors import error_table
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret, trace
from ectoolkit.errors import PrecisionWarning, QuantizationError
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.doors import choose_door
from ectoolkit.quantization.eager import quantize_eager

IMAGES = np.random.default_rng(0).normal(size=(6, 3, 12, 12)).astype(np.float32)


class Net(nn.Module):
    """A Sequential with batch norm and ReLU6, and layers of its own beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.skip = tq.QuantStub(), tq.DeQuantStub(), FloatFunctional()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 1))
        self.conv, self.norm, self.act = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU()
        self.gap, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(self.quant(x))
        x = self.skip.add(self.act(self.norm(self.conv(x))), x)
        return self.dequant(self.fc(torch.flatten(self.gap(x), 1)))


OWN = QuantConfig(fuse=(("conv", "norm", "act"),))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Net().train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(8, 3, 12, 12))
    return net.eval()


def ops(graph: Graph) -> dict[str, str]:
    return {node.name: node.op for node in graph}


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
def test_sequential_and_named_layers_are_fused(net: nn.Module) -> None:
    graph = quantize_eager(net, IMAGES, OWN).graph
    assert ops(graph) == {
        "quant": "quantize",
        "stem.0": "conv2d",
        "stem.3": "conv2d",
        "conv": "conv2d",
        "skip": "add",
        "gap": "global_avg_pool",
        "flatten": "reshape",
        "fc": "linear",
        "dequant": "dequantize",
    }
    assert graph.node("stem.0").attributes["relu"] is True


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
def test_the_users_module_is_unchanged(net: nn.Module) -> None:
    net.train()
    before, kinds = copy.deepcopy(net.state_dict()), [type(m) for m in net.modules()]
    engine = torch.backends.quantized.engine
    quantize_eager(net, IMAGES, OWN)
    assert [type(m) for m in net.modules()] == kinds
    assert net.training
    assert not hasattr(net, "qconfig")
    assert torch.backends.quantized.engine == engine
    after = net.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
def test_fused_float_model_is_the_users(net: nn.Module) -> None:
    model = quantize_eager(net, IMAGES, OWN)
    with torch.no_grad():
        expected = net(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(model.float_outputs(IMAGES)[0], expected, atol=1e-5)
    outputs, layers = model.float_layers(IMAGES, ["stem.0", "skip", "fc", "flatten", "nothing"])
    assert set(layers) == {"stem.0", "skip", "fc"}
    assert layers["stem.0"].max() <= 6
    assert_array_equal(layers["fc"], outputs[0])


@pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")
def test_integers_are_close_to_floats() -> None:
    """On a net without the add that drops a ReLU."""
    torch.manual_seed(0)
    net = Net().eval()
    plain = nn.Sequential(tq.QuantStub(), net.stem, net.gap, nn.Flatten(), net.fc, tq.DeQuantStub()).eval()
    model = quantize_eager(plain, IMAGES)
    expected = model.float_outputs(IMAGES)[0]
    grid = model.graph.values["4"].quant
    assert grid is not None
    assert np.abs(interpret(model.graph, IMAGES)[0] - expected).max() <= 6 * float(grid.scale)


@pytest.mark.parametrize("ceiling", [nn.ReLU6(), nn.Hardtanh(0.0, 1.5)])
def test_relu6_becomes_a_ceiling(ceiling: nn.Module) -> None:
    """The range ends at the ceiling, so that saturation does what the clamp did."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 1)
    nn.init.constant_(conv.weight, 5.0)
    net = nn.Sequential(tq.QuantStub(), nn.Sequential(conv, ceiling), tq.DeQuantStub()).eval()
    model = quantize_eager(net, IMAGES, QuantConfig(method="minmax"))
    top = float(ceiling.max_val)  # type: ignore[arg-type]
    grid = model.graph.values["1.0"].quant
    assert grid is not None
    assert (255 - grid.zero_point) * float(grid.scale) == pytest.approx(top, rel=0.01)
    layer = trace(model.graph, IMAGES)
    assert layer["1.0"].max() == 255
    assert layer.real("1.0").max() == pytest.approx(top, rel=0.01)


@pytest.mark.parametrize(
    ("method", "bits", "top"), [("minmax", 8, 255), ("mse", 8, 255), ("minmax", 7, 127), ("mse", 7, 160)]
)
def test_activation_bits(method: str, bits: int, top: int) -> None:
    """A range by least squared error may cut the rarest values, which then lie above 127: torch saturates at 255."""
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    model = quantize_eager(net, IMAGES, QuantConfig(method=method, activation_bits=bits))
    codes = trace(model.graph, IMAGES)
    assert top * 0.75 < codes["1"].max() <= top
    assert (model.config.activation_bits, model.config.method) == (bits, method)


def test_the_guides_way_has_torchs_histogram_and_no_corrections_by_default() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    configs = (QuantConfig(), QuantConfig(corrections=()), QuantConfig(method="mse"))
    assert len({quantize_eager(net, IMAGES, config).graph.sha256 for config in configs}) == 1
    assert {choose_door(net, config) for config in configs} == {"eager"}
    assert choose_door(net, QuantConfig(corrections=("expected_bias",))) == "export"  # asked for, so not left out


@pytest.mark.parametrize(("weights", "different"), [("per_channel", True), ("per_tensor", False)])
def test_weight_scales(weights: str, different: bool) -> None:
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    graph = quantize_eager(net, IMAGES, QuantConfig(weights=weights)).graph
    grid = graph.values["1.weight"].quant
    assert grid is not None
    assert (len(set(grid.scale.tolist())) > 1) is different


class Twice(nn.Module):
    """A pool, a FloatFunctional and a convolution, each called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.skip = tq.QuantStub(), tq.DeQuantStub(), FloatFunctional()
        self.conv, self.pool = nn.Conv2d(3, 3, 1), nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.quant(x)
        x = self.pool(self.skip.add(x, x))
        x = self.conv(self.conv(x))
        return self.dequant(self.pool(self.skip.add(x, x)))


def test_float_layers_of_modules_called_twice() -> None:
    torch.manual_seed(0)
    model = quantize_eager(Twice().eval(), IMAGES, QuantConfig(method="minmax"))
    names = [node.name for node in model.graph]
    assert {"pool", "pool_2", "skip", "skip_2", "conv", "conv_2"} <= set(names)
    for _ in range(2):  # each pass counts anew
        outputs, layers = model.float_layers(IMAGES, names)
        assert layers["pool"].shape == (6, 3, 6, 6)
        assert_array_equal(layers["skip"], 2 * IMAGES)
        assert_array_equal(layers["pool_2"], outputs[0])
    table = error_table(trace(model.graph, IMAGES), layers).set_index("layer")
    assert table.loc[["pool", "pool_2", "skip", "skip_2", "conv", "conv_2"], "sqnr_db"].min() > 20
    assert set(model.float_layers(IMAGES, ["pool_2"])[1]) == {"pool_2"}


def test_seven_bits_lose_the_ceiling_of_relu6() -> None:
    """Said once, with the layers: fused into a convolution, and alone."""

    def net() -> nn.Module:
        torch.manual_seed(0)
        body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.MaxPool2d(2), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.ReLU())
        return nn.Sequential(tq.QuantStub(), body, tq.DeQuantStub()).eval()

    with pytest.warns(PrecisionWarning) as caught:
        quantize_eager(net(), IMAGES, QuantConfig.guide(), name="mobile")
    assert [str(warning.message) for warning in caught] == [
        "mobile: with activation_bits=7 the ceiling of ReLU6 is lost in layers 1.0, 1.3: their ranges end at code 127, "
        "and values up to twice the ceiling use the codes to 255. Use activation_bits=8, where the last code is the "
        "ceiling"
    ]
    quantize_eager(net(), IMAGES)  # 8 bits: nothing to say


def pairs() -> Iterator[tuple[np.ndarray, int]]:
    for label, image in enumerate(IMAGES):
        yield image, label


@pytest.mark.parametrize(
    "calibration",
    [
        IMAGES,
        list(IMAGES),
        [IMAGES[:4], IMAGES[4:]],
        torch.from_numpy(IMAGES),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(IMAGES)), batch_size=4),
        pairs,
        (image for image in IMAGES),
    ],
    ids=["array", "images", "batches", "tensor", "loader", "pairs", "generator"],
)
def test_kinds_of_calibration(calibration: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    minmax = QuantConfig(method="minmax")
    model = quantize_eager(net, calibration() if callable(calibration) else calibration, minmax, name="one")
    expected = quantize_eager(net, IMAGES, minmax)
    assert (model.calibration_images, model.graph.name) == (6, "one")
    assert model.calibration_sha256 == expected.calibration_sha256
    # torch's float convolution may differ in the last bit between batches of different sizes
    for key, value in model.graph.values.items():
        if value.quant is not None:
            other = expected.graph.values[key].quant
            assert other is not None
            np.testing.assert_allclose(value.quant.scale, other.scale, rtol=1e-6)
    assert repr(model) == f"QuantizedModel('one', 6 images, {minmax})"


def test_progress_and_cancel() -> None:
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    seen: list[tuple[int, int, str]] = []
    quantize_eager(net, [IMAGES[:4], IMAGES[4:]], progress=lambda *step: seen.append(step))
    assert seen == [(1, 2, "image 4"), (2, 2, "image 6")]

    def cancel(done: int, total: int, label: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_eager(net, IMAGES, progress=cancel)


def test_nothing_is_said_beyond_what_concerns_the_user() -> None:
    """The suite turns warnings into errors; this keeps the module's own filter from hiding everything."""
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantize_eager(net, IMAGES)
    assert [str(w.message) for w in caught] == []


def test_guide_is_fbgemms_default() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()).eval()
    guide = QuantConfig.guide()
    assert (guide.method, guide.weights, guide.activation_bits, guide.fuse) == ("mse", "per_channel", 7, ())
    assert guide.all_corrections == ()  # by torch.export, too
    found = quantize_eager(net, IMAGES, guide).graph
    theirs = copy.deepcopy(net)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        theirs.qconfig = tq.get_default_qconfig("fbgemm")
        tq.prepare(theirs, inplace=True)
        for image in IMAGES:  # the histogram depends on what comes in one call
            theirs(torch.from_numpy(image[None]))
        tq.convert(theirs, inplace=True)
    grid = found.values["1"].quant
    assert grid is not None
    layer = theirs[1]
    assert (np.float32(layer.scale), layer.zero_point) == (grid.scale[()], grid.zero_point)


def test_bad_fuse_groups(net: nn.Module) -> None:
    def text(*groups: tuple[str, ...]) -> str:
        with pytest.raises(QuantizationError) as caught:
            quantize_eager(net, IMAGES, QuantConfig(fuse=groups))
        return str(caught.value)

    assert text(("conv", "nrom")) == "fuse names 'nrom', which is no module of Net"
    assert text(("gap", "fc")).startswith("fuse=(('gap', 'fc'),) cannot be done: ")
