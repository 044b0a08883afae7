"""TVM's tracker, from both sides: servers register there under a name, clients ask for one of that name.

A tracker only says where a server is.  It knows no keys: the server asks each client for its key whoever sent it.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import msgspec

from ectoolkit.devices.rpc.address import Address
from ectoolkit.devices.rpc.handshake import STEP_S
from ectoolkit.errors import RemoteUnreachableError

_MAGIC = struct.pack("<i", 0x2F271)
_LENGTH = struct.Struct("<i")
_MOST_BYTES = 1 << 20
#: tvm.rpc.base.TrackerCode
_PUT, _REQUEST, _UPDATE_INFO, _PENDING = 3, 4, 5, 7
#: answers: TrackerCode.SUCCESS; and where a server is, with its match key
_Done = Literal[0]
_Found = tuple[_Done, tuple[str, int, str]]
_LOOK_S, _RETRY_S = 2.0, 5.0
#: that a server gives its tracker each time: clients, who have `STEP_S`, wait meanwhile
_TEND_S = 2.0
_SHOWN_CHARACTERS = 80


class _Tracker:
    """A connection to a tracker; OSError where it is none, or does not answer as one, or not in time."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.allow(timeout_s)
        self.socket = socket.create_connection((address.host, address.port), timeout=timeout_s)
        try:
            self._send(_MAGIC)
            if self._exactly(len(_MAGIC)) != _MAGIC:
                raise ConnectionError("it is no tracker of TVM")
        except BaseException:
            self.socket.close()
            raise

    def allow(self, seconds: float) -> None:
        """How long everything from now on may take."""
        self._deadline = time.monotonic() + seconds

    def ask(self, kind: Any, *words: Any) -> Any:
        """An answer of a kind that `msgspec` knows."""
        data = msgspec.json.encode(words)
        self._send(_LENGTH.pack(len(data)) + data)
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if not 0 <= size <= _MOST_BYTES:
            raise ConnectionError(f"it answers with {size} bytes")
        answer = self._exactly(size)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            shown = answer[:_SHOWN_CHARACTERS].decode("utf-8", errors="replace")
            raise ConnectionError(f"it answers {shown!r}: {error}") from error

    def _send(self, data: bytes) -> None:
        self.socket.settimeout(self._left())
        self.socket.sendall(data)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self.socket.settimeout(self._left())  # of all pieces, however small they are
            got = self.socket.recv(size - len(data))
            if not got:
                raise ConnectionError("it closed the connection")
            data += got
        return data


def find_server(tracker: Address, timeout_s: float) -> Address:
    """A free server of the name that is in the address.

    Raises:
        RemoteUnreachableError: there is no tracker, or it has no free server of this name in time.
    """
    name = f"rpc://{tracker.endpoint}/{tracker.name}"
    try:
        connection = _Tracker(tracker, STEP_S)
    except OSError as error:
        raise RemoteUnreachableError(
            f"{name}: no tracker answers at {tracker.endpoint} ({error}). Start one there with `python -m "
            "tvm.exec.rpc_tracker --host HOST --port PORT`, or name a server itself: rpc://HOST:PORT"
        ) from error
    with connection.socket:
        try:
            connection.allow(timeout_s)
            _, (host, port, _) = connection.ask(_Found, _REQUEST, tracker.name, "", 1)
            return _named(host, port)
        except OSError as error:
            reason = f"no server in {timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
            raise RemoteUnreachableError(
                f"{name}: the tracker gave no free server of the name {tracker.name!r} ({reason}). Start one with "
                f"`ectoolkit device serve --tracker {tracker.endpoint} --name {tracker.name}`, or wait for one"
            ) from error


def _named(host: str, port: int) -> Address:
    """A server that a tracker names; ConnectionError where that can be none."""
    with suppress(UnicodeError):
        host.encode("idna")  # what is no name, the system's look-up raises other errors for
        if host.isprintable() and 0 < port < 1 << 16:
            return Address(host, port)
    raise ConnectionError(f"it names the server {host[:_SHOWN_CHARACTERS]!r}, port {port}")


class Registration:
    """A server's entry at a tracker, renewed where it was used or the tracker came back.

    Args:
        tracker: with the name to register under.
        host: that clients reach this server by; as the tracker sees it where empty.
        say: is given a line where something changes.
    """

    def __init__(self, tracker: Address, host: str, say: Callable[[str], None]) -> None:
        self.tracker, self.host, self.port = tracker, host, 0
        self._say = say
        self._connection: _Tracker | None = None
        self._matches: list[str] = []
        self._next = 0.0
        self._told = ""

    def tend(self, free: int) -> None:
        """Keep as many entries as there are free sessions; called again and again."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_S
        try:
            if self._connection is None:
                self._connect()
            else:
                self._connection.allow(_TEND_S)
            assert self._connection is not None
            pending = set(self._connection.ask(list[str], _PENDING))
            self._matches = [match for match in self._matches if match in pending]
            while len(self._matches) < free:
                match = f"{self.tracker.name}:{secrets.token_hex(8)}"
                self._connection.ask(_Done, _PUT, self.tracker.name, [self.port, match], self.host or None)
                self._matches.append(match)
        except OSError as error:
            self.close()
            self._next = time.monotonic() + _RETRY_S
            self._tell(f"tracker: {self.tracker.endpoint} cannot be used ({error}); trying again every {_RETRY_S:g} s")

    def _connect(self) -> None:
        self._connection = _Tracker(self.tracker, _TEND_S)
        info = {"key": f"server:{self.tracker.name}", "addr": [self.host or None, self.port]}
        self._connection.ask(_Done, _UPDATE_INFO, info)
        self._matches = []
        self._tell(f"tracker: registered at {self.tracker.endpoint} as {self.tracker.name}")

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._say(text)

    def close(self) -> None:
        """Leave the tracker, which then forgets the entries."""
        self.abandon()
        self._connection, self._matches = None, []

    def abandon(self) -> None:
        """Close the connection in a forked process, which has no part in it."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.socket.close()
