"""What the ``torch.export`` frontend makes of single operations, and what it says of those it cannot take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
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
        (lambda self, x: self.shift + self.table, "output: output", "'add', a parameter or constant of the model,"),
        (lambda self, x: (x, self.shift), "output: output", "'shift', a parameter or constant of the model,"),
    ],
    ids=["computed from parameters alone", "a parameter"],
)
def test_outputs_that_are_not_computed_from_the_input_are_named(
    call: Callable[[nn.Module, torch.Tensor], object], layer: str, operand: str
) -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        capture(Call(call), [SHAPE])
    assert str(caught.value).startswith(
        f"layer {layer} of {operand} is not defined; it must be computed from the model's input. What to do: "
    )


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda self, x: x.cumsum(1), "cumsum: cumsum has no integer definition here"),
        (lambda self, x: nn.functional.conv2d(x, x[:, :, :1, :1]), "conv2d: conv2d with computed weights is not"),
        (lambda self, x: x.add(x, alpha=2), "add: add with alpha or rounding_mode is not defined; write it as two"),
        (lambda self, x: x.mean(), "mean: mean over all axes is not defined; leave out the batch axis"),
        (lambda self, x: x.max(1)[1], "max: max with the places of what it finds is not defined; use amax or amin"),
        (lambda self, x: x.to(torch.int32), "to: to to torch.int32 is not defined; only real numbers are"),
        (
            lambda self, x: nn.functional.pad(x, (1, 1, 1, 1), value=2.0),
            "pad: pad with mode='constant', value=2.0, amounts=[1, 1, 1, 1] is not defined; only zeros around images",
        ),
        (
            lambda self, x: nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True),
            "scaled_dot_product_attention: scaled_dot_product_attention with a mask, causal, grouped or with dropout",
        ),
        (lambda self, x: torch.roll(x, 1), "roll: roll over all axes at once is not defined; name the axes"),
        (
            lambda self, x: nn.functional.conv_transpose2d(x, torch.ones(4, 2, 1, 1), padding=1),
            "conv_transpose2d: conv_transpose2d with padding (1, 1), more than its kernel reaches, is not defined",
        ),
    ],
)
def test_refused_with_layer_and_reason(call: Callable[[nn.Module, torch.Tensor], object], reason: str) -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        capture(Call(call), [SHAPE])
    assert str(caught.value).startswith(f"layer {reason}")
    assert " What to do: replace the layer by one of those known, or split the model there" in str(caught.value)


def plan(call: Callable[[nn.Module, torch.Tensor], object]) -> list[tuple[str, str]]:
    """Operation and arithmetic of each layer."""
    return [(layer.op, layer.runs_in) for layer in capture(Call(call), [SHAPE]).layers]


def test_what_runs_in_float() -> None:
    norm = nn.functional.layer_norm
    assert plan(lambda self, x: norm(x, (6,)).relu().flatten(1)) == [
        ("float_layer_norm", "float"),
        ("float_function", "float"),  # a function follows what it is applied to
        ("reshape", "float"),
    ]
    assert plan(lambda self, x: norm(x, (6,)) + x) == [("float_layer_norm", "float"), ("add", "integer")]
    assert plan(lambda self, x: norm(x, (6,)) * norm(x, (6,))) == [
        ("float_layer_norm", "float"),
        ("float_layer_norm", "float"),
        ("float_multiply", "float"),
    ]
    assert plan(lambda self, x: torch.cat([x, self.table], 1)) == [("concat", "float")]
    assert plan(lambda self, x: x.mean((2, 3)) * 2) == [
        ("mean", "integer"),
        ("reshape", "integer"),
        ("lookup", "integer"),
    ]


def test_parameters_are_computed_once() -> None:
    (layer,) = capture(Call(lambda self, x: x * torch.sigmoid(self.shift)), [SHAPE]).layers
    assert layer.op == "float_multiply"
    assert layer.inputs == ("input0",)
    assert layer.constants[1].shape == SHAPE
    assert layer.constants[1].max() == pytest.approx(1 / (1 + np.exp(-1)))


def test_in_place_operations_change_what_is_read_later() -> None:
    def call(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y.relu_()
        return y + x

    layers = capture(Call(call), [SHAPE]).layers
    assert [(layer.op, layer.inputs) for layer in layers] == [
        ("lookup", ("input0",)),
        ("relu", ("mul",)),
        ("add", ("relu_", "input0")),
    ]


def test_several_inputs_and_outputs() -> None:
    class Ends(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, object]:
            return {"sum": x + y, "both": [x * y, x.relu()]}

    network = capture(Ends(), [SHAPE, SHAPE])
    assert dict(network.inputs) == {"input0": SHAPE, "input1": SHAPE}
    assert list(network.outputs) == ["add", "mul", "relu"]


def test_adaptive_pool_to_its_own_size_is_the_identity() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(6), nn.ReLU())
    assert [(layer.name, layer.inputs) for layer in capture(net, [SHAPE]).layers] == [("0", ("input0",)), ("2", ("0",))]
    assert [layer.op for layer in capture(net, [(1, 4, 8, 8)]).layers] == ["conv2d", "float_resample", "float_function"]


def test_fused_relu6_gives_its_ceiling() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.Hardtanh(0.0, 1.5), nn.Conv2d(4, 4, 1), nn.ReLU()
    )
    found = capture(net, [SHAPE])
    assert {layer.name: layer.ceiling for layer in found.layers} == {"0": 6.0, "2": 1.5, "4": None}
