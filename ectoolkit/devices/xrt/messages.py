"""What the notebook's process and the one that talks to XRT say to each other: typed, checked on arrival, no pickle.

A message is a length and that many bytes of MessagePack.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

_LENGTH = struct.Struct("=Q")
#: more is a broken stream, not a message; the largest bank of an Alveo card is smaller
_MOST_BYTES = 1 << 34


class Message(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    """Base of all."""


class OpenBoard(Message):
    """Open the board at a PCIe address, through ``"pyxrt"``, ``"ctypes"`` or the first that is there (``"auto"``)."""

    bdf: str
    backend: str


class LoadXclbin(Message):
    """Load a file."""

    path: str


class OpenKernel(Message):
    """Open a context on a kernel's compute units."""

    name: str
    exclusive: bool


class CloseKernel(Message):
    """Close a kernel's context."""

    kernel: int


class Allocate(Message):
    """Make a buffer in a bank."""

    size_bytes: int
    bank: int


class Free(Message):
    """Free a buffer."""

    buffer: int


class Write(Message):
    """Bytes into the host's half of a buffer."""

    buffer: int
    data: bytes
    offset: int


class Read(Message):
    """Bytes from the host's half of a buffer."""

    buffer: int
    size_bytes: int
    offset: int


class Sync(Message):
    """Copy a buffer between its halves."""

    buffer: int
    to_device: bool
    size_bytes: int
    offset: int


class BufferArgument(Message):
    """An argument that is a buffer."""

    buffer: int


class ScalarArgument(Message):
    """An argument that is a number of that many bytes."""

    value: int | float
    size_bytes: int


Argument = BufferArgument | ScalarArgument


class Run(Message):
    """Run a kernel `repeats` times with `depth` runs in flight; answered when all ended."""

    kernel: int
    arguments: list[Argument]
    timeout_s: float
    repeats: int = 1
    depth: int = 1


class MeasureBank(Message):
    """Time copies of a buffer of that size to and from a bank."""

    bank: int
    size_bytes: int
    repeats: int


class Information(Message):
    """Ask for what XRT says of the board."""


Request = (
    OpenBoard
    | LoadXclbin
    | OpenKernel
    | CloseKernel
    | Allocate
    | Free
    | Write
    | Read
    | Sync
    | Run
    | MeasureBank
    | Information
)


class Done(Message):
    """It is done; `value` is a handle where one was made, `text` a name."""

    value: int = 0
    text: str = ""


class Bytes(Message):
    """What was read."""

    data: bytes


class Ran(Message):
    """The state that the last run ended in, as ``"completed"``, seconds of each run, and of all."""

    state: str
    seconds: list[float]
    elapsed_s: float


class Rates(Message):
    """Seconds of each copy, by direction."""

    to_device_s: list[float]
    from_device_s: list[float]


class Facts(Message):
    """What XRT says of the board, by topic, as JSON text; empty where the backend cannot ask."""

    topics: dict[str, str]


class Failure(Message):
    """XRT refused.

    Attributes:
        raised: what it raised.
        log: the lines that it logged meanwhile.
    """

    raised: str
    log: str


Reply = Done | Bytes | Ran | Rates | Facts | Failure

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


def send(connection: socket.socket, message: Message) -> None:
    """Send one message."""
    data = _encoder.encode(message)
    connection.sendall(_LENGTH.pack(len(data)))
    connection.sendall(data)


def receive_request(connection: socket.socket) -> Any:
    """The next request; EOFError where the other side is gone."""
    return _requests.decode(_receive(connection))


def receive_reply(connection: socket.socket) -> Any:
    """The next reply; EOFError where the other side is gone."""
    return _replies.decode(_receive(connection))


def _receive(connection: socket.socket) -> bytearray:
    (size,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if size > _MOST_BYTES:
        raise EOFError(f"a message of {size} bytes")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        got = connection.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return data
