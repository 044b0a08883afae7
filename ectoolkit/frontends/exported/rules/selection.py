"""Some of the elements, or some of them several times."""

from __future__ import annotations

from typing import Any

from ectoolkit.frontends.exported.nodes import arguments, axis_of, shape_of
from ectoolkit.frontends.exported.planner import Planner


def split(planner: Planner, node: Any) -> None:
    """chunk and split: one slice for each part that is used."""
    x = node.args[0]
    axis = axis_of(arguments(node, None, None, 0)[2], len(shape_of(x)))
    taken = {user.args[1]: user for user in node.users}
    begin = 0
    for index, value in enumerate(node.meta["val"]):
        end = begin + int(value.shape[axis])
        if index in taken:
            _part(planner, node, x, axis, begin, end, taken[index])
        begin = end


def _part(planner: Planner, node: Any, x: Any, axis: int, begin: int, end: int, result: Any = None) -> None:
    settings = {"axis": axis, "begin": begin, "end": end}
    planner.add(node, "slice", [x], result, attributes=settings, keeps_grid=True)


def unbind(planner: Planner, node: Any) -> None:
    x, axis = arguments(node, None, 0)
    axis = axis_of(axis, len(shape_of(x)))
    for user in node.users:
        _one(planner, node, x, axis, axis_of(user.args[1], shape_of(x)[axis]), user)


def select(planner: Planner, node: Any) -> None:
    x, axis, index = node.args
    axis = axis_of(axis, len(shape_of(x)))
    _one(planner, node, x, axis, axis_of(index, shape_of(x)[axis]), node)


def _one(planner: Planner, node: Any, x: Any, axis: int, index: int, result: Any) -> None:
    """One place along an axis, which goes."""
    settings = {"axis": axis, "begin": index, "end": index + 1}
    part = planner.add(node, "slice", [x], step="part", attributes=settings, keeps_grid=True)
    attributes = {"shape": shape_of(result)}
    planner.add(node, "reshape", [part], result, attributes=attributes, keeps_grid=True)


def slice_(planner: Planner, node: Any) -> None:
    x, axis, begin, end, step = arguments(node, None, 0, None, None, 1)
    axis = axis_of(axis, len(shape_of(x)))
    extent = shape_of(x)[axis]
    begin, end, step = slice(begin, end, step).indices(extent)
    if (begin, end, step) == (0, extent, 1):
        planner.names[node] = planner.source(node, x)
    elif step == 1:
        _part(planner, node, x, axis, begin, end)
    else:
        planner.gathered(node, x, {axis: range(begin, end, step)})


def narrow(planner: Planner, node: Any) -> None:
    x, axis, begin, length = node.args
    axis = axis_of(axis, len(shape_of(x)))
    begin = axis_of(begin, shape_of(x)[axis])
    _part(planner, node, x, axis, begin, begin + int(length))


def flip(planner: Planner, node: Any) -> None:
    x, axes = node.args
    shape = shape_of(x)
    planner.gathered(node, x, {a: range(shape[a])[::-1] for a in sorted(axis_of(axis, len(shape)) for axis in axes)})


def roll(planner: Planner, node: Any) -> None:
    x, shifts, axes = arguments(node, None, None, [])
    if not axes:
        raise planner.unsupported(node, "over all axes at once is not defined; name the axes")
    shape = shape_of(x)
    moved = {axis_of(axis, len(shape)): int(shift) for axis, shift in zip(axes, shifts, strict=True)}
    planner.gathered(node, x, {a: [(i - moved[a]) % shape[a] for i in range(shape[a])] for a in sorted(moved)})


def index_select(planner: Planner, node: Any) -> None:
    x, axis, indices = node.args
    places = planner.array(indices)
    if places is None:
        raise planner.unsupported(node, "by computed places is not defined")
    planner.gathered(node, x, {axis_of(axis, len(shape_of(x))): [int(place) for place in places]})


def expand(planner: Planner, node: Any) -> None:
    """expand and repeat: each axis goes over its elements again and again."""
    x, shape = node.args[0], shape_of(node)
    given = (1,) * (len(shape) - len(shape_of(x))) + shape_of(x)
    planner.source(node, x)
    if given == shape:
        planner.names[node] = planner.reshaped(node, x, shape, "rank")
        return
    source = planner.reshaped(node, x, given, "rank")
    repeated = {a: [i % given[a] for i in range(shape[a])] for a in range(len(shape)) if given[a] != shape[a]}
    planner.gathered(node, source, repeated)


RULES = {
    "chunk": split,
    "expand": expand,
    "expand_as": expand,
    "flip": flip,
    "index_select": index_select,
    "narrow": narrow,
    "repeat": expand,
    "roll": roll,
    "select": select,
    "slice": slice_,
    "split": split,
    "split_with_sizes": split,
    "tile": expand,
    "unbind": unbind,
    "unsafe_chunk": split,
    "unsafe_split": split,
}
