"""What every operation offers: a shape rule, a check of its own laws and the reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.errors import VerificationError


class Op(ABC):
    """One operation of the integer graph; stateless, one instance in `ectoolkit.core.ops.OPS`.

    Attributes:
        name: key in the graph.
        arity: number of inputs, constants included; None where it varies.
        input_dtypes: the dtypes each input may have; the last entry repeats where `arity` is None.
        attributes: names of the settings a node must carry.
        rank: of the first input; None where any will do.
        output_dtypes: the dtypes the result may have.
        real: True where the operation computes on real numbers, so that its layer runs in float.
    """

    name: ClassVar[str]
    arity: ClassVar[int | None]
    input_dtypes: ClassVar[tuple[tuple[str, ...], ...]]
    attributes: ClassVar[tuple[str, ...]] = ()
    rank: ClassVar[int | None] = None
    output_dtypes: ClassVar[tuple[str, ...]] = ("uint8",)
    real: ClassVar[bool] = False

    @abstractmethod
    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        """Shape of the result, from the inputs' shapes and the node's settings."""

    @abstractmethod
    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The exact result; `arrays` are in the layout and dtype of `inputs`."""

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        """Raise `VerificationError` where the node breaks a law that shapes and dtypes do not show."""

    def macs(self, node: Node, inputs: Sequence[Value], output: Value) -> int:
        """Multiply-accumulates of one run; 0 where the operation has none."""
        return 0

    def output_spec(self, node: Node, inputs: Sequence[Value], dtype: str) -> TensorSpec:
        """Shape by `output_shape`, the given dtype, and the layout that activations of that rank have.

        Raises:
            VerificationError: the inputs' number or shapes do not fit the operation.
        """
        takes = "at least one input" if self.arity is None else f"{self.arity} inputs"
        expect(len(inputs) == (self.arity or max(len(inputs), 1)), node, f"takes {takes}, got {len(inputs)}")
        first = inputs[0]
        expect(
            self.rank in (None, len(first.spec.shape)),
            node,
            f"takes an input of {self.rank} axes, got {first.name}: {first.spec}",
        )
        shape = self.output_shape(node, inputs)
        return TensorSpec(shape, dtype, Layout.of_activation(len(shape)))


def grid(value: Value) -> QuantParams:
    """The quantization of a value that must have one."""
    if value.quant is None:
        raise VerificationError(f"{value.name} is {value.spec} without quantization parameters; integers need a scale")
    return value.quant


def expect(condition: bool, node: Node, what: str) -> None:
    """Raise `VerificationError` naming the layer and what it must keep, unless `condition`."""
    if not condition:
        raise VerificationError(f"layer {node.name} ({node.op}): {what}")


def same_grid(node: Node, first: Value, second: Value) -> None:
    """Require that an operation which only moves or selects elements leaves their meaning alone."""
    expect(
        first.spec.dtype == second.spec.dtype,
        node,
        f"{first.name} and {second.name} must have one dtype, got {first.spec.dtype} and {second.spec.dtype}",
    )
    if first.spec.dtype == "float32":
        return
    expect(
        grid(first) == grid(second),
        node,
        f"{first.name} and {second.name} must share scale and zero point, got {first.quant} and {second.quant}",
    )


def codes(moved: np.ndarray, quant: QuantParams, relu: bool = False) -> np.ndarray:
    """Steps from the zero point as codes of a grid: uint8, cut at the grid's ends, under ReLU at its zero point."""
    low = quant.zero_point if relu else quant.quant_min
    return np.clip(moved + quant.zero_point, low, quant.quant_max).astype(np.uint8)


def pair(node: Node, name: str) -> tuple[int, int]:
    """A setting that holds rows and columns.

    Raises:
        VerificationError: it is no pair, or holds what cannot be: a stride of 0, a padding below 0.
    """
    value, least = node.attributes[name], 0 if name == "padding" else 1
    ok = isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) and v >= least for v in value)
    expect(ok, node, f"{name} is {value!r}, expected (rows, columns), whole numbers from {least}")
    assert isinstance(value, tuple)
    return value[0], value[1]


def whole(node: Node, name: str) -> int:
    """A setting that is one whole number.

    Raises:
        VerificationError: it is something else.
    """
    value = node.attributes[name]
    expect(isinstance(value, int), node, f"{name} is {value!r}, expected a whole number")
    assert isinstance(value, int)
    return value


def wholes(node: Node, name: str) -> tuple[int, ...]:
    """A setting that holds several whole numbers.

    Raises:
        VerificationError: it is something else.
    """
    value = node.attributes[name]
    ok = isinstance(value, tuple) and all(isinstance(v, int) for v in value)
    expect(ok, node, f"{name} is {value!r}, expected whole numbers")
    assert isinstance(value, tuple)
    return value


def numbers(node: Node, name: str, count: int) -> tuple[float, ...]:
    """A setting that holds `count` finite numbers.

    Raises:
        VerificationError: it is something else.
    """
    value = node.attributes[name]
    ok = isinstance(value, tuple) and all(isinstance(v, int | float) and np.isfinite(v) for v in value)
    expect(ok and len(value) == count, node, f"{name} is {value!r}, expected {count} finite numbers")  # type: ignore[arg-type]
    return tuple(float(v) for v in value)  # type: ignore[attr-defined]


def number(node: Node, name: str) -> float:
    """A setting that is one finite number.

    Raises:
        VerificationError: it is something else.
    """
    value = node.attributes[name]
    expect(isinstance(value, int | float) and bool(np.isfinite(value)), node, f"{name} is {value!r}, expected a number")
    return float(value)  # type: ignore[arg-type]
