"""concat: any number of inputs in one kernel, built statement by statement because their number varies."""

from __future__ import annotations

from math import prod

from tvm.script import tirx as T
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as I

from ectoolkit.builders.cpu.kernels.fixed_point import to_code


def concat(shapes, axis, factors, zero_point, low, high):
    """uint8 tensors joined along an axis (of the shapes given), each moved to the output's grid.

    Args:
        shapes: of the inputs.
        axis: along which they are joined.
        factors: for each input ``(zero point, multiplier, shift)``, None where it is on the output's grid already.
        zero_point, low, high: of the output: code of real 0, smallest, largest.
    """
    outer = prod(shapes[0][:axis])
    widths = [prod(shape[axis:]) for shape in shapes]
    joined = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    with IRBuilder() as builder:
        with I.prim_func(s_tir=True):
            I.func_name("concat")
            I.func_attr({"tirx.noalias": True})
            handles = [I.arg(f"x{i}", I.handle()) for i in range(len(shapes))]
            handles.append(I.arg("y", I.handle()))
            shaped = [I.match_buffer(*pair, "uint8") for pair in zip(handles, (*shapes, joined), strict=True)]
            *given, y = [I.decl_buffer((prod(buffer.shape),), "uint8", data=buffer.data) for buffer in shaped]
            I.sblock_alloc_buffer((1,), "uint8", scope="local")
            with I.parallel(0, outer) as row:
                begin = 0
                for x, width, factor in zip(given, widths, factors, strict=True):
                    with I.serial(0, width) as i:
                        code = x[row * width + i]
                        value = code if factor is None else _moved(code, *factor, zero_point, low, high)
                        I.buffer_store(y, value, [row * sum(widths) + begin + i])
                    begin += width
    return builder.get()


def _moved(code, input_zero, multiplier, shift, zero_point, low, high):
    centred = T.Cast("int32", code) - input_zero
    return T.Cast("uint8", to_code(centred, 255, multiplier, shift, (zero_point, low, high)))
