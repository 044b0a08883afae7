"""The near side of `handshake`: two connections to a server, both let in."""

from __future__ import annotations

import hmac
import importlib.metadata
import os
import socket
import time

from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc.address import Address
from ectoolkit.errors import RemoteLostError, RemoteRefusedError, RemoteUnreachableError

SERVE = "`ectoolkit device serve`"
#: how long the server may take to open a session
_OPEN_S = 30.0


def version() -> str:
    """Of ectoolkit here."""
    return importlib.metadata.version("ectoolkit")


def enter(name: str, address: Address, key: str) -> tuple[socket.socket, socket.socket]:
    """Steps 1 to 6 of `handshake`.

    Args:
        name: of the device, for errors.
        address: of the server.
        key: that it knows too.

    Returns:
        The connections for heartbeats and for messages, both blocking.

    Raises:
        RemoteUnreachableError: nothing answers there, or not as our server does.
        RemoteRefusedError: it knows another key or protocol, or has no room.
        RemoteLostError: it opened no session.
    """
    try:
        control = socket.create_connection((address.host, address.port), timeout=hs.STEP_S)
    except OSError as error:
        raise RemoteUnreachableError(
            f"{name}: nothing listens at {address.endpoint} ({error.strerror or error}). Start {SERVE} on that "
            "machine, or a tunnel to it: ssh -L PORT:127.0.0.1:PORT HOST"
        ) from error
    try:
        ticket = _prove(name, address, control, key)
        data = _open(name, control, ticket)
    except BaseException:
        control.close()
        raise
    control.settimeout(None)
    data.settimeout(None)
    data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # between two runs it may be silent for long
    return control, data


def _prove(name: str, address: Address, control: socket.socket, key: str) -> bytes:
    """Steps 1 to 4; the ticket."""
    mine = os.urandom(hs.NONCE_BYTES)
    try:
        control.sendall(hs.GREETING + mine)
        theirs = _exactly(control, hs.NONCE_BYTES, hs.STEP_S)
        if hs.is_greeting(theirs):
            raise RemoteRefusedError(
                f"{name} speaks protocol {ascii(chr(theirs[len(hs.ANY_GREETING)]))[1:-1]}, and "
                f"ectoolkit {version()} here speaks {hs.PROTOCOL}. Install the same version on both machines"
            )
        control.sendall(hs.proof(key, b"client", mine, theirs))
        answer = _exactly(control, 1, hs.STEP_S)
        shown = _exactly(control, hs.PROOF_BYTES, hs.STEP_S) if answer == hs.WELCOME else b""
    except OSError as error:
        raise RemoteUnreachableError(
            f"{name}: what answers at {address.endpoint} is no {SERVE} ({error.strerror or error}). A plain RPC server "
            "of TVM does not check what it is sent; start ectoolkit's there"
        ) from error
    if answer == hs.WRONG_KEY:
        raise RemoteRefusedError(
            f"{name} knows another key. Give the one that {SERVE} printed there: open_device({name!r}, key=...), "
            f"or the variable {hs.KEY_VARIABLE}"
        )
    if answer == hs.FULL:
        raise RemoteRefusedError(
            f"{name} has no room for one more session. Close a device that is open there, or start {SERVE} with a "
            "larger --sessions"
        )
    if not hmac.compare_digest(shown, hs.proof(key, b"server", mine, theirs)):
        raise RemoteUnreachableError(
            f"{name}: what answers at {address.endpoint} does not know the key itself, so it is not your server. "
            "Look which program listens there"
        )
    return hs.ticket(key, mine, theirs)


def _open(name: str, control: socket.socket, ticket: bytes) -> socket.socket:
    """Steps 5 and 6; the connection for messages."""
    data = None
    try:
        data = socket.socket(control.family)
        data.settimeout(hs.STEP_S)
        # where the handshake was, for a name may stand for several machines, and an address need its interface
        data.connect(control.getpeername())
        data.sendall(hs.DATA_GREETING + ticket)
        answer = _exactly(data, 1, _OPEN_S)
        if answer != hs.OPENED:
            raise ConnectionError("it does not know the ticket" if answer == hs.NO_TICKET else f"it says {answer!r}")
    except BaseException as error:
        if data is not None:
            data.close()
        if not isinstance(error, OSError):
            raise
        raise RemoteLostError(
            f"{name} is lost: it let this client in, and then opened no session ({error.strerror or error}). See what "
            f"{SERVE} printed there"
        ) from error
    return data


def _exactly(connection: socket.socket, size: int, seconds: float) -> bytes:
    """So many bytes, all of them within that time."""
    deadline, data = time.monotonic() + seconds, b""
    while len(data) < size:
        connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        got = connection.recv(size - len(data))
        if not got:
            raise ConnectionError("it closed the connection")
        data += got
    return data
