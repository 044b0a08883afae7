"""The laws of a graph, checked in one place.

Every frontend and pass ends here, so that the interpreter and the builders may trust what they are given.
"""

from __future__ import annotations

import numpy as np

from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.ops import OPS, Op
from ectoolkit.core.ops.base import grid
from ectoolkit.errors import UnsupportedOpError, VerificationError

#: integer dtypes of a graph: activations, weights, biases and accumulators
DTYPES = ("uint8", "int8", "int32")


def verify(graph: Graph) -> None:
    """Check the whole graph.

    Raises:
        VerificationError: a law is broken; the message names the layer.
        UnsupportedOpError: an operation is not known.
        QuantizationError: a ratio of scales cannot be represented.
    """
    _verify_ends(graph)
    for name, value in graph.values.items():
        _verify_value(name, value)
    known = {*graph.inputs, *graph.constants}
    for name, array in graph.constants.items():
        _verify_constant(graph.values.get(name), name, array.shape, array.dtype.name)
    for node in graph.nodes:
        _verify_node(graph, node, known)
        known.add(node.name)
    unmade = [name for name in graph.values if name not in known]
    if unmade:
        raise VerificationError(f"{graph.name}: no node makes {unmade[0]!r}; remove the value or add its node")
    missing = [name for name in graph.outputs if name not in known]
    if missing:
        raise VerificationError(f"{graph.name}: output {missing[0]!r} is made by no node")


def _verify_ends(graph: Graph) -> None:
    if not graph.inputs or not graph.outputs:
        raise VerificationError(f"{graph.name}: a graph needs at least one input and one output")
    for name in (*graph.inputs, *graph.outputs, *(node.name for node in graph.nodes)):
        if name not in graph.values:
            raise VerificationError(f"{graph.name}: {name!r} has no description among the graph's values")
    for name in (*graph.inputs, *graph.outputs):
        spec = graph.values[name].spec
        if spec.dtype != "float32":
            raise VerificationError(f"{graph.name}: {name} is {spec}; inputs and outputs are float32")


def _verify_value(name: str, value: Value) -> None:
    """A value's grid is one that its dtype can hold: what it cannot would wrap."""
    spec, quant = value.spec, value.quant
    if value.name != name:
        raise VerificationError(f"the value {name!r} is described under another name, {value.name!r}")
    if spec.dtype == "float32":
        if quant is not None:
            raise VerificationError(f"{name} is {spec} with quantization parameters; only integers have them")
        return
    if spec.dtype not in DTYPES:
        raise VerificationError(f"{name} is {spec}; the graph knows float32, {', '.join(DTYPES)}")
    quant, limits = grid(value), np.iinfo(spec.dtype)
    if quant.quant_min < limits.min or quant.quant_max > limits.max:
        raise VerificationError(
            f"{name} is {spec} with codes {quant.quant_min}..{quant.quant_max}, more than {spec.dtype} holds"
        )
    if quant.axis is not None and spec.dtype == "uint8":
        raise VerificationError(f"{name} is {spec} with a scale per channel; an activation has one scale")
    if quant.axis is not None and spec.shape[quant.axis : quant.axis + 1] != quant.scale.shape:
        raise VerificationError(f"{name} is {spec} with {quant.scale.size} scales along axis {quant.axis}")


def _verify_constant(value: Value | None, name: str, shape: tuple[int, ...], dtype: str) -> None:
    if value is None or value.spec.shape != shape or value.spec.dtype != dtype:
        raise VerificationError(f"constant {name} is {dtype} {shape} but described as {value and value.spec}")


def _verify_node(graph: Graph, node: Node, known: set[str]) -> None:
    op = op_of(node)
    if node.name in known:
        raise VerificationError(f"two values are named {node.name!r}; names must be unique")
    unknown = [name for name in node.inputs if name not in known]
    if unknown:
        raise VerificationError(f"layer {node.name} reads {unknown[0]!r}, which nothing before it makes")
    missing = [name for name in op.attributes if name not in node.attributes]
    if missing:
        raise VerificationError(f"layer {node.name} ({node.op}) lacks the setting {missing[0]!r}")
    inputs = [graph.values[name] for name in node.inputs]
    output = graph.values[node.name]
    _verify_signature(node, op, inputs)
    spec = op.output_spec(node, inputs, output.spec.dtype)
    if spec.dtype not in op.output_dtypes:
        raise VerificationError(
            f"layer {node.name} ({node.op}) makes {' or '.join(op.output_dtypes)}, but is described as {output.spec}"
        )
    if spec != output.spec:
        raise VerificationError(f"layer {node.name} ({node.op}) makes {spec}, but is described as {output.spec}")
    op.check(node, inputs, output, [graph.constants.get(name) for name in node.inputs])


def _verify_signature(node: Node, op: Op, inputs: list[Value]) -> None:
    for position, value in enumerate(inputs):
        allowed = op.input_dtypes[min(position, len(op.input_dtypes) - 1)]
        if value.spec.dtype not in allowed:
            raise VerificationError(
                f"layer {node.name} ({node.op}) takes {' or '.join(allowed)} as input {position}, "
                f"got {value.name}: {value.spec}"
            )


def op_of(node: Node) -> Op:
    """The operation of a node.

    Raises:
        UnsupportedOpError: there is none of that name.
    """
    try:
        return OPS[node.op]
    except KeyError:
        raise UnsupportedOpError(
            f"layer {node.name} uses {node.op!r}, which the integer graph does not define; it knows "
            f"{', '.join(sorted(OPS))}"
        ) from None
