"""The near side of a session: connects, asks, notices when the other side is gone."""

from __future__ import annotations

import importlib.metadata
import os
import select
import signal
import socket
import threading
import time
import weakref
from contextlib import suppress
from typing import Any, NoReturn

import msgspec

from ectoolkit import errors
from ectoolkit._optional import require
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import messages as m
from ectoolkit.devices.rpc.address import Address
from ectoolkit.errors import (
    Cancelled,
    DeviceError,
    DeviceTimeoutError,
    RemoteError,
    RemoteLostError,
    RemoteRefusedError,
    RemoteUnreachableError,
)

_LOOK_MS = 100
#: how long TVM may take to open a session
_OPEN_S = 30.0
#: how long a reason may take to come after the end of a connection
_REASON_S = 2.0
#: one at a time from the first byte on, for the connection that TVM opens is found by what is new among this process's
#: sockets to the same address, and the handshake's is one too
_connecting = threading.Lock()

SERVE = "`ectoolkit device serve`"


class Watch:
    """Reads a session's heartbeats in a thread, and cuts the session off when it must end.

    Args:
        control: connection of the handshake.
        data: a second handle of TVM's connection: shutting it down wakes whoever waits on it.
    """

    def __init__(self, control: socket.socket, data: socket.socket) -> None:
        self._control, self._data = control, data
        self._deadline = float("inf")
        #: why it is to end; empty while nobody asked for that
        self.cut_for = ""
        self._received = b""
        #: why the session ended: ended, gone, silent, late, cancelled, closed; empty while it has not
        self.reason = ""
        self.status = 0
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ectoolkit-rpc", daemon=True)
        self._thread.start()

    def allow(self, seconds: float) -> None:
        """How long the session may take from now on."""
        self._deadline = time.monotonic() + seconds

    def cut(self, reason: str) -> None:
        """End the session within a moment."""
        self.cut_for = self.cut_for or reason

    def close(self) -> None:
        """End it and wait."""
        self.cut("closed")
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _watch(self) -> None:
        heard = time.monotonic()
        ready = select.poll()  # select() knows no descriptor above 1023
        ready.register(self._control, select.POLLIN)
        while not self.reason:
            came = ready.poll(_LOOK_MS)
            now = time.monotonic()
            if self.cut_for:
                self.reason = self.cut_for
            elif came:
                heard = now
                self._listen()
            elif now > self._deadline:
                self.reason = "late"
            elif now - heard > hs.SILENCE_S:
                self.reason = "silent"
        self.over.set()
        with suppress(OSError):
            self._data.shutdown(socket.SHUT_RDWR)
        self._data.close()
        self._control.close()  # the server ends the session

    def _listen(self) -> None:
        try:
            data = self._control.recv(4096)
        except OSError:
            data = b""
        if not data:
            self.reason = "gone"
            return
        self._received = (self._received + data).lstrip(hs.BEAT)
        if self._received.startswith(hs.ENDED) and len(self._received) > hs.STATUS.size:
            (self.status,) = hs.STATUS.unpack(self._received[1 : 1 + hs.STATUS.size])
            self.reason = "ended"


class Link:
    """One session.  Calls are made one at a time; `cancel` may come from any thread.

    Args:
        name: of the device, for errors.
        address: of the server.
        key: that it knows too.

    Raises:
        RemoteUnreachableError: nothing answers there, or not as our server does.
        RemoteRefusedError: it knows another key, or has no room.
    """

    def __init__(self, name: str, address: Address, key: str) -> None:
        self.name, self.address = name, address
        rpc = require("tvm.rpc", feature="The rpc device")  # seconds, which a ticket should not wait for
        with _connecting:
            control, ticket = _shake_hands(name, address, key)
            try:
                self._session, data = _open_session(name, rpc, control, ticket)
            except BaseException:
                control.close()
                raise
        self._watch = Watch(control, data)
        self._finalizer = weakref.finalize(self, self._watch.close)
        try:
            self._function = self._session.get_function(m.FUNCTION)
        except Exception as error:
            self._lost("open a session", error)

    @property
    def alive(self) -> bool:
        """Whether it can be asked; not where it was cancelled between two calls and is about to end."""
        return not (self._watch.over.is_set() or self._watch.cut_for)

    def ask(self, request: m.Message, doing: str, timeout_s: float) -> Any:
        """Send a request and wait for its reply.

        Args:
            request: what to do.
            doing: the same in words, for errors.
            timeout_s: how long it may take, with its way.

        Raises:
            DeviceTimeoutError: no answer in time; the session is ended.
            RemoteLostError: the session, the server or the connection is gone.
            Cancelled: `cancel` was called; the session is ended.
            RemoteError: the answer is none to this request.
            DeviceError: the far side says why it could not.
        """
        self._watch.allow(timeout_s)
        try:
            data = bytes(self._function(m.encode(request)))
        except Exception as error:  # TVM's, of no stable kind: our own function on the far side raises nothing
            self._lost(doing, error, timeout_s)
        except BaseException:  # Ctrl-C in the middle of an answer: the stream is of no use any more
            self.close()
            raise
        self._watch.allow(float("inf"))
        try:
            reply = m.decode_reply(data, type(request))
        except (msgspec.MsgspecError, ValueError) as error:
            raise RemoteError(
                f"what {self.name} answers when it is to {doing} is not understood ({error}). Install the same version "
                f"of ectoolkit there as here, {_version()}"
            ) from error
        if isinstance(reply, m.Failure):
            raise self._failure(reply)
        return reply

    def _failure(self, reply: m.Failure) -> DeviceError:
        kind = getattr(errors, reply.kind, RemoteError)
        if not (isinstance(kind, type) and issubclass(kind, DeviceError)):
            kind = RemoteError
        return kind(f"{self.name} says: {reply.text}")

    def _lost(self, doing: str, error: Exception, timeout_s: float = 0) -> NoReturn:
        self._watch.over.wait(_REASON_S)
        reason, status = self._watch.reason, self._watch.status
        self.close()
        again = "The next call connects again"
        if reason == "late":
            raise DeviceTimeoutError(
                f"{self.name} did not {doing} within {timeout_s:g} s, and its session there was ended. {again}; where "
                "it needs longer, open the device with timeout_s=..."
            ) from None
        if reason == "cancelled":
            raise Cancelled(f"cancelled while {self.name} was to {doing}; its session there was ended. {again}")
        if reason == "ended":
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            what = f"its session there {how}"
        elif reason == "silent":
            what = f"it gave no sign of life for {hs.SILENCE_S:g} s"
        elif reason == "gone":
            what = "the server went away"
        else:
            what = f"the connection broke ({str(error).strip().splitlines()[-1] if str(error).strip() else error!r})"
        raise RemoteLostError(
            f"{self.name} is lost: {what} while it was to {doing}; nothing here is harmed. {again}; where that fails, "
            f"look at {SERVE} there"
        ) from error

    def cancel(self) -> None:
        """Let the call that waits, in another thread, end now."""
        self._watch.cut("cancelled")

    def close(self) -> None:
        """End the session there; twice is harmless."""
        self._finalizer()
        self._function = self._session = None


def _shake_hands(name: str, address: Address, key: str) -> tuple[socket.socket, str]:
    """The first four steps of `handshake`; gives the connection and the ticket."""
    try:
        control = socket.create_connection((address.host, address.port), timeout=hs.STEP_S)
    except OSError as error:
        raise RemoteUnreachableError(
            f"{name}: nothing listens at {address.endpoint} ({error.strerror or error}). Start {SERVE} on that "
            "machine, or a tunnel to it: ssh -L PORT:127.0.0.1:PORT HOST"
        ) from error
    try:
        mine = os.urandom(hs.NONCE_BYTES)
        control.sendall(hs.GREETING + mine)
        theirs = _exactly(control, hs.NONCE_BYTES)
        if hs.is_greeting(theirs):
            raise RemoteRefusedError(
                f"{name} speaks protocol {chr(theirs[len(hs.ANY_GREETING)])}, and "
                f"ectoolkit {_version()} here speaks {hs.PROTOCOL}. Install the same version on both machines"
            )
        control.sendall(hs.proof(key, b"client", mine, theirs))
        answer = _exactly(control, 1)
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
        if answer != hs.WELCOME or _exactly(control, hs.PROOF_BYTES) != hs.proof(key, b"server", mine, theirs):
            raise RemoteUnreachableError(
                f"{name}: what answers at {address.endpoint} does not know the key itself, so it is not your server. "
                "Look which program listens there"
            )
        control.settimeout(None)
        return control, hs.ticket(key, mine, theirs)
    except OSError as error:
        control.close()
        raise RemoteUnreachableError(
            f"{name}: what answers at {address.endpoint} is no {SERVE} ({error.strerror or error}). A plain RPC server "
            "of TVM does not check what it is sent; start ectoolkit's there"
        ) from error
    except BaseException:
        control.close()
        raise


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        got = connection.recv(size - len(data))
        if not got:
            raise ConnectionError("it closed the connection")
        data += got
    return data


def _open_session(name: str, rpc: Any, control: socket.socket, ticket: str) -> tuple[Any, socket.socket]:
    """TVM's connection, and a second handle of its socket; `_connecting` is held."""
    before = set(_sockets())
    try:
        far = control.getpeername()[:2]
        # TVM waits for ever for a server that says nothing
        late = threading.Timer(_OPEN_S, _shut_down_new, (before, far))
        late.daemon = True
        late.start()
        try:
            session = rpc.connect(*far, ticket)
        finally:
            late.cancel()
            late.join()
    except Exception as error:
        said = str(error).strip().splitlines()[-1:] or [repr(error)]
        raise RemoteLostError(
            f"{name} is lost: it let this client in, and then opened no session ({said[0]}). See what {SERVE} printed "
            "there"
        ) from error
    found = _new_sockets(before, far)
    if len(found) != 1:
        for data in found:
            data.close()
        raise RemoteError(
            f"{name}: {len(found)} new connections of this process lead to {far[0]}:{far[1]}, expected TVM's alone. "
            "Open the device again, while nothing else here connects there"
        )
    _prepare(found[0])
    return session, found[0]


def _version() -> str:
    return importlib.metadata.version("ectoolkit")


def _new_sockets(before: set[str], far: tuple[str, int]) -> list[socket.socket]:
    """Second handles of connections to an address, host and port, that were not there before."""
    found = []
    for link, descriptor in _sockets().items():
        if link not in before:
            with suppress(OSError):
                data = socket.socket(fileno=os.dup(descriptor))
                if data.family in (socket.AF_INET, socket.AF_INET6) and data.getpeername()[:2] == far:
                    found.append(data)
                else:
                    data.close()
    return found


def _shut_down_new(before: set[str], far: tuple[str, int]) -> None:
    for data in _new_sockets(before, far):
        with data, suppress(OSError):
            data.shutdown(socket.SHUT_RDWR)


def _sockets() -> dict[str, int]:
    """This process's sockets by their identity."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            link = os.readlink(f"/proc/self/fd/{entry}")
            if link.startswith("socket:"):
                found[link] = int(entry)
    return found


def _prepare(data: socket.socket) -> None:
    """No waiting for small packets; a machine that is dead is noticed by the kernel too."""
    data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        data.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(hs.SILENCE_S * 1000))
