"""Functions of one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ectoolkit.frontends.exported.nodes import arguments, bounds, kind_of
from ectoolkit.frontends.exported.planner import Planner

#: those of `ectoolkit.core.functions` that torch calls the same and that have no settings
PLAIN = (
    *("abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "hardsigmoid", "hardswish", "log", "log10", "log1p"),
    *("log2", "log_sigmoid", "mish", "neg", "reciprocal", "rsqrt", "sigmoid", "sign", "silu", "sin", "sqrt", "square"),
    *("tanh",),
)
#: torch's other names of plain ones
OTHER_NAMES = {"absolute": "abs", "negative": "neg", "special_erf": "erf", "special_expit": "sigmoid"}
#: those with settings: our name, and torch's defaults of the arguments behind the tensor
WITH_SETTINGS: dict[str, tuple[str, tuple[float, ...]]] = {
    "hardshrink": ("hardshrink", (0.5,)),
    "leaky_relu": ("leaky_relu", (0.01,)),
    "softplus": ("softplus", (1.0, 20.0)),
    "softshrink": ("softshrink", (0.5,)),
    "threshold": ("threshold", (0.0, 0.0)),
    "clamp_min": ("at_least", (0.0,)),
    "clamp_max": ("at_most", (0.0,)),
}
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def plain(name: str) -> Callable[[Planner, Any], None]:
    """The rule of a function without settings."""
    return lambda planner, node: planner.function(node, node.args[0], name)


def with_settings(planner: Planner, node: Any) -> None:
    name, defaults = WITH_SETTINGS[kind_of(node).removesuffix("_")]
    x, *settings = arguments(node, None, *defaults)
    planner.function(node, x, name, *settings)


def relu(planner: Planner, node: Any) -> None:
    """On codes the grid stays; a real number gets a grid of its own, if it needs one, without its negative half."""
    if planner.is_real(node.args[0]):
        planner.function(node, node.args[0], "relu")
    else:
        planner.add(node, "relu", [node.args[0]], keeps_grid=True)


def clamp(planner: Planner, node: Any) -> None:
    low, high = bounds(node)
    x = node.args[0]
    if np.isinf(low) and np.isinf(high):
        planner.names[node] = planner.source(node, x)
    elif np.isinf(high):
        planner.function(node, x, "at_least", low)
    elif np.isinf(low):
        planner.function(node, x, "at_most", high)
    else:
        planner.function(node, x, "clamp", low, high)


def gelu(planner: Planner, node: Any) -> None:
    approximate = node.kwargs.get("approximate", "none")
    planner.function(node, node.args[0], "gelu_tanh" if approximate == "tanh" else "gelu")


def elu(planner: Planner, node: Any) -> None:
    x, alpha, scale, input_scale = arguments(node, None, 1.0, 1.0, 1.0)
    planner.function(node, x, "elu", alpha, scale, input_scale)


def celu(planner: Planner, node: Any) -> None:
    x, alpha = arguments(node, None, 1.0)
    planner.function(node, x, "elu", alpha, 1.0, 1 / float(alpha))


def selu(planner: Planner, node: Any) -> None:
    planner.function(node, node.args[0], "elu", SELU_ALPHA, SELU_SCALE, 1.0)


def prelu(planner: Planner, node: Any) -> None:
    """One slope for all is a table; a slope a channel runs in float."""
    slope = planner.array(node.args[1])
    if slope is None:
        raise planner.unsupported(node, "with a computed slope is not defined")
    if slope.size == 1:
        planner.function(node, node.args[0], "leaky_relu", float(slope.ravel()[0]))
    else:
        planner.add(node, "float_prelu", [node.args[0], slope.ravel()])


_BY_NAME: dict[str, Callable[[Planner, Any], None]] = {
    "celu": celu,
    "clamp": clamp,
    "clip": clamp,
    "elu": elu,
    "gelu": gelu,
    "hardtanh": clamp,
    "prelu": prelu,
    "relu": relu,
    "relu6": clamp,
    "selu": selu,
    **{name: plain(name) for name in PLAIN},
    **{theirs: plain(ours) for theirs, ours in OTHER_NAMES.items()},
    **dict.fromkeys(WITH_SETTINGS, with_settings),
}
RULES = {name + suffix: rule for name, rule in _BY_NAME.items() for suffix in ("", "_")}
