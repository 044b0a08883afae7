"""What each ATen operation becomes: one small function an operation, one file a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ectoolkit.frontends.exported.planner import Planner
from ectoolkit.frontends.exported.rules import (
    arithmetic,
    functions,
    movement,
    normalization,
    pooling,
    resizing,
    selection,
    weights,
)

FAMILIES = (weights, arithmetic, functions, normalization, pooling, resizing, movement, selection)

#: rule of each operation, by its name without namespace, overload and the underscore of its in-place form
RULES: Mapping[str, Callable[[Planner, Any], None]] = MappingProxyType(
    {name: rule for family in FAMILIES for name, rule in family.RULES.items()}
)


def known_operations() -> tuple[str, ...]:
    """Names of the ATen operations that have a rule, sorted; as ``x.cumsum(1)`` is ``"cumsum"``."""
    return tuple(sorted(RULES))
