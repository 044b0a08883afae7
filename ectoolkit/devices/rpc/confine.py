"""What a session's process may touch, by Linux's Landlock.

A deploy directory is native code, so nothing in Python can hold it back; the kernel can, in part: `described` says what
it keeps native code from and what not.  Reading is not restricted: libraries must be found.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path

from ectoolkit.errors import DeviceError

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture
_VERSION_FLAG, _BENEATH_PATH = 1, 1
_NO_NEW_PRIVILEGES, _END_WITH_PARENT = 38, 1  # prctl
_SIGKILL = 9
#: rights by the version that brought them, as linux/landlock.h numbers them: write, remove (2), make (7); then moves
#: between folders, truncation, devices' ioctls
_WRITES = {1: 1 << 1 | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
#: not even in the folder: to make character and block devices, and to command them
_NOWHERE = 1 << 6 | 1 << 11 | 1 << 15
_NETWORK = 0b11  # bind and connect TCP
_SCOPES = 0b11  # sockets in the abstract namespace, signals

#: what native code is kept from, by the version since which it is; what it never is
_HELD = (
    (1, "writing, making and removing files outside its folder"),
    (3, "emptying files there"),
    (4, "TCP connections"),
    (5, "commands to devices"),
    (6, "abstract UNIX sockets"),
    (6, "signals to other processes"),
)
_FREE = ("UNIX sockets that have a path", "UDP and other kinds of sockets", "modes and times of files", "reading")


def landlock_version() -> int:
    """Of this kernel; 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))))


def described(version: int) -> str:
    """What a version of Landlock keeps a session's native code from, and what not."""
    if not version:
        return "no Landlock in this kernel, so native code may do all that its user may"
    held = [what for since, what in _HELD if version >= since]
    free = [what for since, what in _HELD if version < since]
    return f"Linux's Landlock {version} keeps native code from {', '.join(held)}; not from {', '.join([*free, *_FREE])}"


def end_with_parent() -> None:
    """Let the kernel end this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, _SIGKILL, 0, 0, 0)


def confine(folder: Path, most_bytes: int) -> int:
    """Restrict this process, for good: files of `most_bytes` at most, no core dumps; by Landlock what `described` says.

    Returns:
        The version of Landlock that holds it, with writing in `folder` only; 0 where the kernel has none.

    Raises:
        DeviceError: the kernel has it, and yet refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    version = landlock_version()
    if not version:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    rights = sum(bits for since, bits in _WRITES.items() if version >= since)
    ruleset = struct.pack("=QQQ", rights, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = libc.syscall(_CREATE, ruleset, ctypes.c_size_t(size), ctypes.c_uint(0))
    _worked(handle >= 0, "make a ruleset")
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        rule = struct.pack("=Qi", rights & ~_NOWHERE, opened)
        _worked(libc.syscall(_ADD, handle, _BENEATH_PATH, rule, ctypes.c_uint(0)) == 0, "allow its folder")
        _worked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0, "take new privileges from it")
        _worked(libc.syscall(_RESTRICT, handle, ctypes.c_uint(0)) == 0, "restrict it")
    finally:
        os.close(opened)
        os.close(handle)
    return version


def _worked(done: bool, what: str) -> None:
    if not done:
        reason = os.strerror(ctypes.get_errno())
        raise DeviceError(
            f"a session cannot be held: this kernel has Landlock {landlock_version()}, and did not {what} ({reason}). "
            "No session is opened; look at what else restricts the server"
        )
