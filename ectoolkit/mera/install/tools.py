"""Runs a program for a step: what it prints is kept, and its last line is shown while it runs."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ectoolkit.errors import BuildError

#: called with the last line a program printed; may raise to cancel
Watch = Callable[[str], None]
_POLL_S = 0.2
#: makes a program end with us, however we end, so that it does not write beside the next attempt (PR_SET_PDEATHSIG)
_TIED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
_SHOWN_LINES = 12


def run_tool(
    command: Sequence[str | Path],
    *,
    doing: str,
    watch: Watch | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program to its end.

    Args:
        command: and its arguments.
        doing: what it is for, for errors: ``"installing torch"``.
        watch: called several times a second.
        environment: changes to ours.
        folder: to run in.

    Returns:
        What it printed, standard error included.

    Raises:
        BuildError: it cannot be started or fails; with its last lines.
    """
    words = [str(word) for word in command]
    process = _started(words, doing, {**os.environ, **(environment or {})}, folder)
    lines = _printed(process, watch)
    output = "\n".join(lines)
    if process.returncode:
        tail = "\n".join(lines[-_SHOWN_LINES:])
        raise BuildError(
            f"{doing} failed: {words[0]} ended with status {process.returncode}. Its last output:\n{tail}",
            command=shlex.join(words),
            stdout=output,
        )
    return output


def _started(
    words: Sequence[str], doing: str, environment: Mapping[str, str], folder: Path | None
) -> subprocess.Popen[bytes]:
    if shutil.which(words[0]) is None:
        raise BuildError(f"{doing}: there is no program {words[0]}", command=shlex.join(words))
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _TIED, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{doing}: cannot start {words[0]}: {error.strerror}", command=shlex.join(words)) from error


def _printed(process: subprocess.Popen[bytes], watch: Watch | None) -> list[str]:
    """Its lines, when it has ended; where `watch` raises it is killed, with all that it started."""
    lines: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            reader.join(_POLL_S)
            if watch is not None:
                watch(lines[-1] if lines else "")
        process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        reader.join()
        assert process.stdout is not None
        process.stdout.close()
    return lines


def _collect(process: subprocess.Popen[bytes], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        text = line.decode(errors="replace").rstrip()
        if text:
            lines.append(text)
