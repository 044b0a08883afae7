"""A Python with MERA as a child process, and an execnet gateway into it.

execnet starts such processes itself, but then what they print to standard error goes where ours goes.  It is all that
is left of a process that aborts, so here it goes into a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.exit_status import described_status
from ectoolkit.errors import WorkerError
from ectoolkit.mera.place import Place

#: what execnet's bootstrap begins with in the other Python
_FIRST_LINE = "import sys;exec(eval(sys.stdin.readline()))"
#: no questions, for nobody would see them; a dead network is noticed within half a minute
_SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=10")
_SSH_FAILED = 255
#: F_SETPIPE_SZ of Linux: an image fits into a pipe of this size, so neither side waits for the other
_SET_PIPE_SIZE, _PIPE_BYTES = 1031, 1 << 20
#: a line of the stack that native code prints; what matters stands before it
_FRAME = re.compile(r"\s+@\s+(0x|\()")
#: variables that are about this Python and its notebook, and would mislead another one
_OURS = ("MPLBACKEND", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
#: lines of output that an error shows
TAIL_LINES = 15


class PythonProcess:
    """The process.

    Attributes:
        place: where it runs.
        gateway: execnet's; None where it did not start.
    """

    def __init__(self, place: Place, *, timeout_s: float = 60.0) -> None:
        """Start it.

        Args:
            place: the Python.
            timeout_s: for it to answer.

        Raises:
            WorkerError: it does not start or does not answer; with what it printed.
            MissingDependencyError: execnet is not installed.
        """
        execnet = require("execnet", feature="Talking to MERA")
        bootstrap = require("execnet.gateway_bootstrap", feature="Talking to MERA").bootstrap
        self.place = place
        self.gateway: Any = None
        descriptor, name = tempfile.mkstemp(prefix="ectoolkit-mera-", suffix=".log")
        self._log = Path(name)
        weakref.finalize(self, self._log.unlink, missing_ok=True)  # what it printed is asked for after its end too
        command = command_line(place)
        try:
            self._process = self._popen(command, descriptor)
        finally:
            os.close(descriptor)
        watch = threading.Timer(timeout_s, self.kill)
        watch.daemon = True
        watch.start()
        spec = execnet.XSpec(f"popen//python={shlex.quote(place.python)}//id=mera//execmodel=main_thread_only")
        try:
            self.gateway = bootstrap(_io(execnet, self._process), spec)
        except Exception as error:  # execnet's own are of no stable kind
            watch.cancel()
            self.kill()
            raise self._not_started(command, error) from error
        except BaseException:  # Ctrl-C does not reach a session of its own
            watch.cancel()
            self.kill()
            raise
        watch.cancel()
        if self._process.poll() is not None:
            raise self._not_started(command, None)

    def _popen(self, command: list[str], log: int) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name not in _OURS},
                start_new_session=True,  # Ctrl-C is for us; and all that it starts can be killed with it
            )
        except OSError as error:
            raise WorkerError(
                f"cannot start {command[0]}: {error.strerror}. Expected {self.place.what}; see `ectoolkit mera status`"
            ) from error
        _widen(process)
        return process

    def _not_started(self, command: list[str], error: Exception | None) -> WorkerError:
        text = f"{self.place} does not answer as a Python: {self.describe_end()}"
        if error is not None and self._process.returncode == 0:
            text += f" ({error!r})"
        return WorkerError(
            f"{text}. Expected {self.place.what}; try it by hand: {shlex.join(command[:-1])} …{self.shown_tail()}",
            output=self.tail(),
        )

    # --- what it printed -----------------------------------------------------------------------------------------

    @property
    def log_size(self) -> int:
        """Bytes printed so far."""
        return self._log.stat().st_size

    def log_since(self, start: int) -> str:
        """What it printed from a byte on."""
        with self._log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def tail(self, start: int = 0) -> str:
        """The last lines it printed."""
        lines = [line for line in self.log_since(start).splitlines() if line.strip() and not _FRAME.match(line)]
        return "\n".join(lines[-TAIL_LINES:])

    def shown_tail(self, start: int = 0) -> str:
        """The same for the end of a message; empty where it printed nothing."""
        tail = self.tail(start)
        return f"\nIts last output:\n{tail}" if tail else ""

    # --- its end -------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def describe_end(self) -> str:
        """How it ended, for people; waits a moment for the end."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed the connection"
        self._close_pipes()
        if code < 0:
            return f"it {described_status(code)}{_CAUSES.get(-code, '')}"
        if self.place.ssh and code == _SSH_FAILED:
            return f"the connection to {self.place.ssh} failed or was lost"
        if code > 128 and code - 128 in _CAUSES:  # a shell's or ssh's way to say it
            return f"it {described_status(128 - code)}{_CAUSES[code - 128]}"
        return f"it {described_status(code)}"

    def kill(self) -> None:
        """End it and all it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close_pipes()

    def close(self) -> None:
        """Let it end by itself, or kill it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close_pipes()

    def _close_pipes(self) -> None:
        if self.gateway is not None:
            self.gateway.join(2)  # its thread reads until the end, which has come
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was still to be written has nowhere to go
                pipe.close()


_CAUSES: dict[int, str] = {
    signal.SIGKILL: ", as a system does that runs out of memory",
    signal.SIGSEGV: " (a crash in native code)",
    signal.SIGABRT: " (a check in native code failed)",
    signal.SIGILL: " (an instruction that its CPU lacks)",
    signal.SIGBUS: " (a crash in native code)",
    signal.SIGFPE: " (a crash in native code)",
}


def command_line(place: Place) -> list[str]:
    """The command that starts a place's Python with execnet's first line."""
    if not place.ssh:
        return [*place.words, "-u", "-c", _FIRST_LINE]
    config = ["-F", place.ssh_config] if place.ssh_config else []
    return [*_SSH, *config, *place.ssh.split(), f"exec {place.python} -u -c {shlex.quote(_FIRST_LINE)}"]


def _io(execnet: Any, process: subprocess.Popen[bytes]) -> Any:
    """execnet's view of the process."""
    base = execnet.gateway_base
    io = base.Popen2IO(process.stdin, process.stdout, base.get_execmodel("thread"))
    io.wait, io.kill = process.wait, process.kill
    return io


def _widen(process: subprocess.Popen[bytes]) -> None:
    import fcntl

    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):  # other systems; or this user has too many pipes already
            fcntl.fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)
