"""Layers that handle each element by itself: adds, products, tables, and the borders to real numbers."""

from __future__ import annotations

import numpy as np
import torch

from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Value
from ectoolkit.core.ops.add import main_ratio, output_ratio, relu_ceiling
from ectoolkit.core.ops.base import grid, whole
from ectoolkit.core.ops.concat import on_grid_of
from ectoolkit.core.ops.multiply import product_ratio
from ectoolkit.core.ops.precise_add import FRACTION, LIMIT, term_multiplier
from ectoolkit.core.verifier import op_of
from ectoolkit.interpreters.fast.layer import Form, Layer, Run
from ectoolkit.interpreters.fast.layouts import by_blocks, from_rows, rows, to_codes, to_numpy, to_torch
from ectoolkit.interpreters.fast.rescale import Rescale

_HALF = torch.tensor(0.5, dtype=torch.float64)


def add(layer: Layer) -> Form:
    """The adder of nine bits, see `ectoolkit.core.ops.add`."""
    inputs, quant = layer.inputs, grid(layer.output)
    ratio, other_zero = output_ratio(inputs, layer.output), grid(inputs[1]).zero_point
    to_other = _centred(layer, 0, *arithmetic.requantize_multiplier(main_ratio(inputs)))
    low, high = arithmetic.ADD_MIN, arithmetic.ADD_MAX
    multiplier, shift = arithmetic.requantize_multiplier(ratio)
    to_output = Rescale(multiplier, shift, bound=2 * -low, zero_point=quant.zero_point)

    def with_relu(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        total = to_other.cut(x, low, high).add_(y).sub_(other_zero).clamp_(low, ceiling)
        return to_output.codes(total, quant.zero_point, quant.quant_max)

    def plain(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        left = to_output.cut(to_other.cut(x, low, high), low, high)
        right = other_to_output.cut(y, low, high)
        return to_codes(left.add_(right).clamp_(quant.quant_min, quant.quant_max))

    if layer.node.attributes["relu"]:
        ceiling = relu_ceiling(quant.zero_point, ratio)
        forms, compute = (to_other.form, to_output.form), with_relu
    else:
        other_to_output = Rescale(multiplier, shift, bound=255, offset=-other_zero)
        forms, compute = (to_other.form, to_output.form, other_to_output.form), plain
    return Form(lambda x, y: by_blocks(compute, x, y), _worst(*forms), (0, 1))


def precise_add(layer: Layer) -> Form:
    """One rounding, see `ectoolkit.core.ops.precise_add`."""
    quant = grid(layer.output)
    terms = [
        _centred(layer, position, *term_multiplier(layer.node, value, layer.output))
        for position, value in enumerate(layer.inputs)
    ]
    low, high = quant.zero_point if layer.node.attributes["relu"] else quant.quant_min, quant.quant_max

    def compute(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # terms stay below 2^30 and have 12 bits for the fraction: exact in float64
        total = terms[0].cut(x, -LIMIT, LIMIT).add_(terms[1].cut(y, -LIMIT, LIMIT))
        steps = total.mul_(2.0**-FRACTION).add_(quant.zero_point + 0.5)
        return to_codes(steps.clamp_(low, high + 0.5))

    return Form(lambda x, y: by_blocks(compute, x, y), _worst(terms[0].form, terms[1].form), (0, 1))


def _centred(layer: Layer, position: int, multiplier: np.ndarray, shift: np.ndarray) -> Rescale:
    """A rescale of an operand, codes or raw accumulators, with its zero point taken off."""
    return Rescale(
        multiplier, shift, bound=layer.bounds[position], offset=-grid(layer.inputs[position]).zero_point
    )


def _worst(*forms: str) -> str:
    return "int64" if "int64" in forms else "float64"


def multiply(layer: Layer) -> Form:
    """The product of what two codes stand for, either repeated along axes."""
    quant = grid(layer.output)
    zeros = [grid(value).zero_point for value in layer.inputs]
    multiplier, shift = arithmetic.requantize_multiplier(product_ratio(layer.inputs, layer.output))
    rescale = Rescale(multiplier, shift, bound=255 * 255, zero_point=quant.zero_point)

    def run(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        product = x.to(torch.int32).sub_(zeros[0]) * y.to(torch.int32).sub_(zeros[1])
        return by_blocks(lambda part: rescale.codes(part, quant.quant_min, quant.quant_max), product)

    return Form(run, f"int32 product, {rescale.form} requantize", (0, 1))


def lookup(layer: Layer) -> Form | None:
    """The table."""
    table = layer.constants[1]
    return None if table is None else Form(_through(table), "table", (0,))


def _through(table: np.ndarray) -> Run:
    held = torch.from_numpy(table.copy())

    def run(x: torch.Tensor) -> torch.Tensor:
        matrix = rows(x)
        return from_rows(held.index_select(0, matrix.flatten().to(torch.int32)).view_as(matrix), tuple(x.shape))

    return run


def relu(layer: Layer) -> Form:
    """The zero point or more."""
    low = grid(layer.output).zero_point
    return Form(lambda x: x.clamp(min=low), "uint8", (0,))


def concat(layer: Layer) -> Form:
    """Each input through the table of its 256 results, joined."""
    axis, node, output = whole(layer.node, "axis"), layer.node, layer.output
    reads = tuple(range(len(layer.inputs)))
    if output.spec.dtype == "float32":
        return Form(lambda *parts: torch.cat(parts, axis), "moves", reads)
    every = np.arange(256, dtype=np.uint8)
    tables = [on_grid_of(output, value, every, node.name) for value in layer.inputs]
    moves = [None if np.array_equal(table, every) else _through(table) for table in tables]

    def run(*parts: torch.Tensor) -> torch.Tensor:
        return torch.cat([move(part) if move else part for move, part in zip(moves, parts, strict=True)], axis)

    return Form(run, "tables" if any(moves) else "moves", reads)


def quantize(layer: Layer) -> Form:
    """Real numbers to codes, see `ectoolkit.core.arithmetic.quantize`."""
    quant = grid(layer.output)
    reciprocal = torch.from_numpy(np.array(arithmetic.reciprocal_of(quant.scalar)))

    def run(x: torch.Tensor) -> torch.Tensor:
        scaled = x * reciprocal
        if scaled.isnan().any():  # the definition says where
            return to_torch(op_of(layer.node).evaluate(layer.node, layer.inputs, layer.output, [to_numpy(x)]))
        # in float64 half a step can be added without rounding; the cast cuts toward zero
        steps = scaled.clamp_(-512, 512).to(torch.float64)
        whole_steps = steps.add_(torch.copysign(_HALF, steps)).to(torch.int32).add_(quant.zero_point)
        return whole_steps.clamp_(quant.quant_min, quant.quant_max).to(torch.uint8)

    return Form(run, "float64", (0,))


def dequantize(layer: Layer) -> Form:
    """Codes to real numbers."""
    quant = grid(layer.inputs[0])
    scale = torch.from_numpy(np.array(quant.scalar))
    return Form(lambda x: x.to(torch.int32).sub_(quant.zero_point).to(torch.float32).mul_(scale), "float32", (0,))
