"""Listens, lets in who knows the key, and gives each client a process of its own.

One thread, which never blocks on a client: a process that has several could not be forked safely, and forking is what
makes a session start in milliseconds where a fresh Python with TVM takes seconds.  Of what a client sends this process
reads no more than `handshake` has; the messages are read by a session, of a client that has proven that it knows the
key.
"""

from __future__ import annotations

import errno
import hmac
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ectoolkit._optional import require
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import session
from ectoolkit.devices.rpc.orphans import adopt_orphans, children, end_orphans
from ectoolkit.devices.rpc.tracker import Registration
from ectoolkit.errors import DeviceError

_MOST_WAITING = 64
_TICK_S = 0.25
#: the system has no descriptor or memory for one more connection, which stays where it is
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: until it is tried again: the listener is ready all the while, and would take the whole CPU
_PAUSE_S = 1.0


@dataclass
class Peer:
    """One connection that is not a session's yet.

    Attributes:
        connection: not blocking.
        deadline: when it is closed unless it got further; None for a client that was let in.
        data: what came and was not used yet.
        nonces: client's and server's, once exchanged.
        ticket: that its client opens a session with; empty before and after.
        ticket_until: when it is closed unless the ticket was used.
        pid: of its session; 0 before.
        next_beat: when.
    """

    connection: socket.socket
    deadline: float | None
    data: bytearray = field(default_factory=bytearray)
    nonces: tuple[bytes, bytes] | None = None
    ticket: bytes = b""
    ticket_until: float = 0.0
    pid: int = 0
    next_beat: float = 0.0
    folder: Path | None = None


class Server:
    """A listening server.

    Args:
        key: that clients must know.
        host, port: to listen at; a free port where 0.
        folder: under which each session has its own.
        limit_bytes: of a deploy directory.
        sessions: how many there may be at once.
        registration: with a tracker, where there is one.
        say: is given a line for each event.

    Raises:
        DeviceError: the address cannot be listened at, or the folder not be written.
    """

    def __init__(
        self,
        key: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        folder: str | os.PathLike[str],
        limit_bytes: int = 1 << 30,
        sessions: int = 4,
        registration: Registration | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        require("tvm", feature="A server of the rpc device")  # before anybody waits for it, and before each fork
        require("tvm.relax", feature="A server of the rpc device")
        self._key, self._limit, self._most, self._say = key, limit_bytes, sessions, say
        self._folder = Path(folder).expanduser().resolve()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._listener = socket.create_server((host, port), family=_family(host), backlog=_MOST_WAITING)
        except (OSError, UnicodeError) as error:
            raise DeviceError(f"no server can listen at {host}:{port} with folder {self._folder}: {error}") from error
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[int, Peer] = {}
        self._stopping = False
        #: when connections are taken again, 0 where they are; whether it was said that they are not
        self._paused_until, self._pause_told = 0.0, False
        self._spared: set[int] = set()
        #: folders of sessions that are gone
        self._left: list[Path] = []
        self._registration = registration
        if registration is not None:
            registration.port = self.port

    @property
    def port(self) -> int:
        """That it listens at."""
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Let `serve` return soon; may be called by a signal's handler."""
        self._stopping = True

    def serve(self) -> None:
        """Serve until `stop`; ends every session before it returns.

        Meanwhile this process adopts what sessions leave behind and ends it: start no other processes from it.
        """
        self._spared = children()
        adopt_orphans(True)
        try:
            while not self._stopping:
                for chosen, _ in self._selector.select(_TICK_S):
                    if chosen.fileobj is self._listener:
                        self._accept()
                    elif chosen.fd in self._peers:
                        self._read(self._peers[chosen.fd])
                self._reap()
                self._tend(time.monotonic())
                self._resume(time.monotonic())
                self._clean()
                if self._registration is not None:
                    self._registration.tend(self._free())
        finally:
            self.close()
            adopt_orphans(False)

    def close(self) -> None:
        """End every session, and listen no more."""
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._selector.close()
        self._listener.close()
        if self._registration is not None:
            self._registration.close()

    # --- connections ------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._pause(error)
            return  # or the client is gone already
        self._pause_told = False
        if sum(peer.deadline is not None for peer in self._peers.values()) >= _MOST_WAITING:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[connection.fileno()] = Peer(connection, time.monotonic() + hs.STEP_S)
        self._selector.register(connection, selectors.EVENT_READ)

    def _pause(self, error: OSError) -> None:
        """Take no connections for a while."""
        if not self._pause_told:
            self._pause_told = True
            self._say(
                f"warning: no connection can be taken ({error.strerror}); trying again each {_PAUSE_S:g} s. Close "
                "sessions, or start the server with a larger `ulimit -n`"
            )
        self._selector.unregister(self._listener)
        self._paused_until = time.monotonic() + _PAUSE_S

    def _resume(self, now: float) -> None:
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        # a client that was let in has no more to say here
        if not data or peer.deadline is None:
            self._drop(peer)
            return
        peer.data += data
        try:
            if peer.data.startswith(hs.DATA_GREETING):
                self._read_ticket(peer)
            elif peer.data.startswith(hs.GREETING):
                self._read_proof(peer)
            elif len(peer.data) >= len(hs.GREETING):
                if peer.data.startswith(hs.ANY_GREETING):
                    self._say(f"refused: {_name(peer)} speaks another version of ectoolkit's protocol")
                    peer.connection.send(hs.other_protocol())
                self._drop(peer)
        except Exception as error:  # whatever it is, the other sessions go on
            if not isinstance(error, OSError):
                self._say(f"dropped: {_name(peer)}, for {type(error).__name__}: {error}")
            self._drop(peer)

    def _read_proof(self, peer: Peer) -> None:
        """Steps 1 to 4 of `handshake`."""
        head = len(hs.GREETING) + hs.NONCE_BYTES
        if len(peer.data) < head:
            return
        if peer.nonces is None:
            peer.nonces = bytes(peer.data[len(hs.GREETING) : head]), os.urandom(hs.NONCE_BYTES)
            peer.connection.send(peer.nonces[1])
        if len(peer.data) < head + hs.PROOF_BYTES:
            return
        given, expected = bytes(peer.data[head:]), hs.proof(self._key, b"client", *peer.nonces)
        if not hmac.compare_digest(given, expected):
            self._refuse(peer, hs.WRONG_KEY, "does not know the key")
        elif self._free() < 1:
            self._refuse(peer, hs.FULL, f"finds {self._most} sessions open")
        else:
            now = time.monotonic()
            peer.deadline, peer.next_beat = None, now + hs.BEAT_S
            peer.ticket, peer.ticket_until = hs.ticket(self._key, *peer.nonces), now + hs.SILENCE_S
            # beats that nobody takes: the machine is gone, and its session is ended
            peer.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(hs.SILENCE_S * 1000))
            peer.connection.send(hs.WELCOME + hs.proof(self._key, b"server", *peer.nonces))

    def _refuse(self, peer: Peer, reason: bytes, words: str) -> None:
        self._say(f"refused: {_name(peer)} {words}")
        peer.connection.send(reason)
        self._drop(peer)

    def _read_ticket(self, peer: Peer) -> None:
        """Step 5 of `handshake`."""
        given = bytes(peer.data[len(hs.DATA_GREETING) :])
        if len(given) < hs.TICKET_BYTES:
            return
        owner = next((p for p in self._peers.values() if p.ticket and hmac.compare_digest(p.ticket, given)), None)
        # behind a ticket nothing comes before it was answered: the whole is compared
        if owner is None:
            self._refuse(peer, hs.NO_TICKET, "has no ticket")
            return
        owner.ticket = b""
        try:
            self._start(peer, owner)
        except OSError as error:
            self._say(f"warning: no session for {_name(owner)}: {error}")
            self._drop(owner)
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        """Close a connection, and end its session."""
        self._peers.pop(peer.connection.fileno(), None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(peer.connection)
        peer.connection.close()
        if peer.pid:
            with suppress(ProcessLookupError):
                os.kill(peer.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(peer.pid, 0)
            self._say(f"closed: the session of process {peer.pid}")
        if peer.folder is not None:
            self._left.append(peer.folder)
            self._clean()

    def _clean(self) -> None:
        """End and remove what dropped sessions left; with the next tick where there is no descriptor for it now."""
        while self._left:
            errors = self._remove(self._left[0])
            if any(error.errno in _NO_ROOM for error in errors):
                return
            folder = self._left.pop(0)
            if errors:
                self._say(f"warning: {folder} cannot be removed: {errors[0]}")

    def _remove(self, folder: Path) -> list[OSError]:
        """What was in the way; nothing, if all went well."""
        errors: list[OSError] = []
        try:
            if not end_orphans(self._spared | {other.pid for other in self._peers.values()}):
                self._say("warning: a session's processes multiply faster than they can be ended; look at `ps -ef`")
            shutil.rmtree(folder, onerror=lambda *failed: errors.append(failed[2][1]))
        except OSError as error:
            errors.append(error)
        return errors

    # --- sessions ---------------------------------------------------------------------------------------------------

    def _free(self) -> int:
        return self._most - sum(bool(peer.pid or peer.ticket) for peer in self._peers.values())

    def _start(self, peer: Peer, owner: Peer) -> None:
        """Fork the session of a client."""
        owner.folder = Path(tempfile.mkdtemp(prefix="session-", dir=self._folder))  # of mode 700
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_session(peer, owner.folder)
        owner.pid = pid
        self._peers.pop(peer.connection.fileno())
        self._selector.unregister(peer.connection)
        peer.connection.close()
        self._say(f"open: {_name(owner)}, process {pid}")

    def _be_session(self, peer: Peer, folder: Path) -> None:
        """The child's part; never returns."""
        status = 1
        try:
            os.setsid()  # the terminal of who started the server is not this client's
            self._selector.close()
            self._listener.close()
            if self._registration is not None:
                self._registration.abandon()
            for other in self._peers.values():
                if other is not peer:
                    other.connection.close()
            peer.connection.setblocking(True)
            session.serve(peer.connection, folder, self._limit)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Tell the clients of sessions that ended."""
        for peer in [p for p in self._peers.values() if p.pid]:
            pid, status = os.waitpid(peer.pid, os.WNOHANG)
            if pid:
                peer.pid = 0
                with suppress(OSError):
                    peer.connection.send(hs.ENDED + hs.STATUS.pack(os.waitstatus_to_exitcode(status)))
                self._say(f"ended: the session of process {pid}")
                self._drop(peer)

    def _tend(self, now: float) -> None:
        for peer in list(self._peers.values()):
            if peer.deadline is not None and now > peer.deadline:
                self._drop(peer)
            elif peer.ticket and now > peer.ticket_until:
                self._say(f"dropped: {_name(peer)} was let in and opened no session")
                self._drop(peer)
            elif peer.deadline is None and now >= peer.next_beat:
                peer.next_beat = now + hs.BEAT_S
                try:
                    peer.connection.send(hs.BEAT)
                except OSError:  # gone, or it has not read a beat for hours
                    self._drop(peer)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _name(peer: Peer) -> str:
    try:
        return ":".join(map(str, peer.connection.getpeername()[:2]))
    except OSError:
        return "a client that is gone"
