"""Normalization by what is computed, softmax, products of tensors: all in float."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ectoolkit.frontends.exported.nodes import arguments, axis_of, named, shape_of
from ectoolkit.frontends.exported.planner import Planner


def _factors(planner: Planner, weight: Any, bias: Any, shape: tuple[int, ...]) -> list[np.ndarray]:
    given = [planner.array(weight), planner.array(bias)]
    plain = [np.ones(shape, np.float32), np.zeros(shape, np.float32)]
    return [default if array is None else array for array, default in zip(given, plain, strict=True)]


def layer_norm(planner: Planner, node: Any) -> None:
    x, shape, weight, bias, epsilon = arguments(node, None, None, None, None, 1e-5)
    factors = _factors(planner, weight, bias, tuple(int(extent) for extent in shape))
    planner.add(node, "float_layer_norm", [x, *factors], attributes={"epsilon": float(epsilon)})


def group_norm(planner: Planner, node: Any) -> None:
    x, groups, weight, bias, epsilon = arguments(node, None, 1, None, None, 1e-5)
    settings = {"groups": int(groups), "epsilon": float(epsilon)}
    planner.add(node, "float_group_norm", [x, *_factors(planner, weight, bias, shape_of(x)[1:2])], attributes=settings)


def instance_norm(planner: Planner, node: Any) -> None:
    given = named(node)
    if not given.get("use_input_stats", True):
        raise planner.unsupported(node, "with running statistics is not defined; use nn.BatchNorm2d")
    x, channels = given["input"], shape_of(given["input"])[1:2]
    settings = {"groups": channels[0], "epsilon": float(given.get("eps", 1e-5))}
    factors = _factors(planner, given.get("weight"), given.get("bias"), channels)
    planner.add(node, "float_group_norm", [x, *factors], attributes=settings)


def softmax(planner: Planner, node: Any) -> None:
    _softmax(planner, node, log=False)


def log_softmax(planner: Planner, node: Any) -> None:
    _softmax(planner, node, log=True)


def _softmax(planner: Planner, node: Any, log: bool) -> None:
    x, axis = node.args[:2]
    planner.add(node, "float_softmax", [x], attributes={"axis": axis_of(axis, len(shape_of(x))), "log": log})


def matmul(planner: Planner, node: Any) -> None:
    """A product with a constant is a linear layer where the constant stands behind."""
    left, right = node.args[:2]
    weight = planner.array(right)
    if weight is not None and weight.ndim == 2 and len(shape_of(left)) > 1:
        act = planner.fused_relu(node)
        transposed = np.ascontiguousarray(weight.T)
        planner.add(node, "linear", [left], act, attributes={"relu": act is not None}, weight=transposed)
        return
    operands = [part if (array := planner.array(part)) is None else array for part in (left, right)]
    if all(isinstance(part, np.ndarray) for part in operands):
        planner.source(node, left)
    if any(len(part.shape if isinstance(part, np.ndarray) else shape_of(part)) < 2 for part in operands):
        raise planner.unsupported(node, "of a vector is not defined; give it a second axis")
    planner.add(node, "float_matmul", operands)


def attention(planner: Planner, node: Any) -> None:
    given = named(node)
    plain = given.get("attn_mask") is None and not given.get("is_causal") and not given.get("enable_gqa")
    if not plain or given.get("dropout_p"):
        raise planner.unsupported(node, "with a mask, causal, grouped or with dropout is not defined")
    scale = given.get("scale")
    scale = 1 / math.sqrt(shape_of(given["query"])[-1]) if scale is None else float(scale)
    operands = [given["query"], given["key"], given["value"]]
    planner.add(node, "float_attention", operands, attributes={"scale": scale})


RULES = {
    "bmm": matmul,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "log_softmax": log_softmax,
    "matmul": matmul,
    "mm": matmul,
    "scaled_dot_product_attention": attention,
    "softmax": softmax,
}
