"""Ends what a session's native code had started, wherever that hid: the kernel gives such processes to the server."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_ADOPT = 36  # prctl: PR_SET_CHILD_SUBREAPER
#: a process that starts others faster than they are ended does not hold up the server for ever
_ROUNDS = 200


def adopt_orphans(adopt: bool) -> None:
    """Let this process be the parent of each descendant whose own parent is gone, or no more."""
    ctypes.CDLL(None).prctl(_ADOPT, int(adopt), 0, 0, 0)


def end_orphans(spare: Collection[int]) -> bool:
    """Kill every child that is not spared, and the children they leave.

    Args:
        spare: processes that this one started itself.

    Returns:
        Whether none is left.
    """
    for _ in range(_ROUNDS):
        orphans = children() - set(spare)
        if not orphans:
            return True
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
    return False


def children() -> set[int]:
    """Of this process; those that ended and were not waited for too."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                # behind the name, which may hold anything: state, parent
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(int(folder.name))
    return found
