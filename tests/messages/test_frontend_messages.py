"""The full text of every error of ectoolkit.frontends, so that each one is known to render."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from messages import message_of
from torch import nn
from torch.ao import quantization as tq

from ectoolkit.errors import GraphError, InputError, UnsupportedOpError
from ectoolkit.frontends.torchscript import import_torchscript
from ectoolkit.frontends.torchscript.rules import RULES

SHAPE = (1, 3, 8, 8)
KNOWN = ", ".join(sorted(op.partition("::")[2] for op in RULES))


class One(nn.Module):
    """A layer between the stubs; a function where it is not a module."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.quant, self.conv, self.dequant = tq.QuantStub(), nn.Conv2d(3, 4, 1), tq.DeQuantStub()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.layer(self.conv(self.quant(x))))


def quantized(layer: Any) -> Any:
    torch.manual_seed(0)
    net, example = One(layer).eval(), torch.randn(SHAPE)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net.qconfig = tq.QConfig(tq.default_observer, tq.default_per_channel_weight_observer)
        tq.prepare(net, inplace=True)
        net(example)
        tq.convert(net, inplace=True)
        return torch.jit.trace(net, example)


def float_trace() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval(), torch.randn(SHAPE))


FLOAT = (
    "it calls aten::_convolution and no quantized operation. Expected a model quantized with fuse_model, prepare, "
    "calibration and convert before torch.jit.trace; ectoolkit.quantize(module, calibration) does these steps"
)


def test_float_model(tmp_path: Path) -> None:
    traced = float_trace()
    assert message_of(lambda: import_torchscript(traced, SHAPE), GraphError) == (
        f"Sequential is a float model: {FLOAT}"
    )
    traced.save(tmp_path / "resnet.pt")
    assert message_of(lambda: import_torchscript(tmp_path / "resnet.pt", SHAPE), GraphError) == (
        f"resnet is a float model: {FLOAT}"
    )


def test_plain_module() -> None:
    assert message_of(lambda: import_torchscript(One(nn.Identity()), SHAPE), GraphError) == (
        "One is a plain nn.Module, expected a traced, quantized one. Trace it with torch.jit.trace(model, example), or "
        "let ectoolkit.quantize(model, calibration) do all the steps"
    )


def test_scripted_module() -> None:
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 0:
                return x
            return -x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(Branch())
    assert message_of(lambda: import_torchscript(scripted, SHAPE), UnsupportedOpError) == (
        "layer (the model) has control flow (prim::If). Only traced models have a fixed graph: use torch.jit.trace "
        "instead of torch.jit.script"
    )


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    assert message_of(lambda: import_torchscript(path, SHAPE), InputError) == (
        f"{path} is not there; expected a TorchScript file"
    )
    assert message_of(lambda: import_torchscript(tmp_path, SHAPE), InputError) == (
        f"{tmp_path} is a folder; expected a TorchScript file"
    )


@pytest.mark.parametrize("content", ["text", "checkpoint", "empty", "truncated"])
def test_not_torchscript(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.pt"
    if content == "checkpoint":
        torch.save(nn.Linear(2, 2).state_dict(), path)
    elif content == "truncated":
        float_trace().save(path)
        path.write_bytes(path.read_bytes()[:-700])
    else:
        path.write_text("no model" * 20 if content == "text" else "")
    text = message_of(lambda: import_torchscript(path, SHAPE), InputError)
    assert text.startswith(f"{path} is not a TorchScript file (")
    assert text.endswith(
        "). Save the traced model with traced.save(path); a file of torch.save or torch.export is another format"
    )
    assert "\n" not in text


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            nn.AvgPool2d(2, ceil_mode=True),
            "layer layer: aten::avg_pool2d with ceil_mode has no integer definition here. What to do: put the layer "
            "behind a DeQuantStub, or replace it by one of those known. Known: ",
        ),
        (
            nn.ReLU6(),
            "layer layer: quantized::relu6 has no integer definition here. What to do: fuse it into its producer: use "
            "nn.ReLU and let calibration set the range to [0, 6]. Known: ",
        ),
        (
            nn.BatchNorm2d(4),
            "layer layer: quantized::batch_norm2d has no integer definition here. What to do: fuse it into the "
            "convolution before it: torch.ao.quantization.fuse_modules. Known: ",
        ),
        (
            nn.AdaptiveAvgPool2d(2),
            "layer layer: aten::adaptive_avg_pool2d to (2, 2) is wrong on EdgeCortix's compiler; only 1×1 is defined. "
            "What to do: put the layer behind a DeQuantStub, or replace it by one of those known. Known: ",
        ),
        (
            nn.Upsample(scale_factor=3),
            "layer layer: aten::upsample_nearest2d by [3.0, 3.0] is not defined; only a factor of 2, "
            "align_corners=False. What to do: put the layer behind a DeQuantStub, or replace it by one of those "
            "known. Known: ",
        ),
        (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            "layer layer: aten::upsample_bilinear2d by [2.0, 2.0] is not defined; only a factor of 2, "
            "align_corners=False. What to do: put the layer behind a DeQuantStub, or replace it by one of those "
            "known. Known: ",
        ),
    ],
    ids=["average", "relu6", "batch norm", "pool", "nearest", "bilinear"],
)
def test_unsupported_operation(layer: nn.Module, expected: str) -> None:
    traced = quantized(layer)
    text = message_of(lambda: import_torchscript(traced, SHAPE), UnsupportedOpError)
    known, _, rest = text.partition("Known: ")
    assert known + "Known: " == expected
    assert rest == KNOWN


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            (1, 4, 8, 8),
            "layer conv (conv2d): weight (4, 3, 1, 1) with 1 groups does not fit 4 input channels. Check input_shape: "
            "it must be that of the traced example",
        ),
        (
            (1, 8, 8, 3),
            "layer conv (conv2d): weight (4, 3, 1, 1) with 1 groups does not fit 8 input channels. Check input_shape: "
            "it must be that of the traced example",
        ),
        (
            (3, 8, 8),
            "layer conv (conv2d): takes an input of 4 axes, got quant: uint8 3×8×8 ANY. Check input_shape: it must be "
            "that of the traced example",
        ),
        ((1, 3, 0, 8), "input_shape (1, 3, 0, 8) must be positive extents, for example (1, 3, 224, 224)"),
        ((), "input_shape () must be positive extents, for example (1, 3, 224, 224)"),
        ([SHAPE, SHAPE], "One takes 1 input(s), got 2 input shape(s)"),
    ],
    ids=["channels", "NHWC", "batch axis", "empty axis", "nothing", "two"],
)
def test_shape(shape: Any, expected: str) -> None:
    traced = quantized(nn.ReLU())
    assert message_of(lambda: import_torchscript(traced, shape), InputError) == expected


def test_shape_too_small() -> None:
    traced = quantized(nn.MaxPool2d(3))
    assert message_of(lambda: import_torchscript(traced, (1, 3, 2, 8)), InputError) == (
        "layer layer (max_pool2d): the window (3, 3) is larger than the padded input (2, 8). Check input_shape: it "
        "must be that of the traced example"
    )


def test_missing_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from ectoolkit.errors import MissingDependencyError

    def refusing(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", refusing)
    assert message_of(lambda: import_torchscript("model.pt", SHAPE), MissingDependencyError) == (
        "Reading TorchScript needs torch, which is not installed. Install it with: pip install 'ectoolkit[torch]'"
    )
