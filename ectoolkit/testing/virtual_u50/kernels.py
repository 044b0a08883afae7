"""Models in numpy of the virtual board's kernels, and what its xclbin says of them.

Each takes the device's memory and its arguments as the registers hold them: addresses and 32-bit numbers.  `conv_i8`
and `gemm_i8` are written for themselves, in int64, so that a comparison with the interpreter compares two things.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.devices.xrt.programs import decode_program
from ectoolkit.testing.virtual_u50.memory import DeviceMemory
from ectoolkit.testing.virtual_u50.xclbin_file import KernelSpec, Parameter


def vector_add(memory: DeviceMemory, a: int, b: int, c: int, count: int) -> None:
    """``c = a + b``, int32."""
    memory.view(c, count, "<i4")[:] = memory.view(a, count, "<i4") + memory.view(b, count, "<i4")


def scale(memory: DeviceMemory, x: int, y: int, factor: float, count: int) -> None:
    """``y = x · factor``, float32."""
    memory.view(y, count, "<f4")[:] = memory.view(x, count, "<f4") * np.float32(factor)


def conv_i8(memory: DeviceMemory, x: int, weight: int, channels: int, y: int, settings: int) -> None:
    """A convolution with requantize, as `ectoolkit.devices.xrt.layer` describes it in its buffers.

    ``x`` uint8 NCHW, ``weight`` int8 OIHW, ``channels`` int64 ``(O, 3)``: bias, multiplier, shift.  ``y`` uint8 NCHW,
    or the int32 sums where the last setting is 1.
    """
    s = [int(number) for number in memory.view(settings, 20, "<i4")]
    n, c, h, w, o, per_group, kh, kw, sh, sw, ph, pw, dh, dw, groups, zero_in, zero_out, low, high, raw = s
    codes = memory.view(x, n * c * h * w, "u1").reshape(n, c, h, w).astype(np.int64) - zero_in
    taps = memory.view(weight, o * per_group * kh * kw, "i1").reshape(groups, o // groups, per_group, kh, kw)
    bias, multiplier, shift = memory.view(channels, o * 3, "<i8").reshape(o, 3).T[:, :, None, None]
    padded = np.pad(codes, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    reach = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    windows = sliding_window_view(padded, reach, axis=(2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]
    grouped = windows.reshape(n, groups, per_group, *windows.shape[2:])
    sums = np.einsum("ngcyxij,gocij->ngoyx", grouped, taps.astype(np.int64), optimize=True)
    sums = sums.reshape(n, o, *sums.shape[3:]) + bias
    if raw:
        memory.view(y, sums.size, "<i4")[:] = sums.ravel()
        return
    rounded = (sums * multiplier + (np.int64(1) << (shift - 1))) >> shift
    memory.view(y, sums.size, "u1")[:] = np.clip(rounded + zero_out, low, high).ravel()


def gemm_i8(memory: DeviceMemory, x: int, weight: int, channels: int, y: int, settings: int) -> None:
    """A fully connected layer: ``channels`` is int32 bias and float32 ratio ``(O, 2)``; rounds in float32."""
    rows, inner, outputs, zero_in, zero_out, low, high = (int(v) for v in memory.view(settings, 7, "<i4"))
    codes = memory.view(x, rows * inner, "u1").reshape(rows, inner).astype(np.int64) - zero_in
    taps = memory.view(weight, outputs * inner, "i1").reshape(outputs, inner).astype(np.int64)
    bias = memory.view(channels, outputs * 2, "<i4")[0::2].astype(np.int64)
    ratio = memory.view(channels, outputs * 2, "<f4")[1::2]
    scaled = (codes @ taps.T + bias).astype(np.float32) * ratio
    steps = np.clip(np.floor(scaled + np.float32(0.5)), -512, 512).astype(np.int64)
    memory.view(y, rows * outputs, "u1")[:] = np.clip(steps + zero_out, low, high).ravel()


def run_graph(
    memory: DeviceMemory, program: int, x: int, y: int, program_bytes: int, x_bytes: int, y_bytes: int
) -> None:
    """A whole network: the interpreter stands for the accelerator.

    ``program`` is that of `ectoolkit.devices.xrt.programs`; ``x`` and ``y`` hold all inputs and outputs one after
    another, float32, in the graph's layout.
    """
    graph = _graph(memory.view(program, program_bytes, "u1").tobytes())
    numbers, inputs, at = memory.view(x, x_bytes // 4, "<f4"), {}, 0
    for name in graph.inputs:
        spec = graph.values[name].spec
        inputs[name] = numbers[at : at + spec.size].reshape(spec.shape).copy()
        at += spec.size
    outputs = interpret(graph, inputs)
    memory.view(y, y_bytes // 4, "<f4")[:] = np.concatenate([output.ravel() for output in outputs])


_decoded: dict[str, Graph] = {}


def _graph(data: bytes) -> Graph:
    """Decode a program once; the board holds the last one only."""
    key = hashlib.sha256(data).hexdigest()
    if key not in _decoded:
        _decoded.clear()
        _decoded[key] = decode_program(data)
    return _decoded[key]


def _spec(name: str, buffers: str, scalars: str = "") -> KernelSpec:
    """A kernel whose buffers lie in banks 0, 1, 2, ...; a scalar is ``name`` or ``name:type``."""
    placed = [Parameter(buffer, bank) for bank, buffer in enumerate(buffers.split())]
    typed = [scalar.partition(":") for scalar in scalars.split()]
    return KernelSpec(name, (*placed, *(Parameter(scalar, type=kind or "uint") for scalar, _, kind in typed)))


KERNELS: dict[str, tuple[KernelSpec, Callable[..., None]]] = {
    spec.name: (spec, model)
    for spec, model in (
        (_spec("vector_add", "a b c", "count"), vector_add),
        (_spec("scale", "x y", "factor:float count"), scale),
        (_spec("conv_i8", "x weight channels y settings"), conv_i8),
        (_spec("gemm_i8", "x weight channels y settings"), gemm_i8),
        (_spec("ectoolkit_graph", "program x y", "program_bytes x_bytes y_bytes"), run_graph),
    )
}
