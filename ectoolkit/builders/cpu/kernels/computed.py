"""Kernels written as tensor expressions: for what need not be fast.

The expressions see tensors as the graph has them (NCHW); reading and writing puts the axes in the library's order.
TVM makes plain loops of them, without vectors or threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import te


@dataclass(frozen=True)
class Tensor:
    """A tensor as a kernel sees it.

    Attributes:
        shape: in the graph's order of axes.
        axes: which of them stands at each place inside the library.
        dtype: numpy name.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: str

    @property
    def inside(self) -> tuple[int, ...]:
        """Shape inside the library."""
        return tuple(self.shape[axis] for axis in self.axes)


def computed(expression: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a template of an expression: ``template(operands, output, *settings)`` gives a PrimFunc.

    Args:
        expression: called with one ``te.Tensor`` an operand, the output's shape, and the settings; gives a
            ``te.Tensor`` of that shape.  float32 operands come as float64, and what comes back is rounded to the
            output's dtype.
    """

    @functools.wraps(expression)
    def template(operands: tuple[Tensor, ...], output: Tensor, *settings: Any) -> Any:
        given = [te.placeholder(operand.inside, operand.dtype, f"x{i}") for i, operand in enumerate(operands)]
        read = [_read(array, operand) for array, operand in zip(given, operands, strict=True)]
        result = expression(*read, output.shape, *settings)
        return te.create_prim_func([*given, _written(result, output)])

    return template


def _read(array: Any, operand: Tensor) -> Any:
    """The operand in the graph's order of axes, float32 as float64."""
    dtype = "float64" if operand.dtype == "float32" else operand.dtype
    if dtype == operand.dtype and operand.axes == tuple(range(len(operand.axes))):
        return array
    return te.compute(
        operand.shape, lambda *place: array(*[place[axis] for axis in operand.axes]).astype(dtype), name="read"
    )


def _written(result: Any, output: Tensor) -> Any:
    where = [output.axes.index(axis) for axis in range(len(output.axes))]
    return te.compute(
        output.inside, lambda *place: result(*[place[at] for at in where]).astype(output.dtype), name="written"
    )
