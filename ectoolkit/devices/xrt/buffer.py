"""Memory on a board, seen from a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.devices.xrt import messages as m
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from ectoolkit.devices.xrt.board import Board


class Buffer:
    """Memory in a bank of the board, with a half on the host; made by `Board.buffer`.

    Attributes:
        board: that it is of.
        size_bytes: of each half.
        bank: index into the xclbin's memories.
        handle: the child's number for it.
    """

    def __init__(self, board: Board, handle: int, size_bytes: int, bank: int) -> None:
        self.board = board
        self._process = board._process
        self.handle = handle
        self.size_bytes = size_bytes
        self.bank = bank
        self._freed = False

    def __repr__(self) -> str:
        return f"Buffer({self.size_bytes} bytes in bank {self.bank}{'' if self.alive else ', freed'})"

    @property
    def alive(self) -> bool:
        """Whether it can be used: not freed, and its board still open."""
        process = self._process
        return not self._freed and process is not None and process is self.board._process and process.alive

    def write(self, array: np.ndarray, offset: int = 0) -> None:
        """Fill the host's half; the device sees it after `to_device`.

        Raises:
            InputError: the array does not fit.
        """
        data = np.ascontiguousarray(array).tobytes()
        self._bounds(len(data), offset)
        self.board._ask(m.Write(self.handle, data, offset), "fill a buffer")

    def read(self, dtype: str, shape: int | tuple[int, ...], offset: int = 0) -> np.ndarray:
        """A copy of the host's half, which `from_device` filled.

        Raises:
            InputError: there is less in the buffer.
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        self._bounds(size, offset)
        reply = self.board._ask(m.Read(self.handle, size, offset), "read a buffer")
        return np.frombuffer(reply.data, kind).reshape(shape).copy()

    def to_device(self) -> None:
        """Copy the host's half to the device's."""
        self.board._ask(m.Sync(self.handle, True, self.size_bytes, 0), "copy a buffer to the device")

    def from_device(self) -> None:
        """Copy the device's half to the host's."""
        self.board._ask(m.Sync(self.handle, False, self.size_bytes, 0), "copy a buffer from the device")

    def free(self) -> None:
        """Give the memory back; twice is harmless."""
        if self.alive:
            self.board._ask(m.Free(self.handle), "free a buffer")
        self._freed = True

    def _bounds(self, size: int, offset: int) -> None:
        if offset < 0 or offset + size > self.size_bytes:
            raise InputError(f"{size} bytes at {offset} do not fit a buffer of {self.size_bytes} bytes")
