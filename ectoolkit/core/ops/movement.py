"""slice, transpose and gather: the same elements, fewer, more or in another order; the grid stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops.base import Op, expect, same_grid, whole, wholes


class _Moved(Op):
    arity = 1
    input_dtypes = (("uint8", "float32"),)
    output_dtypes = ("uint8", "float32")

    def check(self, node: Node, inputs: Sequence[Value], output: Value, constants: Sequence[np.ndarray | None]) -> None:
        same_grid(node, inputs[0], output)


class Slice(_Moved):
    """Input: uint8 or float32, any shape.  Output: ``begin`` to before ``end`` along ``axis``."""

    name = "slice"
    attributes = ("axis", "begin", "end")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        axis, begin, end = (whole(node, name) for name in self.attributes)
        shape = inputs[0].spec.shape
        fits = 0 <= axis < len(shape) and 0 <= begin < end <= shape[axis]
        expect(fits, node, f"{begin}:{end} along axis {axis} does not lie inside {shape}")
        return (*shape[:axis], end - begin, *shape[axis + 1 :])

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        axis, begin, end = (whole(node, name) for name in self.attributes)
        return np.take(arrays[0], range(begin, end), axis=axis)


class Transpose(_Moved):
    """Input: uint8 or float32, any shape.  Output: axis ``order[i]`` of the input in place ``i``."""

    name = "transpose"
    attributes = ("order",)

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        order = wholes(node, "order")
        shape = inputs[0].spec.shape
        expect(sorted(order) == list(range(len(shape))), node, f"order {order} does not permute the axes of {shape}")
        return tuple(shape[axis] for axis in order)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        return np.ascontiguousarray(arrays[0].transpose(wholes(node, "order")))


class Gather(_Moved):
    """Input: uint8 or float32, any shape.  Output: along each of ``axes``, the elements at the given places.

    So are made: enlarging by any factor, reflecting and repeating frames, flips, steps, repeats.

    Attributes of a node: ``axes``; ``sizes``, how many elements the output has along each of them; ``indices``, the
    places in the input, those of the first axis first.
    """

    name = "gather"
    attributes = ("axes", "sizes", "indices")

    def output_shape(self, node: Node, inputs: Sequence[Value]) -> tuple[int, ...]:
        shape = list(inputs[0].spec.shape)
        axes, sizes = wholes(node, "axes"), wholes(node, "sizes")
        fits = len(set(axes)) == len(axes) == len(sizes) and all(0 <= axis < len(shape) for axis in axes)
        expect(fits, node, f"axes {axes} with sizes {sizes} do not fit {tuple(shape)}")
        total, given = sum(sizes), len(wholes(node, "indices"))
        expect(min(sizes, default=0) > 0 and total == given, node, f"sizes {sizes} do not divide {given} indices")
        for axis, places in places_of(node).items():
            low, high, extent = min(places), max(places), shape[axis]
            expect(low >= 0 and high < extent, node, f"indices {low}..{high} leave axis {axis}, 0..{extent - 1}")
            shape[axis] = len(places)
        return tuple(shape)

    def evaluate(self, node: Node, inputs: Sequence[Value], output: Value, arrays: Sequence[np.ndarray]) -> np.ndarray:
        result = arrays[0]
        for axis, places in places_of(node).items():
            result = np.take(result, places, axis=axis)
        return result


def places_of(node: Node) -> dict[int, tuple[int, ...]]:
    """Of a gather: the places in the input for each axis."""
    indices, found, begin = wholes(node, "indices"), {}, 0
    for axis, size in zip(wholes(node, "axes"), wholes(node, "sizes"), strict=True):
        found[axis] = indices[begin : begin + size]
        begin += size
    return found
