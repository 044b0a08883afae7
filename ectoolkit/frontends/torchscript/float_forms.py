"""A lookup table as the torch function it was made of, found by trying: its 256 codes decide, not its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ectoolkit.core.types import QuantParams

#: float32 tensor to float32 tensor
Form = Callable[[Any], Any]


def codes_of(torch: Any, form: Form, source: QuantParams, target: QuantParams) -> np.ndarray:
    """What torch makes of the 256 codes by dequantize, `form`, quantize: uint8 ``(256,)``."""
    every = torch.arange(256, dtype=torch.uint8)
    x = torch._make_per_tensor_quantized_tensor(every, float(source.scalar), source.zero_point)
    y = torch.quantize_per_tensor(form(x.dequantize()), float(target.scalar), target.zero_point, torch.quint8)
    return y.int_repr().numpy()


def best_form(
    torch: Any, function: str, table: np.ndarray, source: QuantParams, target: QuantParams
) -> tuple[Form, np.ndarray] | None:
    """The function whose codes are nearest to the table's.

    Args:
        torch: the module.
        function: the table's name in the graph.
        table: uint8 ``(256,)``.
        source: grid of the table's input.
        target: grid of its result.

    Returns:
        The function, and by how many steps each code differs (int64 ``(256,)``); None where no function of that name
        is known.
    """
    found = None
    for form in _candidates(torch, function, table, source, target):
        distance = np.abs(codes_of(torch, form, source, target).astype(np.int64) - table)
        if found is None or (distance.max(), distance.sum()) < (found[1].max(), found[1].sum()):
            found = form, distance
    return found


def _candidates(
    torch: Any, function: str, table: np.ndarray, source: QuantParams, target: QuantParams
) -> Iterator[Form]:
    nn = torch.nn.functional
    name = function.split()[0].removesuffix("_") if function else ""
    if name in ("sigmoid", "tanh"):
        yield getattr(torch, name)
    elif name == "gelu_tanh":
        yield _gelu_tanh(torch)
    elif name in ("silu", "hardsigmoid", "gelu"):
        yield getattr(nn, name)
        if name == "gelu":
            yield _gelu_tanh(torch)
    elif name == "hardswish":
        # MERA 1.6.0 crashes on aten::hardswish in float, and its quantized::hardswish is a step off in places
        yield lambda x: x * nn.hardtanh(x + 3, 0.0, 6.0) / 6
    elif name in ("relu6", "hardtanh", "clamp"):
        low, high = ((float(end) - target.zero_point) * float(target.scalar) for end in (table.min(), table.max()))
        yield lambda x: torch.clamp(x, low, high)
    elif name in ("leaky_relu", "prelu", "elu", "times", "over"):
        yield from _fitted(torch, name, table, source, target)


def _gelu_tanh(torch: Any) -> Form:
    """Written out: MERA 1.6.0 does not look at aten::gelu's approximation."""
    return lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _fitted(torch: Any, name: str, table: np.ndarray, source: QuantParams, target: QuantParams) -> Iterator[Form]:
    """Functions with one number in them, which the graph does not keep: the table tells it."""
    x = (np.arange(256) - source.zero_point) * float(source.scalar)
    shape = {"elu": np.expm1(np.minimum(x, 0)), "times": x, "over": x}.get(name, np.minimum(x, 0))
    factor = factor_of(shape, table, target)
    if factor is None:
        return
    if name == "elu":
        yield lambda x: torch.nn.functional.elu(x, factor)
    elif name in ("times", "over"):
        yield lambda x: x * factor
    else:
        # MERA 1.6.0 makes something else of aten::leaky_relu
        yield lambda x: torch.relu(x) - factor * torch.relu(-x)


def factor_of(shape: np.ndarray, table: np.ndarray, target: QuantParams) -> float | None:
    """The factor that brings `shape` to the table's codes.

    The one with the fewest digits that gives all of them; where none does, the one with the least squared error; None
    where the table tells nothing.

    Args:
        shape: float64 ``(256,)``; entries of 0 say nothing.
        table: uint8 ``(256,)``.
        target: its grid.
    """
    kept = (shape != 0) & (table > 0) & (table < 255)
    if not kept.any():
        return None
    steps = float(target.scalar) / shape[kept]
    codes = table[kept].astype(np.float64) - target.zero_point
    ends = np.sort([(codes - 0.5) * steps, (codes + 0.5) * steps], axis=0)
    low, high = float(ends[0].max()), float(ends[1].min())
    if low >= high:
        return float((shape[kept] * codes).sum() * float(target.scalar) / (shape[kept] ** 2).sum())
    nice = (round((low + high) / 2, digits) for digits in range(1, 8))
    return next((number for number in nice if low < number < high), (low + high) / 2)
