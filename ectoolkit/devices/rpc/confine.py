"""What a session's process may touch, by Linux's Landlock and seccomp.

A deploy directory is native code, so nothing in Python can hold it back; the kernel can, in part: `described` says what
it keeps native code from and what not.  Reading is not restricted: libraries must be found.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path

from ectoolkit.devices.rpc.sockets import can_refuse_sockets, refuse_sockets
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

#: what Landlock keeps native code from, by the version since which it does; what nothing does.  Its rules for sockets
#: leave too much free to be counted
_HELD = (
    (1, "writing, making and removing files outside its folder"),
    (3, "emptying files there"),
    (5, "commands to devices"),
    (6, "signals to other processes"),
)
_SOCKETS = "sockets of any kind"
_FREE = ("modes, owners and times of files", "reading")


def landlock_version() -> int:
    """Of this kernel; 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))))


def described(version: int, sockets: bool) -> str:
    """What this version of Landlock, and a filter for sockets, keep a session's native code from, and what not."""
    if not version and not sockets:
        return "neither Landlock nor seccomp in this kernel, so native code may do all that its user may"
    held = [what for since, what in _HELD if version >= since] + [_SOCKETS] * sockets
    free = [what for since, what in _HELD if version < since] + [_SOCKETS] * (not sockets) + [*_FREE]
    by = [f"Landlock {version}"] * bool(version) + ["seccomp"] * sockets
    return f"native code is kept from {', '.join(held)} ({', '.join(by)}); not from {', '.join(free)}"


def end_with_parent() -> None:
    """Let the kernel end this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, _SIGKILL, 0, 0, 0)


def confine(folder: Path, most_bytes: int) -> str:
    """Restrict this process, for good: files of `most_bytes` at most, no core dumps, and what `described` says.

    Returns:
        What it is kept from, in words.

    Raises:
        DeviceError: the kernel could hold it, and yet refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    libc = ctypes.CDLL(None, use_errno=True)
    _worked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0, "take new privileges from it")
    version, sockets = landlock_version(), can_refuse_sockets()
    if version:
        _restrict(folder, version)
    if sockets:
        _worked(refuse_sockets(), "refuse sockets to it")
    return described(version, sockets)


def _restrict(folder: Path, version: int) -> None:
    """Landlock's part."""
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
        _worked(libc.syscall(_RESTRICT, handle, ctypes.c_uint(0)) == 0, "restrict it")
    finally:
        os.close(opened)
        os.close(handle)


def _worked(done: bool, what: str) -> None:
    if not done:
        reason = os.strerror(ctypes.get_errno())
        raise DeviceError(
            f"a session cannot be held: the kernel could, and did not {what} ({reason}). No session is opened; look at "
            "what else restricts the server"
        )
