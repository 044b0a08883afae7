"""Two operands: tensors, parameters of the model, numbers.

Tensors of codes are added, subtracted and multiplied on codes; a number makes a lookup table; one parameter a channel
makes a depthwise convolution.  Everything else runs in float.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ectoolkit.frontends.exported.nodes import arguments, named, shape_of
from ectoolkit.frontends.exported.planner import Planner
from ectoolkit.frontends.exported.rules.weights import channelwise

#: function of a tensor with a number behind it, and with a number before it
NUMBER = {
    "add": ("plus", "plus"),
    "subtract": ("minus", "minus_from"),
    "multiply": ("times", "times"),
    "divide": ("over", "over_into"),
    "maximum": ("at_least", "at_least"),
    "minimum": ("at_most", "at_most"),
    "power": ("pow", "base"),
}


def rule(name: str) -> Callable[[Planner, Any], None]:
    """The rule of an operation of two operands."""

    def of_two(planner: Planner, node: Any) -> None:
        if named(node).get("alpha", 1) != 1 or named(node).get("rounding_mode") is not None:
            raise planner.unsupported(node, "with alpha or rounding_mode is not defined; write it as two operations")
        left, right = node.args[0], node.args[1]
        combine(planner, node, name, left, right)

    return of_two


def reversed_subtract(planner: Planner, node: Any) -> None:
    if arguments(node, None, None, 1)[2] != 1:
        raise planner.unsupported(node, "with alpha is not defined; write it as two operations")
    combine(planner, node, "subtract", node.args[1], node.args[0])


def combine(planner: Planner, node: Any, name: str, left: Any, right: Any) -> None:
    """Add what `name` of two operands becomes."""
    operands = [_operand(planner, part) for part in (left, right)]
    numbers = [part for part in operands if isinstance(part, float)]
    arrays = [part for part in operands if isinstance(part, np.ndarray)]
    if len(numbers) + len(arrays) == 2:
        planner.source(node, left)  # raises: nothing here comes from the model's input
    if numbers:
        place = 1 if isinstance(operands[1], float) else 0
        planner.function(node, operands[1 - place], NUMBER[name][1 - place], numbers[0])
    elif arrays:
        _with_parameter(planner, node, name, operands)
    elif name in ("add", "subtract", "multiply") and not planner.is_real(left, right):
        _on_codes(planner, node, name, operands)
    else:
        planner.add(node, f"float_{name}", operands)


def _operand(planner: Planner, part: Any) -> Any:
    """A number as float, a parameter as an array (as float where it holds one number), else the node."""
    if isinstance(part, bool | int | float):
        return float(part)
    array = planner.array(part)
    if array is None:
        return part
    return float(array.item()) if array.size == 1 else array


def _with_parameter(planner: Planner, node: Any, name: str, operands: list[Any]) -> None:
    left = isinstance(operands[0], np.ndarray)
    x, array = (operands[1], operands[0]) if left else operands
    planner.source(node, x)
    channels = _per_channel(array, shape_of(x)) if not planner.is_real(x) else None
    settings = None if channels is None else _factor_and_shift(name, channels, left)
    if settings is None:
        planner.add(node, f"float_{name}", operands)
    else:
        channelwise(planner, node, x, *settings)


def _per_channel(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A parameter as ``(C,)`` where it has one value a channel of ``(N, C, H, W)``, else None."""
    if len(shape) != 4 or array.ndim > 4:
        return None
    full = (1,) * (4 - array.ndim) + array.shape
    return array.reshape(-1) if full == (1, shape[1], 1, 1) else None


def _factor_and_shift(name: str, array: np.ndarray, left: bool) -> tuple[np.ndarray, np.ndarray | None] | None:
    """What a channel is multiplied with and what is added to it, None where it is no such thing."""
    if name == "multiply":
        return array, None
    if name == "divide" and not left and array.all():
        return 1 / array, None
    if name == "add":
        return np.ones_like(array), array
    if name == "subtract":
        return (-np.ones_like(array), array) if left else (np.ones_like(array), -array)
    return None


def _on_codes(planner: Planner, node: Any, name: str, operands: list[Any]) -> None:
    shape, given = shape_of(node), operands
    operands = [_of_rank(planner, node, part, len(shape)) for part in operands]
    if name == "multiply":
        planner.add(node, "multiply", operands)
        return
    operands = [_expanded(planner, node, *pair, shape) for pair in zip(operands, given, strict=True)]
    act = planner.fused_relu(node)
    planner.add(node, name, operands, act, attributes={"relu": act is not None})


def _of_rank(planner: Planner, node: Any, x: Any, rank: int) -> str:
    planner.source(node, x)
    return planner.reshaped(node, x, (1,) * (rank - len(shape_of(x))) + shape_of(x), "rank")


def _expanded(planner: Planner, node: Any, name: str, x: Any, shape: tuple[int, ...]) -> str:
    """`x`, already of the right rank as `name`, repeated to a shape."""
    extents = (1,) * (len(shape) - len(shape_of(x))) + shape_of(x)
    repeated = {axis: [0] * extent for axis, extent in enumerate(shape) if extents[axis] != extent}
    return planner.gathered(node, name, repeated, "repeated") if repeated else name


RULES = {
    name + suffix: rule(operation)
    for operation, names in {
        "add": ("add",),
        "divide": ("div", "divide", "true_divide"),
        "maximum": ("maximum",),
        "minimum": ("minimum",),
        "multiply": ("mul", "multiply"),
        "power": ("pow",),
        "subtract": ("sub", "subtract"),
    }.items()
    for name in names
    for suffix in ("", "_")
} | {"rsub": reversed_subtract}
