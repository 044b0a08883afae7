"""A small network of 1×1 convolutions, and its quantization written down in numpy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ectoolkit.core.types import QuantParams
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.quantization.exported import ExportedModel

IMAGES = np.random.default_rng(3).standard_normal((6, 3, 12, 12)).astype(np.float32)

Array = np.ndarray


class Small(nn.Module):
    """Convolution, ReLU, convolution, residual add, max pool, average, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.head(self.pool(self.second(x) + x).mean((2, 3)))


def small() -> Calibrated:
    """Calibrated with `IMAGES`; one channel's weights are ten times the others'."""
    torch.manual_seed(0)
    net = Small().eval()
    with torch.no_grad():
        net.second.weight[0] *= 10
    return calibrate(net, IMAGES)


def rounded(x: Array, grid: QuantParams | None) -> Array:
    """To the grid, ties to even, and back."""
    if grid is None:
        return x
    codes = np.rint(x.astype(np.float64) / grid.scale) + grid.zero_point
    return (np.clip(codes, grid.quant_min, grid.quant_max) - grid.zero_point) * float(grid.scale)


def layers_of(model: ExportedModel, *, quantized: bool) -> dict[str, Callable[..., Array]]:
    """For each layer a function of its inputs; where `quantized`, with its integer weights and on its grid."""

    def weights(name: str) -> tuple[Array, Array]:
        layer = next(layer for layer in model.network.layers if layer.name == name)
        weight = model.scheme[name].weight
        assert layer.weight is not None
        assert layer.bias is not None
        if not quantized or weight is None:
            return layer.weight.astype(np.float64).reshape(len(layer.weight), -1), layer.bias
        bias = model.scheme[name].bias
        assert bias is not None
        return weight.real.astype(np.float64).reshape(len(layer.weight), -1), bias

    def dense(name: str, x: Array) -> Array:
        weight, bias = weights(name)
        return np.einsum("oi,ni...->no...", weight, x) + bias.reshape(1, -1, *[1] * (x.ndim - 2))

    plain: dict[str, Callable[..., Array]] = {
        "first": lambda x: np.maximum(dense("first", x), 0),
        "second": lambda x: dense("second", x),
        "add": lambda x, y: x + y,
        "pool": lambda x: x.reshape(len(x), x.shape[1], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max((3, 5)),
        "mean": lambda x: x.mean((2, 3), keepdims=True),
        "mean_2": lambda x: x.reshape(len(x), -1),
        "head": lambda x: dense("head", x),
    }
    if not quantized:
        return plain
    return {name: _on_grid(run, model.scheme[name].grid, name) for name, run in plain.items()}


def _on_grid(run: Callable[..., Array], grid: QuantParams | None, name: str) -> Callable[..., Array]:
    if name in ("pool", "mean_2"):  # what they give lies on the grid already
        return run
    return lambda *inputs: rounded(run(*inputs), grid)


def run_all(model: ExportedModel, images: Array, *, quantized: bool) -> dict[str, Array]:
    """Every layer's value, float64."""
    name = next(iter(model.network.inputs))
    values = {name: rounded(images, model.scheme[name].grid) if quantized else images.astype(np.float64)}
    runs = layers_of(model, quantized=quantized)
    for layer in model.network.layers:
        values[layer.name] = runs[layer.name](*(values[source] for source in layer.inputs))
    return values
