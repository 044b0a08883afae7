"""What the ``torch.export`` frontend makes of single operations, and what it says of those it cannot take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ectoolkit.errors import UnsupportedOpError
from ectoolkit.frontends.exported import capture

SHAPE = (1, 4, 6, 6)


class Call(nn.Module):
    """Calls a function with itself, for its parameter, and the input."""

    def __init__(self, call: Callable[[nn.Module, torch.Tensor], object]) -> None:
        super().__init__()
        self.call = call
        self.shift = nn.Parameter(torch.ones(SHAPE))
        self.register_buffer("table", torch.ones(SHAPE))

    def forward(self, x: torch.Tensor) -> object:
        return self.call(self, x)


@pytest.mark.parametrize(
    ("call", "layer", "operand"),
    [
        (lambda self, x: self.shift + x, "add: add", "'shift', a parameter or constant of the model,"),
        (lambda self, x: x + self.shift, "add: add", "'shift', a parameter or constant of the model,"),
        (lambda self, x: x + 2.0, "add: add", "2.0"),
        (lambda self, x: torch.cat([self.table, x], 1), "cat: cat", "'table', a parameter or constant of the model,"),
        (lambda self, x: torch.cat([x, self.table], 1), "cat: cat", "'table', a parameter or constant of the model,"),
        (lambda self, x: self.table * x, "mul: mul", "'table', a parameter or constant of the model,"),
        (
            lambda self, x: x + torch.sigmoid(self.table),
            "sigmoid: sigmoid",
            "'table', a parameter or constant of the model,",
        ),
        (lambda self, x: (x, self.shift), "output: output", "'shift', a parameter or constant of the model,"),
    ],
    ids=["left", "right", "number", "cat first", "cat second", "mul", "function", "output"],
)
def test_operands_that_are_not_computed_are_named(
    call: Callable[[nn.Module, torch.Tensor], object], layer: str, operand: str
) -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        capture(Call(call), [SHAPE])
    assert str(caught.value).startswith(
        f"layer {layer} of {operand} is not defined; it must be computed from the model's input. What to do: "
    )


def test_adaptive_pool_to_its_own_size_is_the_identity() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(6), nn.ReLU())
    assert [(layer.name, layer.inputs) for layer in capture(net, [SHAPE]).layers] == [("0", ("input0",)), ("2", ("0",))]
    with pytest.raises(UnsupportedOpError, match=r"adaptive_avg_pool2d to \(6, 6\) is not defined; only to 1×1"):
        capture(net, [(1, 4, 8, 8)])


def test_fused_relu6_gives_its_ceiling() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.Hardtanh(0.0, 1.5), nn.Conv2d(4, 4, 1), nn.ReLU()
    )
    found = capture(net, [SHAPE])
    assert {layer.name: layer.ceiling for layer in found.layers} == {"0": 6.0, "2": 1.5, "4": None}
