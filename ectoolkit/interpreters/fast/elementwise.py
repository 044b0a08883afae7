"""Layers that handle each element by itself: adds, products, tables, and the borders to real numbers."""

from __future__ import annotations

import numpy as np
import torch

from ectoolkit.core import arithmetic
from ectoolkit.core.ops.add import main_ratio, output_ratio, relu_ceiling
from ectoolkit.core.ops.base import grid, whole
from ectoolkit.core.ops.concat import on_grid_of
from ectoolkit.core.ops.multiply import product_ratio
from ectoolkit.core.ops.precise_add import FRACTION, LIMIT, term_multiplier
from ectoolkit.core.verifier import op_of
from ectoolkit.interpreters.fast.layer import Form, Layer, Run
from ectoolkit.interpreters.fast.layouts import by_blocks, from_rows, rows, to_codes, to_numpy, to_torch
from ectoolkit.interpreters.fast.rescale import Rescale

_HALF = torch.from_numpy(np.array(0.5))
_LOW, _HIGH = arithmetic.ADD_MIN, arithmetic.ADD_MAX


def add(layer: Layer) -> Form:
    """The adder of nine bits, see `ectoolkit.core.ops.add`."""
    main = _centred(layer, 0, *arithmetic.requantize_multiplier(main_ratio(layer.inputs)))
    compute, forms = (_add_with_relu if layer.node.attributes["relu"] else _add)(layer, main)
    return Form(lambda x, y: by_blocks(compute, x, y), _worst(main.form, *forms), (0, 1))


def _add_with_relu(layer: Layer, main: Rescale) -> tuple[Run, list[str]]:
    quant, zero_point = grid(layer.output), grid(layer.inputs[1]).zero_point
    ratio = output_ratio(layer.inputs, layer.output)
    ceiling = relu_ceiling(quant.zero_point, ratio)
    total = Rescale(
        *arithmetic.requantize_multiplier(ratio), bound=-_LOW, offset=-zero_point, zero_point=quant.zero_point
    )

    def compute(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # the zero point of y is still in the sum, and in where it is cut
        added = main.cut(x, _LOW, _HIGH).add_(y).clamp_(_LOW + zero_point, ceiling + zero_point)
        return total.codes(added, quant.zero_point, quant.quant_max)

    return compute, [total.form]


def _add(layer: Layer, main: Rescale) -> tuple[Run, list[str]]:
    quant, zero_point = grid(layer.output), grid(layer.inputs[1]).zero_point
    scale = arithmetic.requantize_multiplier(output_ratio(layer.inputs, layer.output))
    left = Rescale(*scale, bound=-_LOW, zero_point=quant.zero_point)
    right = Rescale(*scale, bound=255, offset=-zero_point)

    def compute(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        added = left.cut(main.cut(x, _LOW, _HIGH), _LOW, _HIGH).add_(right.cut(y, _LOW, _HIGH))
        return to_codes(added.clamp_(quant.quant_min, quant.quant_max))

    return compute, [left.form, right.form]


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
    return Rescale(multiplier, shift, bound=layer.bounds[position], offset=-grid(layer.inputs[position]).zero_point)


def _worst(*forms: str) -> str:
    return "int64" if "int64" in forms else "float64"


def multiply(layer: Layer) -> Form:
    """The product of what two codes stand for, either repeated along axes."""
    quant = grid(layer.output)
    zeros = [grid(value).zero_point for value in layer.inputs]
    ratio = float(product_ratio(layer.inputs, layer.output))

    def run(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        product = x.to(torch.int32).sub_(zeros[0]) * y.to(torch.int32).sub_(zeros[1])
        return by_blocks(on_grid, product)

    def on_grid(product: torch.Tensor) -> torch.Tensor:
        # exact in float64, then the definition's two roundings to float32
        total = product.to(torch.float64).mul_(ratio).add_(quant.zero_point).to(torch.float32)
        return total.add_(0.5).floor_().clamp_(quant.quant_min, quant.quant_max).to(torch.uint8)

    return Form(run, "int32 product, float64 and float32 requantize", (0, 1))


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
