"""How messages travel on a session's connection, from both sides: eight bytes of length, least first, then the message.

TVM's own protocol, which carried them before, handles each byte by itself; decision 0017 has the times.
"""

from __future__ import annotations

import socket
import struct

import numpy as np

_LENGTH = struct.Struct("<Q")
#: around the data in a message: names, types, lengths
OVERHEAD_BYTES = 1 << 16
#: up to which a copy takes less than another packet
_SMALL_BYTES = 1 << 14


class Channel:
    """Sends and receives messages, one after another; OSError where the connection breaks.

    Args:
        connection: blocking, and not waiting to fill packets; closed by somebody else.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send a message."""
        head = _LENGTH.pack(len(data))
        if len(data) > _SMALL_BYTES:
            self._connection.sendall(head)
            self._connection.sendall(data)
        else:
            self._connection.sendall(head + data)

    def coming(self) -> int | None:
        """Wait for a message; its bytes, which the caller judges before `receive`, or None where there is no more."""
        head = bytearray(_LENGTH.size)
        if not self._fill(memoryview(head)):
            return None
        (size,) = _LENGTH.unpack(head)
        return int(size)

    def receive(self, size_bytes: int) -> memoryview:
        """The message that is coming, in memory of its own."""
        data = np.empty(size_bytes, np.uint8).data
        if size_bytes and not self._fill(data):
            raise ConnectionError("it ended in the middle of a message")
        return data

    def _fill(self, view: memoryview) -> bool:
        """Whether it could be; not where the connection ended before the first byte."""
        done = 0
        while done < len(view):
            got = self._connection.recv_into(view[done:])
            if not got:
                if done:
                    raise ConnectionError("it ended in the middle of a message")
                return False
            done += got
        return True
