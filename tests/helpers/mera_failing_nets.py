"""Networks that EdgeCortix's compiler ends its process at, refuses, or makes other numbers of; and who names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mera_nets import FBGEMM, FULL_RANGE, PER_TENSOR, SHAPE, ConvNet, Net, conv, traced
from torch import nn
from torch.ao.nn.intrinsic import ConvReLU2d
from torch.ao.nn.quantized import FloatFunctional
from torch.nn import functional

import ectoolkit as ect
from ectoolkit.builders.mera.preflight import obstacles, refuse
from ectoolkit.errors import EctoolkitError


class Ends(Net):
    """A function of codes at the end."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.function(self.layers(self.quant(x))))


class Joined(Net):
    """A concatenation of two convolutions, and what follows it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.left, self.right, self.join = conv(3, 8), conv(3, 13), FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.quant(x)
        return self.dequant(self.layers(self.join.cat([self.left(x), self.right(x)], 1)))


class AddsToJoined(Joined):
    """A convolution and a concatenation, added."""

    def __init__(self) -> None:
        super().__init__()
        self.other, self.add = conv(3, 21), FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.quant(x)
        return self.dequant(self.add.add(self.other(x), self.join.cat([self.left(x), self.right(x)], 1)))


class DroppedRelus(Net):
    """Two convolutions with ReLU that only an add uses: one of the ReLUs is lost."""

    def __init__(self) -> None:
        super().__init__(conv(3, 8))
        self.left, self.right = (ConvReLU2d(conv(8, 8), nn.ReLU()) for _ in range(2))
        self.add = FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.quant(x))
        return self.dequant(self.add.add(self.left(x), self.right(x)))


@dataclass(frozen=True)
class Failure:
    """A case of `docs/numerics.md`.

    Attributes:
        make: the network.
        named: words of what ectoolkit says about it before the compiler is called.
        says: words of the compiler's own failure; empty where it silently gives other numbers.
        target: of MERA.
        qconfig: of torch's eager quantization.
    """

    make: Callable[[], nn.Module]
    named: str
    says: str = ""
    target: str = "InterpreterHw"
    qconfig: Any = FBGEMM

    def traced(self) -> Any:
        """The traced module, and an image for it."""
        return traced(self.make(), self.qconfig)


def _three_times(mode: str) -> nn.Module:
    return Ends(lambda y: functional.interpolate(y, scale_factor=3.0, mode=mode), conv(3, 8))


def _second_half(y: torch.Tensor) -> torch.Tensor:
    return torch.chunk(y, 2, 1)[1].contiguous()


FATAL = {
    "per-tensor weights": Failure(
        lambda: Net(conv(3, 8)), "one weight scale for all channels of layers.0", "SIGABRT", qconfig=PER_TENSOR
    ),
    "relu6": Failure(lambda: Ends(functional.relu6, conv(3, 8)), "relu6: aten::relu6 has no integer", "SIGABRT"),
    "hardtanh": Failure(
        lambda: Net(conv(3, 8), nn.Hardtanh(-0.5, 0.5)), "layers.1: aten::hardtanh has no integer", "SIGABRT"
    ),
    "clamp": Failure(
        lambda: Ends(lambda y: torch.clamp(y, 0.0, 0.3), conv(3, 8)), "clamp: aten::clamp has no integer", "SIGABRT"
    ),
    "grouped": Failure(
        lambda: Net(conv(3, 8), conv(8, 8, groups=2)),
        "stops at grouped convolutions that are not depthwise: layers.1.",
        "compile failed: MeraError",
    ),
    "leaky_relu": Failure(
        lambda: Net(conv(3, 8), nn.LeakyReLU(0.1)),
        "layers.1: quantized::leaky_relu has no integer",
        "compile failed: NotImplementedError",
    ),
    "tanh": Failure(
        lambda: Net(conv(3, 8), nn.Tanh()), "layers.1: aten::tanh has no integer", "compile failed: MeraError"
    ),
    "named Conv": Failure(
        lambda: ConvNet(conv(3, 8)), "the class of (the model) has a name with 'Conv'", "compile failed: AssertionError"
    ),
    "added to a join, Simulator": Failure(
        AddsToJoined, "in its Simulator target where a concatenation is added: add.", "SIGABRT", target="Simulator"
    ),
    "pooled to 3×2": Failure(
        lambda: Net(conv(3, 8), nn.AdaptiveAvgPool2d((3, 2)), conv(8, 8)),
        "layers.1: aten::adaptive_avg_pool2d to (3, 2) is wrong on EdgeCortix's compiler",
        "running failed: TVMError",
    ),
}

WRONG = {
    "zero point above 127, Simulator": Failure(
        lambda: Net(conv(3, 8), conv(8, 5)),
        "wrong in its Simulator target where a zero point is above 127: layers.0, layers.1.",
        target="Simulator",
        qconfig=FULL_RANGE,
    ),
    "joined output, Simulator": Failure(Joined, "not only convolutions use them: join.", target="Simulator"),
    "joined and pooled, Simulator": Failure(
        lambda: Joined(nn.AvgPool2d(2), nn.Conv2d(21, 5, 1)), "convolutions use them: join.", target="Simulator"
    ),
    "pooled to 3×3": Failure(
        lambda: Net(conv(3, 8), nn.AdaptiveAvgPool2d(3)),
        "layers.1: aten::adaptive_avg_pool2d to (3, 3) is wrong on EdgeCortix's compiler",
    ),
    "nearest ×3": Failure(lambda: _three_times("nearest"), "upsample_nearest2d by [3.0, 3.0] is not defined"),
    "hardtanh behind a ReLU": Failure(
        lambda: Net(ConvReLU2d(conv(3, 8), nn.ReLU()), nn.Hardtanh(0.0, 0.3), conv(8, 5)),
        "layers.1: aten::hardtanh has no integer",
    ),
    "clamp, Simulator": Failure(
        lambda: Ends(lambda y: torch.clamp(y, 0.0, 0.3), conv(3, 8)),
        "clamp: aten::clamp has no integer",
        target="Simulator",
    ),
    "pad": Failure(lambda: Net(conv(3, 8), nn.ZeroPad2d(1), conv(8, 5)), "layers.1: aten::pad has no integer"),
    "chunk": Failure(
        lambda: Ends(_second_half, conv(3, 8)), "counts in NHWC order and silently takes other elements: chunk"
    ),
    "framed average": Failure(
        lambda: Net(conv(3, 8), nn.AvgPool2d(3, 1, 1)),
        "counts the frame of an average pool as code 0 instead of the zero point: layers.1.",
    ),
}


def says_before(script: Any, target: str) -> str:
    """What ectoolkit says of a traced module before the compiler is called: a refusal, or what it mends."""
    try:
        graph = ect.import_torchscript(script, SHAPE)
        refuse(graph, target)
    except EctoolkitError as error:
        return str(error)
    return "\n".join(obstacles(script))
