"""TVM's tracker, from both sides: servers register there under a name, clients ask for one of that name.

A tracker only says where a server is.  It knows no keys: the server asks each client for its key whoever sent it.
"""

from __future__ import annotations

import json
import secrets
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ectoolkit.devices.rpc.address import Address
from ectoolkit.devices.rpc.handshake import STEP_S
from ectoolkit.errors import RemoteUnreachableError

_MAGIC = struct.pack("<i", 0x2F271)
_LENGTH = struct.Struct("<i")
_MOST_BYTES = 1 << 20
#: tvm.rpc.base.TrackerCode
_SUCCESS, _PUT, _REQUEST, _UPDATE_INFO, _PENDING = 0, 3, 4, 5, 7
_LOOK_S, _RETRY_S = 2.0, 5.0


class _Tracker:
    """A connection to a tracker; OSError where it is none, or does not answer."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.socket = socket.create_connection((address.host, address.port), timeout=STEP_S)
        try:
            self.socket.sendall(_MAGIC)
            if self._exactly(len(_MAGIC)) != _MAGIC:
                raise ConnectionError("it is no tracker of TVM")
            self.socket.settimeout(timeout_s)
        except BaseException:
            self.socket.close()
            raise

    def ask(self, *words: Any) -> Any:
        data = json.dumps(words).encode()
        self.socket.sendall(_LENGTH.pack(len(data)) + data)
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if not 0 <= size <= _MOST_BYTES:
            raise ConnectionError(f"it answers with {size} bytes")
        try:
            return json.loads(self._exactly(size))
        except ValueError as error:
            raise ConnectionError(f"it answers no JSON: {error}") from error

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
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
        connection = _Tracker(tracker, timeout_s)
    except OSError as error:
        raise RemoteUnreachableError(
            f"{name}: no tracker answers at {tracker.endpoint} ({error}). Start one there with `python -m "
            "tvm.exec.rpc_tracker --host HOST --port PORT`, or name a server itself: rpc://HOST:PORT"
        ) from error
    with connection.socket:
        try:
            answer = connection.ask(_REQUEST, tracker.name, "", 1)
            if answer[0] != _SUCCESS:
                raise ConnectionError(f"it answers {answer!r}")
            host, port, _ = answer[1]
            return Address(str(host), int(port))
        except (OSError, LookupError, TypeError, ValueError) as error:
            reason = f"no server in {timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
            raise RemoteUnreachableError(
                f"{name}: the tracker gave no free server of the name {tracker.name!r} ({reason}). Start one with "
                f"`ectoolkit device serve --tracker {tracker.endpoint} --name {tracker.name}`, or wait for one"
            ) from error


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
            assert self._connection is not None
            pending = set(self._connection.ask(_PENDING))
            self._matches = [match for match in self._matches if match in pending]
            while len(self._matches) < free:
                match = f"{self.tracker.name}:{secrets.token_hex(8)}"
                self._connection.ask(_PUT, self.tracker.name, [self.port, match], self.host or None)
                self._matches.append(match)
        except OSError as error:
            self.close()
            self._next = time.monotonic() + _RETRY_S
            self._tell(f"tracker: {self.tracker.endpoint} cannot be used ({error}); trying again every {_RETRY_S:g} s")

    def _connect(self) -> None:
        self._connection = _Tracker(self.tracker, STEP_S)
        info = {"key": f"server:{self.tracker.name}", "addr": [self.host or None, self.port]}
        self._connection.ask(_UPDATE_INFO, info)
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
