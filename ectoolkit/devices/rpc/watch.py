"""Listens to a session's heartbeats, and cuts the session off when it must end."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress

from ectoolkit.devices.rpc import handshake as hs

_LOOK_MS = 100


class Watch:
    """Reads a session's heartbeats in a thread.

    Args:
        control: connection of the handshake; closed here.
        data: that of the messages: shutting it down wakes whoever waits on it.  Closed by its owner, after `close`, for
            a number that is given to another file meanwhile would be read by who waits.

    Attributes:
        reason: why the session ended: ended, gone, silent, late, cancelled, closed; empty while it has not.
        status: how its process ended, where the reason is ``"ended"``.
        cut_for: why it is to end; empty while nobody asked for that.
        over: set once there is a reason.
    """

    def __init__(self, control: socket.socket, data: socket.socket) -> None:
        self._control, self._data = control, data
        self._deadline = float("inf")
        self._received = b""
        self.cut_for = ""
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
            elif now - heard > hs.SILENCE_S and not ready.poll(0):  # it may be this process that was stopped
                self.reason = "silent"
            if not self.reason and now > self._deadline:
                self.reason = "late"
        self.over.set()
        with suppress(OSError):
            self._data.shutdown(socket.SHUT_RDWR)
        self._control.close()  # the server ends the session

    def _listen(self) -> None:
        try:
            data = self._control.recv(4096)
        except OSError:
            data = b""
        self._received = (self._received + data).lstrip(hs.BEAT)
        whole = len(hs.ENDED) + hs.STATUS.size
        if not data or not hs.ENDED.startswith(self._received[:1]):
            self.reason = "gone"
        elif len(self._received) >= whole:
            (self.status,) = hs.STATUS.unpack(self._received[len(hs.ENDED) : whole])
            self.reason = "ended"
