"""How convolutions and linear layers end: the form of rounding, and the arrays it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.builders.cpu.kernels.convolution import ConvSpec
from ectoolkit.builders.cpu.kernels.dense import SETTINGS
from ectoolkit.builders.cpu.kernels.endings import MAGIC_BITS, Ending
from ectoolkit.builders.cpu.lowering.context import Context
from ectoolkit.builders.cpu.lowering.float_rounding import float_form, sums_reached
from ectoolkit.builders.cpu.lowering.fusing import second_factor
from ectoolkit.builders.cpu.lowering.rounding import fixed_point
from ectoolkit.core import arithmetic
from ectoolkit.core.graph import Node
from ectoolkit.core.ops import add as add_op
from ectoolkit.core.ops import precise_add as precise_add_op
from ectoolkit.core.ops.base import grid
from ectoolkit.core.ops.convolution import accumulator_ratio

#: what stands for a channel that is not there, by dtype of the array: a shift of 1 is harmless where one of 0 is not
_FILL = {"int32": 1, "float32": 0}
#: channels that are tried before all are
_PROBED = 32


def in_lanes(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    """An array with an element a channel in the order of a kernel's lanes."""
    return np.where(order >= 0, array[order], array.dtype.type(_FILL[array.dtype.name]))


def other_operand(node: Node, add: Node) -> str:
    """The operand of an add that is not the layer's sums."""
    return next(name for name in add.inputs if name != node.name)


@dataclass(frozen=True)
class _Sums:
    """A layer's accumulators.

    Attributes:
        weight: int8 ``(channels, ...)``.
        bias: int64 ``(channels,)``.
        zero_point: of the input.
        fuses: whether the instruction set has a fused multiply-add.
        apart: whether the kernel can round even and odd lanes apart.
    """

    weight: np.ndarray
    bias: np.ndarray
    zero_point: int
    fuses: bool
    apart: bool

    @property
    def total(self) -> np.ndarray:
        """int64 ``(channels,)``: sums of weights."""
        return np.asarray(self.weight.astype(np.int64).reshape(len(self.weight), -1).sum(axis=1))

    @property
    def bound(self) -> np.ndarray:
        """int64 ``(channels,)``: see `arithmetic.accumulator_bound`."""
        return arithmetic.accumulator_bound(self.weight, self.bias)


@dataclass(frozen=True)
class _Form:
    """How sums are rounded.

    Attributes:
        name: see `Ending.form`.
        factors: arrays with an element a channel.
        shift: of all channels.
        moved: int64 ``(channels,)``, added to the bias.
    """

    name: str
    factors: list[np.ndarray]
    shift: int = 0
    moved: np.ndarray | int = 0


def _form(sums: _Sums, pair: tuple[np.ndarray, np.ndarray], added: int, ends: tuple[int, int] | None) -> _Form:
    """The fastest form that is right for every sum.

    Args:
        sums: of the layer.
        pair: multiplier and shift, from `arithmetic.requantize_multiplier`.
        added: to what is rounded.
        ends: where the result is cut later, None where all of it matters.
    """
    multiplier, shift = (np.broadcast_to(array, sums.bias.shape) for array in pair)
    # of the 511 steps of the accelerator's add float32 never makes all
    reached = sums_reached(sums.weight, sums.bias - sums.zero_point * sums.total)
    if sums.fuses and ends is not None and ends[1] - ends[0] <= 255:
        few = slice(0, _PROBED)
        first = float_form(multiplier[few], shift[few], added, ends, (reached[0][few], reached[1][few]))
        # most layers that fail do so in their first channels, and soon
        found = None if first is None else float_form(multiplier, shift, added, ends, reached)
        if found is not None:
            offset = (MAGIC_BITS + found.steps - added).astype(np.int32)
            return _Form("float", [found.factor, offset], 0, found.shift)
    largest = np.maximum(np.abs(reached[0]), np.abs(reached[1]))
    fixed = fixed_point(multiplier, shift, added, ends, largest) if sums.apart else None
    if fixed is None:
        return _plain(pair, sums.bias.shape)
    return _Form("high" if fixed.shift >= 32 else "low", [fixed.multiplier], fixed.shift)


def ending_of(
    context: Context, node: Node, conv: ConvSpec, add: Node | None = None, apart: bool = True
) -> tuple[Ending, dict[str, np.ndarray]]:
    """How the kernel ends, and its parameters in the kernel's order: bias, factors, settings.

    Args:
        context: of the graph.
        node: the layer with the weights.
        conv: its shapes.
        add: that takes the layer's sums.
        apart: whether the kernel can round even and odd lanes apart.
    """
    weight, bias = (context.graph.constants[name] for name in node.inputs[1:3])
    zero_point = grid(context.value(node.inputs[0])).zero_point
    sums = _Sums(weight, bias.astype(np.int64), zero_point, context.isa.fuses, apart)
    if add is None:
        ending, form, rest = _own_ending(context, node, conv, sums)
    elif add.op == "add":
        ending, form, rest = _add_ending(context, add, sums)
    else:
        ending, form, rest = _precise_add_ending(context, node, add, sums)
    # kernels may take an offset off each activation, and so off the zero point
    folded = sums.bias - (zero_point - context.isa.offset) * sums.total + form.moved
    settings = np.zeros(SETTINGS, np.int32)
    settings[: 1 + len(rest)] = [zero_point, *rest]
    name = (add or node).name
    factors = {f"{name}:factor{i}": np.broadcast_to(array, bias.shape) for i, array in enumerate(form.factors)}
    return ending, {f"{name}:bias": folded.astype(np.int32), **factors, f"{name}:settings": settings}


_Ending = tuple[Ending, _Form, list[int]]


def _own_ending(context: Context, node: Node, conv: ConvSpec, sums: _Sums) -> _Ending:
    """Of a layer alone."""
    if conv.epilogue == "accumulator":
        return Ending("sums"), _Form("", []), []
    output = context.value(node.name)
    ends = _ends(context, node)
    ratio = accumulator_ratio(context.value(node.inputs[2]), output)
    if conv.epilogue == "host":
        return Ending("host"), _Form("", [ratio.astype(np.float32)]), ends
    form = _form(sums, arithmetic.requantize_multiplier(ratio, node.name), ends[0], (ends[1], ends[2]))
    return Ending("codes", form.name), form, [*ends, form.shift]


def _ends(context: Context, node: Node) -> list[int]:
    """The output's code of real 0, its smallest and its largest."""
    quant = grid(context.value(node.name))
    return [quant.zero_point, quant.zero_point if node.attributes["relu"] else quant.quant_min, quant.quant_max]


def _add_ending(context: Context, add: Node, sums: _Sums) -> _Ending:
    """Of a layer with the accelerator's add; the settings are in `kernels.endings`."""
    values = [context.value(name) for name in add.inputs]
    output = context.value(add.name)
    pair = arithmetic.requantize_multiplier(add_op.main_ratio(values), add.name)
    form = _form(sums, pair, 0, (arithmetic.ADD_MIN, arithmetic.ADD_MAX))
    factor = second_factor(context.graph, add)
    assert factor is not None, "such an add is not fused"
    settings = [
        *_ends(context, add),
        form.shift,
        grid(values[1]).zero_point,
        add_op.relu_ceiling(grid(output).zero_point, add_op.output_ratio(values, output)),
        int(factor.view(np.int32)),
    ]
    return Ending("add", form.name, bool(add.attributes["relu"]), values[1].spec.dtype), form, settings


def _precise_add_ending(context: Context, node: Node, add: Node, sums: _Sums) -> _Ending:
    """Of a layer with an add that rounds once; the settings are in `kernels.endings.precise_total`."""
    output, name = context.value(add.name), other_operand(node, add)
    fraction, limit = precise_add_op.FRACTION, precise_add_op.LIMIT
    own, moved = (precise_add_op.term_multiplier(add, context.value(operand), output) for operand in (node.name, name))
    other = _moved(context, name, moved, sums)
    added = (1 << (fraction - 1)) + (grid(output).zero_point << fraction) + other.added
    form = _form(sums, own, added, None)
    if not _within(sums.bound, own):
        # only the plain form cuts terms at their limit
        form = _plain(own, sums.bias.shape)
    settings = [*_ends(context, add), form.shift, added, fraction, limit, *other.settings]
    form.factors.extend(other.factors)
    relu, dtype = bool(add.attributes["relu"]), context.value(name).spec.dtype
    return Ending("precise_add", form.name, relu, dtype, other.name), form, settings


@dataclass(frozen=True)
class _Moved:
    """How the other operand of an add that rounds once is moved to the output's grid.

    Attributes:
        name: see `Ending.moved`.
        factors: arrays with an element a channel.
        settings: from the eighth on.
        added: what the form needs to be added to the other term.
    """

    name: str
    factors: list[np.ndarray]
    settings: list[int]
    added: int = 0


def _moved(context: Context, name: str, pair: tuple[np.ndarray, np.ndarray], sums: _Sums) -> _Moved:
    """The fastest form that is right for every value of the operand."""
    value, producer = context.value(name), context.graph.producer(name)
    zero_point = grid(value).zero_point
    if value.spec.dtype == "uint8":
        found = split_of_codes(int(pair[0]), int(pair[1]), zero_point)
        if found is not None:
            return found
    elif sums.apart and producer is not None and producer.op == "conv2d":
        bound = arithmetic.accumulator_bound(*(context.graph.constants[each] for each in producer.inputs[1:3]))
        multiplier, shift = (np.broadcast_to(array, bound.shape) for array in pair)
        fixed = fixed_point(multiplier, shift, 0, None, bound) if _within(bound, pair) else None
        if fixed is not None:
            return _Moved("high" if fixed.shift >= 32 else "low", [fixed.multiplier], [0, fixed.shift])
    return _Moved("plain", _plain(pair, sums.bias.shape).factors, [zero_point, 0])


def split_of_codes(multiplier: int, shift: int, zero_point: int) -> _Moved | None:
    """R of codes by a whole number and a fraction, each product within 32 bits; None where they would not be.

    With ``M = whole · 2^s + fraction``, R(q - z) = (q - z) · whole + (((q - z) · fraction + 2^(s - 1)) >> s) exactly.
    """
    whole, fraction = divmod(multiplier, 1 << shift)
    if shift > 22 or whole >= 2**15:
        return None
    rest = (1 << (shift - 1)) - zero_point * fraction
    return _Moved("split", [], [whole, fraction, rest, shift], -zero_point * whole)


def _within(bound: np.ndarray, pair: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether no term of an add that rounds once is cut."""
    return bool((bound * (pair[0] * 2.0 ** -pair[1]) < precise_add_op.LIMIT - 1).all())


def _plain(pair: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...]) -> _Form:
    """Rounding in 64-bit lanes."""
    return _Form("plain", [np.broadcast_to(array, shape).astype(np.int32) for array in pair])
