"""Reading the nodes of a captured graph."""

from __future__ import annotations

from typing import Any

import numpy as np

RELU = {"relu", "relu_"}
CLAMP = {"relu6", "relu6_", "hardtanh", "hardtanh_", "clamp", "clamp_", "clip", "clip_"}


def kind_of(node: Any) -> str:
    """An ATen operation's name without namespace and overload."""
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def flattened(value: Any) -> list[Any]:
    """The nodes in a structure of lists, tuples and dicts, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    return [node for part in value for node in flattened(part)] if isinstance(value, tuple | list) else [value]


def arguments(node: Any, *defaults: Any) -> list[Any]:
    """Positional arguments, with defaults for those not given; keyword arguments by the schema's order."""
    names = [argument.name for argument in node.target._schema.arguments]
    given = named(node)
    return [given.get(name, default) for name, default in zip(names, defaults, strict=False)]


def named(node: Any) -> dict[str, Any]:
    """The arguments given, by the schema's names."""
    names = [argument.name for argument in node.target._schema.arguments]
    return dict(zip(names, node.args, strict=False)) | dict(node.kwargs)


def bounds(node: Any) -> tuple[float, float]:
    """Of a clamp: smallest and largest value, infinite where there is none."""
    if "relu6" in kind_of(node):
        return 0.0, 6.0
    hardtanh = "hardtanh" in kind_of(node)
    low, high = arguments(node, None, -1.0 if hardtanh else None, 1.0 if hardtanh else None)[1:]
    return (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))


def ceiling(node: Any, end: Any) -> float | None:
    """Where the activation fused into a node cuts, None where it does not or there is none."""
    if end is node or kind_of(end) not in CLAMP:
        return None
    high = bounds(end)[1]
    return high if np.isfinite(high) else None


def pair(value: Any) -> tuple[int, int]:
    """Rows and columns of a setting that may be one number for both."""
    numbers = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return numbers[0], numbers[-1]


def shape_of(node: Any) -> tuple[int, ...]:
    """Shape of a node's value."""
    return tuple(int(extent) for extent in node.meta["val"].shape)


def axis_of(axis: Any, rank: int) -> int:
    """An axis counted from the front."""
    return int(axis) % max(rank, 1)
