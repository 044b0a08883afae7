"""Pools, means and other numbers out of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ectoolkit.frontends.exported.nodes import arguments, axis_of, named, pair, shape_of
from ectoolkit.frontends.exported.planner import Planner
from ectoolkit.frontends.exported.rules import sampling
from ectoolkit.frontends.exported.rules.arithmetic import combine
from ectoolkit.frontends.exported.rules.weights import depthwise


def max_pool2d(planner: Planner, node: Any) -> None:
    x, kernel, stride, padding, dilation, ceil_mode = arguments(node, None, None, [], 0, 1, False)
    settings = {
        "kernel": pair(kernel),
        "stride": pair(stride or kernel),
        "padding": pair(padding),
        "dilation": pair(dilation),
        "ceil_mode": bool(ceil_mode),
    }
    planner.add(node, "max_pool2d", [x], attributes=settings, keeps_grid=True)


def avg_pool2d(planner: Planner, node: Any) -> None:
    """Equal weights: a depthwise convolution, exact in its sums; windows that weigh differently run in float."""
    x, kernel, stride, padding, ceil_mode, count_pad, divisor = arguments(node, None, None, [], 0, False, True, None)
    (rows, columns), padding, stride = pair(kernel), pair(padding), pair(stride or kernel)
    equal = not ceil_mode and (padding == (0, 0) or count_pad)
    if equal and not planner.is_real(x):
        count = rows * columns if divisor is None else int(divisor)
        weight = np.full((shape_of(x)[1], 1, rows, columns), 1 / count, np.float32)
        depthwise(planner, node, x, weight, None, stride, padding)
        return
    extents, sizes = shape_of(x)[2:], shape_of(node)[2:]
    weights = [
        sampling.average(extents[i], sizes[i], pair(kernel)[i], stride[i], padding[i], bool(count_pad), divisor)
        for i in (0, 1)
    ]
    if divisor is not None:
        weights[0] = weights[0] / np.float32(divisor)
    planner.add(node, "float_resample", [x, *weights])


def adaptive_avg_pool2d(planner: Planner, node: Any) -> None:
    x = node.args[0]
    extents, sizes = shape_of(x)[-2:], shape_of(node)[-2:]
    if extents == sizes:
        planner.names[node] = planner.source(node, x)  # VGG's 7×7 at the size it was trained with
    elif sizes == (1, 1):
        _mean(planner, node, x)
    else:
        weights = [sampling.adaptive(extent, size) for extent, size in zip(extents, sizes, strict=True)]
        planner.add(node, "float_resample", [x, *weights])


def _mean(planner: Planner, node: Any, x: Any) -> str:
    """Over rows and columns, which stay with extent 1."""
    if planner.is_real(x):
        return planner.add(node, "float_mean", [x], attributes={"axes": (2, 3), "keep": True})
    return planner.add(node, "mean", [x])


def mean(planner: Planner, node: Any) -> None:
    x, axes, keep = _axes(planner, node)
    if len(shape_of(x)) != 4 or axes != (2, 3) or planner.is_real(x):
        planner.add(node, "float_mean", [x], attributes={"axes": axes, "keep": keep})
        return
    made = _mean(planner, node, x)
    if not keep:
        planner.reshaped(node, made, shape_of(node))


def _axes(planner: Planner, node: Any) -> tuple[Any, tuple[int, ...], bool]:
    given = named(node)
    x, axes, keep = node.args[0], given.get("dim"), given.get("keepdim", False)
    rank = len(shape_of(x))
    if not isinstance(axes, list | tuple | int) or axes == []:
        axes = range(rank)
    chosen = sorted(axis_of(axis, rank) for axis in ([axes] if isinstance(axes, int) else axes))
    if len(chosen) == rank and not keep:
        raise planner.unsupported(node, "over all axes is not defined; leave out the batch axis")
    return x, tuple(chosen), bool(keep)


def reduction(op: str) -> Callable[[Planner, Any], None]:
    """The rule of a reduction that runs in float."""

    def reduce(planner: Planner, node: Any) -> None:
        x, axes, keep = _axes(planner, node)
        planner.add(node, op, [x], attributes={"axes": axes, "keep": keep})

    return reduce


def largest(op: str) -> Callable[[Planner, Any], None]:
    """The rule of ``max`` and ``min``: of two tensors, or along an axis without the places."""

    def find(planner: Planner, node: Any) -> None:
        if len(node.args) > 1 and hasattr(node.args[1], "op"):
            combine(planner, node, {"float_max": "maximum", "float_min": "minimum"}[op], *node.args[:2])
            return
        if not isinstance(node.meta["val"], tuple | list):
            raise planner.unsupported(node, "over all axes is not defined; leave out the batch axis")
        x, axis, keep = arguments(node, None, None, False)
        taken = {user.args[1]: user for user in node.users if user.users}
        if 1 in taken:
            raise planner.unsupported(node, "with the places of what it finds is not defined; use amax or amin")
        settings = {"axes": (axis_of(axis, len(shape_of(x))),), "keep": bool(keep)}
        planner.add(node, op, [x], taken.get(0), attributes=settings)

    return find


RULES = {
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "amax": reduction("float_max"),
    "amin": reduction("float_min"),
    "avg_pool2d": avg_pool2d,
    "max": largest("float_max"),
    "max_pool2d": max_pool2d,
    "mean": mean,
    "min": largest("float_min"),
    "sum": reduction("float_sum"),
}
