"""The other end of `ectoolkit.devices.xrt.child`: starts it, asks it, and ends it when it does not answer."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ectoolkit.core.exit_status import described_status
from ectoolkit.devices.xrt import messages as m
from ectoolkit.devices.xrt.libraries import LIBRARY, find_library, xrt_folder
from ectoolkit.errors import BoardLostError, Cancelled, DeviceStateError, DeviceTimeoutError

_OURS = Path(__file__).parents[3]
#: how long the child may take beyond what was allowed to a run: to notice, and to answer
_GRACE_S = 0.5
#: how often a waiting call looks whether it was cancelled
_LOOK_MS = 50
#: how long the child may take to end by itself
_GOODBYE_S = 2.0


class XrtProcess:
    """A child with one open board.  Calls are made one at a time; `cancel` may come from any thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ectoolkit-xrt-"))
        self._log = self._folder / "xrt.log"
        self._output = self._folder / "output"
        self._lock = threading.Lock()
        self._cancelled, self._closing = threading.Event(), threading.Event()
        mine, theirs = socket.socketpair()
        self._connection = mine
        try:
            with theirs, self._output.open("wb") as output:
                self._child = subprocess.Popen(
                    # -S: the paths come in PYTHONPATH, and site would cost a third of the start
                    [sys.executable, "-S", "-m", "ectoolkit.devices.xrt.child", str(theirs.fileno()), str(self._log)],
                    env=self._environment(environment),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=0,
                )
        except BaseException:
            mine.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        # for a board that nobody closed
        self._finalizer = weakref.finalize(self, _abandon, mine, self._child, self._folder)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        ini = self._folder / "xrt.ini"
        ini.write_text(f"[Runtime]\nruntime_log={self._log}\n")
        folder = xrt_folder()
        # of an editable installation, sys.path may not have our own place
        modules = [str(_OURS), *filter(None, sys.path), str(folder / "python")]
        library = find_library()
        return {
            **os.environ,
            "XILINX_XRT": str(folder),
            "PYTHONPATH": os.pathsep.join(modules),
            "ECTOOLKIT_XRT_LIBRARY": str(library or LIBRARY),
            **extra,
            "XRT_INI_PATH": str(ini),
        }

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the child can be asked."""
        return self._connection.fileno() >= 0

    def ask(self, request: m.Message, doing: str, timeout_s: float) -> Any:
        """Send a request and wait for its reply.

        Args:
            request: what to do.
            doing: the same in words, for errors.
            timeout_s: how long XRT may take.

        Returns:
            The reply, a `Failure` included.

        Raises:
            DeviceTimeoutError: no answer in time; the child is ended.
            BoardLostError: the child died.
            Cancelled: `cancel` was called; the child is ended.
            DeviceStateError: it was ended before.
        """
        with self._lock:
            if self._closing.is_set() or not self.alive:
                raise DeviceStateError(f"the board is closed, it cannot {doing}; open it again")
            self._cancelled.clear()
            # of a single send or receive: a stopped child would hold up a large buffer for ever
            self._connection.settimeout(timeout_s + _GRACE_S)
            try:
                m.send(self._connection, request)
                self._wait(doing, timeout_s)
                return m.receive_reply(self._connection)
            except (EOFError, ConnectionError):
                raise self._lost(doing) from None
            except TimeoutError:
                self._end(at_once=True)
                raise _too_late(doing, timeout_s) from None
            except BaseException:
                # the stream is in the middle of something: never use it again
                self._end(at_once=True)
                raise

    def _wait(self, doing: str, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s + _GRACE_S
        ready = select.poll()  # select() knows no descriptor above 1023
        ready.register(self._connection, select.POLLIN)
        while not ready.poll(_LOOK_MS):
            if self._cancelled.is_set() or self._closing.is_set():
                raise Cancelled(f"cancelled while the board was to {doing}; the board is closed, open it again")
            if time.monotonic() > end:
                raise _too_late(doing, timeout_s)

    def _lost(self, doing: str) -> BoardLostError:
        try:
            status = self._child.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            status = 0
        log, output = self._text(self._log), self._text(self._output)
        self._end(at_once=True)
        how = described_status(status)
        last = output.strip().splitlines()[-1:] or ["nothing"]
        return BoardLostError(
            f"the process that talks to XRT {how} while it was to {doing}; this notebook is unharmed. The last it "
            f"printed: {last[0]}. Open the board again; if it happens again, the fault is XRT's or the driver's",
            raised=how,
            log=log,
        )

    @staticmethod
    def _text(path: Path) -> str:
        return path.read_text(errors="replace") if path.is_file() else ""

    def cancel(self) -> None:
        """Let the call that waits, in another thread, end now."""
        self._cancelled.set()

    def close(self) -> None:
        """End the child, after any call that waits was cancelled; twice is harmless."""
        self._closing.set()  # for good: a call that just begins forgets an older cancel
        with self._lock:
            self._end()

    def _end(self, *, at_once: bool = False) -> None:
        """End the child: it ends by itself when the stream does, unless it is in the middle of something."""
        self._connection.close()
        if not at_once:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_GOODBYE_S)
        self._finalizer()


def _abandon(connection: socket.socket, child: subprocess.Popen[bytes], folder: Path) -> None:
    """Leave nothing behind: neither the child, nor its folder."""
    connection.close()
    if child.poll() is None:
        child.kill()
    child.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _too_late(doing: str, timeout_s: float) -> DeviceTimeoutError:
    return DeviceTimeoutError(
        f"the board did not {doing} within {timeout_s:g} s, and XRT did not come back; the board is closed, open it "
        "again"
    )
