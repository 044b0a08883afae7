"""The same elements in another shape or order."""

from __future__ import annotations

from typing import Any

from ectoolkit.frontends.exported.nodes import arguments, axis_of, shape_of
from ectoolkit.frontends.exported.planner import Planner


def reshape(planner: Planner, node: Any) -> None:
    x = node.args[0]
    if shape_of(node) == shape_of(x):
        planner.names[node] = planner.source(node, x)
    else:
        planner.reshaped(node, x, shape_of(node))


def transpose(planner: Planner, node: Any) -> None:
    rank = len(shape_of(node))
    first, second = (axis_of(axis, rank) for axis in node.args[1:3])
    order = list(range(rank))
    order[first], order[second] = second, first
    _ordered(planner, node, tuple(order))


def last_two(planner: Planner, node: Any) -> None:
    rank = len(shape_of(node))
    _ordered(planner, node, (*range(rank - 2), rank - 1, rank - 2))


def permute(planner: Planner, node: Any) -> None:
    rank = len(shape_of(node))
    _ordered(planner, node, tuple(axis_of(axis, rank) for axis in node.args[1]))


def movedim(planner: Planner, node: Any) -> None:
    x, *ends = node.args[:3]
    rank = len(shape_of(x))
    source, target = ([axis_of(a, rank) for a in (e if isinstance(e, list | tuple) else [e])] for e in ends)
    rest = iter(axis for axis in range(rank) if axis not in source)
    placed = dict(zip(target, source, strict=True))
    _ordered(planner, node, tuple(placed[axis] if axis in placed else next(rest) for axis in range(rank)))


def _ordered(planner: Planner, node: Any, order: tuple[int, ...]) -> None:
    if order == tuple(range(len(order))):
        planner.names[node] = planner.source(node, node.args[0])
    else:
        planner.add(node, "transpose", [node.args[0]], attributes={"order": order}, keeps_grid=True)


def concat(planner: Planner, node: Any) -> None:
    tensors, axis = arguments(node, None, 0)
    _joined(planner, node, list(tensors), axis_of(axis, len(shape_of(node))))


def stack(planner: Planner, node: Any) -> None:
    """A new axis for each, then joined along it."""
    tensors, axis = arguments(node, None, 0)
    axis = axis_of(axis, len(shape_of(node)))
    shape = shape_of(node)
    alone = (*shape[:axis], 1, *shape[axis + 1 :])
    for tensor in tensors:
        planner.source(node, tensor)
    _joined(planner, node, [planner.reshaped(node, tensor, alone, "alone") for tensor in tensors], axis)


def _joined(planner: Planner, node: Any, tensors: list[Any], axis: int) -> None:
    """Parameters of the model among them make it run in float."""
    parts = [tensor if (array := planner.array(tensor)) is None else array for tensor in tensors]
    if not any(isinstance(part, str) or part in planner.names for part in tensors):
        planner.source(node, tensors[0])
    planner.add(node, "concat", parts, attributes={"axis": axis})


RULES = {
    "cat": concat,
    "concat": concat,
    "flatten": reshape,
    "movedim": movedim,
    "mT": last_two,
    "permute": permute,
    "reshape": reshape,
    "squeeze": reshape,
    "stack": stack,
    "swapaxes": transpose,
    "t": last_two,
    "transpose": transpose,
    "unflatten": reshape,
    "unsqueeze": reshape,
    "view": reshape,
    "_unsafe_view": reshape,
}
