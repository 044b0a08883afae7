"""The near side of a session: asks, and says how it was lost."""

from __future__ import annotations

import socket
import weakref
from typing import Any, NoReturn

import msgspec

from ectoolkit import errors
from ectoolkit.core.exit_status import described_status
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import messages as m
from ectoolkit.devices.rpc.address import Address
from ectoolkit.devices.rpc.channel import OVERHEAD_BYTES, Channel
from ectoolkit.devices.rpc.door import SERVE, enter, version
from ectoolkit.devices.rpc.watch import Watch
from ectoolkit.errors import (
    Cancelled,
    DeviceError,
    DeviceTimeoutError,
    RemoteError,
    RemoteLostError,
    RemoteRefusedError,
)

#: how long a reason may take to come after the end of a connection
_REASON_S = 2.0
#: for what takes no time to speak of
_SHORT_S = 30.0
#: of an answer whose size nobody can know before, such as the times of a network's layers
_MOST_BYTES = 16 << 20


class Link:
    """One session.  Calls are made one at a time; `cancel` may come from any thread.

    Args:
        name: of the device, for errors.
        address: of the server.
        key: that it knows too.

    Attributes:
        facts: what the far side says of itself.

    Raises:
        RemoteUnreachableError: nothing answers there, or not as our server does.
        RemoteRefusedError: it knows another key or protocol, or has no room.
        RemoteLostError: it opens no session, or tells nothing of itself.
    """

    def __init__(self, name: str, address: Address, key: str) -> None:
        self.name, self.address = name, address
        control, data = enter(name, address, key)
        self._channel = Channel(data)
        self._watch = Watch(control, data)
        self._finalizer = weakref.finalize(self, _end, self._watch, data)
        self._most_sent = OVERHEAD_BYTES
        try:
            self.facts: m.Facts = self.ask(m.Describe(), "say what it is", _SHORT_S)
        except BaseException:
            self.close()
            raise
        self._most_sent += self.facts.limit_bytes

    @property
    def alive(self) -> bool:
        """Whether it can be asked; not where it was cancelled between two calls and is about to end."""
        return not (self._watch.over.is_set() or self._watch.cut_for)

    def ask(self, request: m.Message, doing: str, timeout_s: float, most_bytes: int = _MOST_BYTES) -> Any:
        """Send a request and wait for its reply.

        Args:
            request: what to do.
            doing: the same in words, for errors.
            timeout_s: how long it may take, with its way.
            most_bytes: of the data in a reply.

        Raises:
            DeviceTimeoutError: no answer in time; the session is ended.
            RemoteLostError: the session, the server or the connection is gone.
            Cancelled: `cancel` was called; the session is ended.
            RemoteRefusedError: the request is larger than the server takes; it is not sent.
            RemoteError: the answer is none to this request.
            DeviceError: the far side says why it could not.
        """
        sent = m.encode(request)
        if len(sent) > self._most_sent:
            raise RemoteRefusedError(
                f"{self.name} takes {self._most_sent} bytes at once, and a request to {doing} has {len(sent)}. Start "
                f"{SERVE} there with a larger --limit-mb"
            )
        self._watch.allow(timeout_s)
        try:
            data = self._exchange(sent, doing, most_bytes + OVERHEAD_BYTES)
        except OSError as error:
            self._lost(doing, error, timeout_s)
        except BaseException:  # Ctrl-C in the middle of an answer: the stream is of no use any more
            self.close()
            raise
        self._watch.allow(float("inf"))
        try:
            reply = m.decode_reply(data, type(request))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise RemoteError(
                f"what {self.name} answers when it is to {doing} is not understood ({error}). Install the same version "
                f"of ectoolkit there as here, {version()}"
            ) from error
        if isinstance(reply, m.Failure):
            raise self._failure(reply)
        return reply

    def _exchange(self, sent: bytes, doing: str, most_bytes: int) -> memoryview:
        """Send a message; its answer."""
        self._channel.send(sent)
        size = self._channel.coming()
        if size is None:
            raise ConnectionError("it closed the connection")
        if size > most_bytes:
            raise RemoteError(
                f"{self.name} answers with {size} bytes when it is to {doing}, expected {most_bytes} at most; do not "
                "trust it"
            )
        return self._channel.receive(size)

    def _failure(self, reply: m.Failure) -> DeviceError:
        kind = getattr(errors, reply.kind, RemoteError)
        if not (isinstance(kind, type) and issubclass(kind, DeviceError)):
            kind = RemoteError
        return kind(f"{self.name} says: {reply.text}")

    def _lost(self, doing: str, error: OSError, timeout_s: float) -> NoReturn:
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
            what = f"its session there {described_status(status)}"
        elif reason == "silent":
            what = f"it gave no sign of life for {hs.SILENCE_S:g} s"
        elif reason == "gone":
            what = "the server went away"
        else:
            what = f"the connection broke ({error.strerror or error})"
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


def _end(watch: Watch, data: socket.socket) -> None:
    watch.close()
    data.close()
