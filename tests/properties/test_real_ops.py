"""Operations on real numbers against torch in float64, and the compiled functions against numpy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from ectoolkit.builders.cpu.kernels.functions import FUNCTIONS as KERNEL_FUNCTIONS
from ectoolkit.core.functions import FUNCTIONS, function_of, parameter_names
from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops import OPS
from ectoolkit.core.types import Layout, TensorSpec
from ectoolkit.testing.captured import compiled

T = torch.Tensor
NUMBERS = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return NUMBERS.standard_normal(shape).astype(np.float32)


def run(op: str, arrays: list[np.ndarray], settings: dict[str, object]) -> np.ndarray:
    values = [Value(f"v{i}", TensorSpec(a.shape, "float32", Layout.ANY)) for i, a in enumerate(arrays)]
    node = Node("node", op, tuple(value.name for value in values), settings)
    output = Value("node", OPS[op].output_spec(node, values, "float32"))
    OPS[op].check(node, values, output, list(arrays))
    found = OPS[op].evaluate(node, values, output, arrays)
    assert (found.shape, found.dtype) == (output.spec.shape, np.float32)
    return found


CONVOLUTION = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
CASES: list[tuple[str, list[np.ndarray], dict[str, object], Callable[..., T]]] = [
    ("float_add", [array(2, 3, 4, 5), array(3, 1, 5)], {}, torch.add),
    ("float_divide", [array(4, 5), array(2, 1, 5)], {}, torch.div),
    ("float_power", [np.abs(array(4, 5)), array(4, 5)], {}, torch.pow),
    ("float_maximum", [array(4, 5), array(1, 5)], {}, torch.maximum),
    ("float_mean", [array(2, 3, 4, 5)], {"axes": (1, 3), "keep": False}, lambda x: x.mean((1, 3))),
    ("float_max", [array(2, 3, 4, 5)], {"axes": (2,), "keep": True}, lambda x: x.amax(2, keepdim=True)),
    ("float_sum", [array(2, 3)], {"axes": (1,), "keep": False}, lambda x: x.sum(1)),
    ("float_softmax", [array(2, 7, 3) * 30], {"axis": 1, "log": False}, lambda x: F.softmax(x, 1)),
    ("float_softmax", [array(2, 7, 3) * 30], {"axis": 2, "log": True}, lambda x: F.log_softmax(x, 2)),
    ("float_layer_norm", [array(2, 3, 4, 5), array(4, 5), array(4, 5)], {"epsilon": 1e-5},
     lambda x, w, b: F.layer_norm(x, (4, 5), w, b, 1e-5)),
    ("float_group_norm", [array(2, 6, 3, 5), array(6), array(6)], {"groups": 3, "epsilon": 1e-3},
     lambda x, w, b: F.group_norm(x, 3, w, b, 1e-3)),
    ("float_prelu", [array(2, 6, 3), array(6)], {}, F.prelu),
    ("float_matmul", [array(2, 1, 4, 5), array(3, 5, 6)], {}, torch.matmul),
    ("float_linear", [array(2, 3, 5), array(4, 5), array(4)], {}, F.linear),
    ("float_attention", [array(2, 3, 4, 8), array(2, 3, 5, 8), array(2, 3, 5, 6)], {"scale": 8**-0.5},
     F.scaled_dot_product_attention),
    ("float_conv2d", [array(2, 4, 6, 7), array(6, 2, 3, 2), array(6)], CONVOLUTION,
     lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 2)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "arrays", "settings", "oracle"), CASES, ids=[case[0] for case in CASES])
def test_as_torch(op: str, arrays: list[np.ndarray], settings: dict[str, object], oracle: Callable[..., T]) -> None:
    expected = oracle(*(torch.from_numpy(a).double() for a in arrays)).numpy()
    np.testing.assert_allclose(run(op, arrays, settings), expected, rtol=2e-7, atol=1e-7)


def one_node(op: str, arrays: list[np.ndarray], settings: dict[str, object]) -> Graph:
    builder = GraphBuilder(op)
    names = [builder.input(arrays[0].shape)]
    names += [builder.constant(f"c{i}", a, Layout.ANY, None) for i, a in enumerate(arrays[1:])]
    return builder.finish([builder.node(op, "node", names, None, settings, dtype="float32")])


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_compiled(layout: str) -> None:
    """All at once, in one library."""
    for op, arrays, settings, _ in CASES:
        graph = one_node(op, arrays, settings)
        found = compiled(graph, layout)(arrays[0])[0]
        np.testing.assert_array_equal(found, run(op, arrays, settings), err_msg=op)


def parameters_of(name: str) -> tuple[float, ...]:
    return {"clamp": (-0.5, 0.75), "softplus": (2.0, 3.0), "elu": (1.5, 1.1, 0.7), "threshold": (0.1, -2.0)}.get(
        name, (0.75,) * len(parameter_names(name))
    )


def test_functions_are_the_same_on_both_sides() -> None:
    assert list(KERNEL_FUNCTIONS) == list(FUNCTIONS)


def test_compiled_functions() -> None:
    """One library with them all; where a function has no value, neither side has."""
    builder, x = GraphBuilder("functions"), np.linspace(-6, 6, 481, dtype=np.float32).reshape(1, -1)
    source = builder.input(x.shape)
    for name in FUNCTIONS:
        settings = {"function": name, "parameters": parameters_of(name)}
        builder.node("float_function", name, [source], None, settings, dtype="float32")
    graph = builder.finish(list(FUNCTIONS))
    for name, found in zip(FUNCTIONS, compiled(graph)(x), strict=True):
        with np.errstate(all="ignore"):
            expected = function_of(name, parameters_of(name))(x.astype(np.float64)).astype(np.float32)
        assert (found == expected)[~np.isnan(expected)].mean() > 0.995, name
        np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) & set(dir(F)) - {"threshold", "softplus", "elu", "gelu"}))
def test_functions_as_torch(name: str) -> None:
    x = np.linspace(-6, 6, 97)
    settings = parameters_of(name)
    expected = getattr(F, name)(torch.from_numpy(x), *settings).numpy()
    np.testing.assert_allclose(function_of(name, settings)(x), expected, rtol=1e-12, atol=1e-15)
