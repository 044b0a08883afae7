"""Messages between the driver's library and the board's process: the structures of ``driver/board.h``."""

from __future__ import annotations

import socket
import struct
from enum import IntEnum

REQUEST = struct.Struct("=IIQQQ")
ANSWER = struct.Struct("=iIQ")
COMPLETION = struct.Struct("=II")


class RequestKind(IntEnum):
    """What is asked; CONTROL comes from Python alone, as JSON."""

    HELLO = 1
    EVENTS = 2
    LOAD = 3
    CREATE = 4
    FREE = 5
    CONTEXT = 6
    EXECUTE = 7
    CONTROL = 8


class CommandState(IntEnum):
    """The ends of a command (``ert_cmd_state``)."""

    COMPLETED = 4
    ERROR = 5
    ABORT = 6


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly that many bytes.

    Raises:
        EOFError: the other side closed.
    """
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
