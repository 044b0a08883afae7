"""Checks a call of a kernel before XRT sees it: XRT dies of a buffer for a scalar, and drops bad scalars silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.devices.xrt import messages as m
from ectoolkit.devices.xrt.buffer import Buffer
from ectoolkit.devices.xrt.xclbin import Argument, Kernel
from ectoolkit.errors import KernelArgumentError

if TYPE_CHECKING:
    from ectoolkit.devices.xrt.board import Board


def check_arguments(board: Board, kernel: Kernel, given: Sequence[Buffer | int | float]) -> list[m.Argument]:
    """The arguments as they are sent.

    Raises:
        KernelArgumentError: their number, a kind, a bank or a number's range does not fit, or a buffer is another
            board's.
    """
    wanted = kernel.arguments
    if len(given) != len(wanted):
        names = ", ".join(argument.name for argument in wanted)
        raise KernelArgumentError(f"kernel {kernel.name} takes {len(wanted)} arguments ({names}), got {len(given)}")
    return [_check(board, kernel, argument, value) for argument, value in zip(wanted, given, strict=True)]


def _check(board: Board, kernel: Kernel, argument: Argument, value: Buffer | int | float) -> m.Argument:
    which = f"argument {argument.index} ({argument.name}) of kernel {kernel.name}"
    if argument.kind == "buffer":
        if not isinstance(value, Buffer):
            raise KernelArgumentError(
                f"{which} is a buffer, got {value!r}. Make one with board.buffer({kernel.name!r}, {argument.name!r}, "
                "size_bytes)"
            )
        if not value.alive:
            raise KernelArgumentError(f"{which}: the buffer was freed, or is of a board that was closed")
        if value.board is not board:
            raise KernelArgumentError(
                f"{which}: the buffer is another Board's ({value.board.name}). Make one with this one's "
                f"buffer({kernel.name!r}, {argument.name!r}, size_bytes)"
            )
        memories = board.xclbin.memories
        if argument.banks and value.bank not in argument.banks:
            allowed = ", ".join(memories[bank].name for bank in argument.banks)
            raise KernelArgumentError(f"{which} must lie in {allowed}, got a buffer in {memories[value.bank].name}")
        return m.BufferArgument(value.handle)
    if argument.kind == "stream":
        raise KernelArgumentError(f"{which} is a stream; kernels with streams to the host are not supported")
    if isinstance(value, Buffer):
        raise KernelArgumentError(f"{which} is a scalar ({argument.type}), got a buffer")
    return _scalar(which, argument, value)


def _scalar(which: str, argument: Argument, value: int | float) -> m.ScalarArgument:
    bits = argument.size_bytes * 8
    if any(word in argument.type for word in ("float", "double")):
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise KernelArgumentError(f"{which} is a number ({argument.type}), got {value!r}")
        return m.ScalarArgument(float(value), argument.size_bytes)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise KernelArgumentError(f"{which} is a whole number ({argument.type}), got {value!r}")
    if not -(2 ** (bits - 1)) <= value < 2**bits:
        raise KernelArgumentError(f"{which} has {bits} bits ({argument.type}), got {value}")
    return m.ScalarArgument(int(value) % 2**bits, argument.size_bytes)
