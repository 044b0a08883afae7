"""Random small networks for EdgeCortix's compiler: its operations in random orders, shapes and scales."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

# no class name here may hold "Conv": EdgeCortix's importer takes such a container for a convolution
quantization = torch.ao.quantization
Functional = torch.ao.nn.quantized.FloatFunctional


@dataclass
class Plan:
    """A net being made.

    Attributes:
        numbers: where its randomness comes from.
        channels, size: of the tensor so far.
        fuse: groups of module names that torch shall fuse.
        said: what it is made of, for reports.
        eager: whether torch's eager quantization converts it (else torch.export captures it).
    """

    numbers: np.random.Generator
    channels: int
    size: tuple[int, int]
    fuse: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    eager: bool = True

    def choose(self, *options: Any) -> Any:
        return options[int(self.numbers.integers(len(options)))]


class Layers(nn.Module):
    """A 2-D convolution and perhaps ReLU."""

    def __init__(self, plan: Plan, path: str, relu: bool | None = None, channels: int | None = None) -> None:
        super().__init__()
        kernel, dilation = plan.choose((1, 1), (3, 1), (3, 1), (5, 1), (3, 2), ((1, 3), 1))
        wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        same = tuple(dilation * (k - 1) // 2 for k in wide)
        depthwise = channels is None and bool(plan.choose(False, False, True))
        out = plan.channels if depthwise else channels or int(plan.choose(8, 12, 16, 21))
        groups = plan.channels if depthwise else 1
        bias = bool(plan.choose(True, True, False))
        self.layer = nn.Conv2d(plan.channels, out, kernel, 1, same, dilation, groups, bias)
        with torch.no_grad():
            self.layer.weight *= float(plan.numbers.uniform(0.8, 2.5))
        self.act = nn.ReLU() if (plan.choose(True, False) if relu is None else relu) else nn.Identity()
        if isinstance(self.act, nn.ReLU):
            plan.fuse.append([f"{path}.layer", f"{path}.act"])
        plan.channels = out
        kind = f"{'dw' if depthwise else ''}{'r' if isinstance(self.act, nn.ReLU) else ''}"
        plan.said.append(f"conv{wide[0]}x{wide[1]}{kind}")

    def forward(self, x: Any) -> Any:
        return self.act(self.layer(x))


class Strided(nn.Module):
    """A strided convolution or a pool."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        # torch.export's door has no integer form for an average that leaves its frame out
        kind = plan.choose("conv", "max", "average", "average_inside" if plan.eager else "average")
        plan.said.append(kind)
        if kind == "conv":
            self.layer = nn.Conv2d(plan.channels, plan.channels, 3, 2, 1)
        elif kind == "max":
            self.layer = nn.MaxPool2d(3, 2, 1)
        else:
            # their frame around an average is code 0, right only behind a ReLU: no frame, or one that does not count
            inside = kind == "average_inside"
            self.layer = nn.AvgPool2d(3, 2, 1 if inside else 0, count_include_pad=not inside)
        padding = 0 if kind == "average" else 1
        plan.size = tuple((extent + 2 * padding - 3) // 2 + 1 for extent in plan.size)  # type: ignore[assignment]

    def forward(self, x: Any) -> Any:
        return self.layer(x)


class Residual(nn.Module):
    """An add with or without ReLU; either operand may be a convolution, with or without ReLU."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        channels = plan.channels
        self.left = Layers(plan, f"{path}.left", channels=channels)
        self.right = Layers(plan, f"{path}.right", channels=channels) if plan.choose(True, False) else nn.Identity()
        self.swap, self.relu = bool(plan.choose(True, False)), bool(plan.choose(True, False)) and plan.eager
        self.add = Functional()
        plan.said.append(f"add{'_relu' if self.relu else ''}{'_swapped' if self.swap else ''}")

    def forward(self, x: Any) -> Any:
        operands = (self.right(x), self.left(x)) if self.swap else (self.left(x), self.right(x))
        return self.add.add_relu(*operands) if self.relu else self.add.add(*operands)


class Joined(nn.Module):
    """Two branches, joined."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        before = plan.channels
        self.left = Layers(plan, f"{path}.left")
        first, plan.channels = plan.channels, before
        self.right = Layers(plan, f"{path}.right")
        plan.channels += first
        self.cat = Functional()
        plan.said.append("cat")

    def forward(self, x: Any) -> Any:
        return self.cat.cat([self.left(x), self.right(x)], 1)


class Gate(nn.Module):
    """Squeeze and excitation: a product with one number a channel."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        channels = plan.channels
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down, self.act, self.up = nn.Conv2d(channels, 8, 1), nn.ReLU(), nn.Conv2d(8, channels, 1)
        self.gate = nn.Hardsigmoid() if plan.choose(True, False) else nn.Sigmoid()
        self.times = Functional()
        plan.fuse.append([f"{path}.down", f"{path}.act"])
        plan.said.append(f"gate_{type(self.gate).__name__.lower()}")

    def forward(self, x: Any) -> Any:
        return self.times.mul(self.gate(self.up(self.act(self.down(self.pool(x))))), x)


class Product(nn.Module):
    """A tensor times a convolution of it."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        self.left, self.times = Layers(plan, f"{path}.left", channels=plan.channels), Functional()
        plan.said.append("mul")

    def forward(self, x: Any) -> Any:
        return self.times.mul(self.left(x), x)


class Swish(nn.Module):
    """A convolution and hardswish."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        self.left, self.swish = Layers(plan, f"{path}.left", relu=False), nn.Hardswish()
        plan.said.append("hardswish")

    def forward(self, x: Any) -> Any:
        return self.swish(self.left(x))


class Larger(nn.Module):
    """Twice the rows and columns."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        self.mode = plan.choose("nearest", "bilinear")
        plan.size = tuple(2 * extent for extent in plan.size)  # type: ignore[assignment]
        plan.said.append(self.mode)

    def forward(self, x: Any) -> Any:
        more = {} if self.mode == "nearest" else {"align_corners": False}
        return nn.functional.interpolate(x, scale_factor=2.0, mode=self.mode, **more)


BLOCKS: tuple[Callable[[Plan, str], nn.Module], ...] = (
    Layers, Layers, Strided, Residual, Residual, Residual, Joined, Gate, Product, Swish, Larger,
)  # fmt: skip


class Net(nn.Module):
    """A stem, some blocks, and at times a pool and a linear layer."""

    def __init__(self, plan: Plan, path: str) -> None:
        super().__init__()
        self.quant, self.dequant = quantization.QuantStub(), quantization.DeQuantStub()
        blocks: list[nn.Module] = [Layers(plan, f"{path}.blocks.0")]
        while len(blocks) < 1 + int(plan.numbers.integers(1, 4)):
            make = plan.choose(*BLOCKS)
            small, large = min(plan.size) < 8, max(plan.size) > 24
            if not (small and make is Strided) and not (large and make is Larger):
                blocks.append(make(plan, f"{path}.blocks.{len(blocks)}"))
        self.blocks = nn.Sequential(*blocks)
        self.ending = plan.choose("map", "map", "pool", "mean")
        self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(plan.channels, 19)
        plan.said.append(self.ending)

    def forward(self, x: Any) -> Any:
        y = self.blocks(self.quant(x))
        if self.ending == "map":
            return self.dequant(y)
        y = y.mean([2, 3], keepdim=True) if self.ending == "mean" else self.pool(y)
        return self.dequant(self.linear(torch.flatten(y, 1)))


class Several(nn.Module):
    """Nets side by side on one input, so that one build compiles them all."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Any) -> Any:
        return tuple(net(x) for net in self.nets)


@dataclass
class Group:
    """Nets that are built together.

    Attributes:
        module: of them all, float.
        images: float32 NCHW, one or more; the first is run.
        fuse: for torch's eager quantization.
        said: what each net is made of.
        bits: of activations.
        seed: that makes it again.
    """

    module: nn.Module
    images: list[torch.Tensor]
    fuse: list[list[str]]
    said: list[str]
    bits: int
    seed: int


def random_group(seed: int, count: int, eager: bool) -> Group:
    """`count` nets."""
    numbers = np.random.default_rng(seed)
    torch.manual_seed(seed)
    size = tuple(int(extent) for extent in numbers.integers(9, 22, 2))
    batch = int(numbers.choice([1, 1, 1, 2])) if eager else 1
    nets, fuse, said = [], [], []
    for index in range(count):
        plan = Plan(numbers, 3, size, fuse, eager=eager)  # type: ignore[arg-type]
        nets.append(Net(plan, f"nets.{index}"))
        said.append(f"batch {batch} {size[0]}x{size[1]}: " + ", ".join(plan.said))
    images = [torch.randn((batch, 3, *size)) for _ in range(3)]
    return Group(Several(nets).eval(), images, fuse, said, int(numbers.choice([7, 8])), seed)


def eager_traced(group: Group) -> Any:
    """The U50 guide's way; then some layers' scales and zero points are moved, so that codes saturate or shrink."""
    observer = quantization.HistogramObserver.with_args(reduce_range=group.bits == 7)
    module, numbers = group.module, np.random.default_rng(group.seed + 1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of this flow
        if group.fuse:
            quantization.fuse_modules(module, group.fuse, inplace=True)
        module.qconfig = quantization.QConfig(observer, quantization.default_per_channel_weight_observer)
        quantization.prepare(module, inplace=True)
        for image in group.images:
            module(image)
        quantization.convert(module, inplace=True)
        for layer in module.modules():
            moves = isinstance(getattr(layer, "scale", None), float) and hasattr(layer, "zero_point")
            if moves and numbers.random() < 0.25:
                layer.scale = float(np.float32(layer.scale * 2.0 ** numbers.uniform(-3, 2)))
                layer.zero_point = int(numbers.integers(0, 256))
        return torch.jit.trace(module, group.images[0], check_trace=False).eval()
