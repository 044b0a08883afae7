"""Operations that are read only where `ectoolkit.frontends.torchscript.mark` says that our own writer wrote them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.frontends.torchscript.mark import Table
from ectoolkit.frontends.torchscript.walk import Call

if TYPE_CHECKING:
    from ectoolkit.frontends.torchscript.rules import Importer

LOOKUP = "ectoolkit::lookup"


def join_lookups(calls: Sequence[Call], tables: Mapping[str, Table]) -> list[Call]:
    """Each layer that has a table (dequantize, a float function, quantize) as one call.

    Args:
        calls: in execution order.
        tables: by layer.

    Returns:
        The calls; those of such a layer are one `LOOKUP` with arguments (x, table, scale, zero_point).
    """
    joined: list[Call] = []
    for call in calls:
        table = tables.get(call.layer)
        if table is None:
            joined.append(call)
        elif call.op == "aten::dequantize":
            source = call.args[0]
        elif call.op == "aten::quantize_per_tensor":
            joined.append(Call(LOOKUP, call.layer, [source, table, *call.args[1:3]], call.output))
    return joined


def lookup(importer: Importer, call: Call) -> str:
    x, table, scale, zero_point = call.args
    quant = QuantParams.uint8(float(scale), int(zero_point))
    name = importer.builder.unique(call.layer)
    constant = importer.builder.constant(f"{name}.table", table.codes, Layout.C, quant)
    inputs = [importer.value_of(x), constant]
    return importer.builder.node("lookup", name, inputs, quant, table.settings)


def pad(importer: Importer, call: Call) -> str:
    x, amounts, value = call.args
    if value or len(amounts) != 4:
        raise importer.unsupported(call, f"with value={value}, amounts={amounts} is not defined; only zeros")
    left, right, top, bottom = (int(amount) for amount in amounts)
    return importer.node("pad", call, [x], attributes={"amounts": (top, bottom, left, right)})


def take(importer: Importer, call: Call) -> str:
    x, axis, begin, end, step = call.args
    if step != 1:
        raise importer.unsupported(call, f"with a step of {step} is not defined")
    return importer.node("slice", call, [x], attributes={"axis": int(axis), "begin": int(begin), "end": int(end)})


def permute(importer: Importer, call: Call) -> str:
    x, order = call.args
    return importer.node("transpose", call, [x], attributes={"order": tuple(int(axis) for axis in order)})


OWN_RULES: dict[str, Callable[[Importer, Call], str]] = {
    LOOKUP: lookup,
    "aten::constant_pad_nd": pad,
    "aten::permute": permute,
    "aten::slice": take,
}
