"""What a session's process may touch: with Linux's Landlock, it writes in one folder only and opens no connection.

A deploy directory is native code, so nothing in Python can hold it back; the kernel can.  Reading is not restricted:
libraries must be found.  Needs Linux 5.13; connections and signals are restricted from 6.7 and 6.12.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture
_VERSION_FLAG, _BENEATH_PATH = 1, 1
_NO_NEW_PRIVILEGES, _END_WITH_PARENT = 38, 1  # prctl
_SIGKILL = 9
#: rights by the version that brought them, as linux/landlock.h numbers them: write, remove (2), make (7); then moves
#: between folders, truncation, devices' ioctls
_WRITES = {1: 1 << 1 | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: 1 << 14}
_NETWORK = 0b11  # bind and connect TCP
_SCOPES = 0b11  # sockets in the abstract namespace, signals


def landlock_version() -> int:
    """Of this kernel; 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))))


def end_with_parent() -> None:
    """Let the kernel end this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, _SIGKILL, 0, 0, 0)


def confine(folder: Path, most_bytes: int) -> bool:
    """Restrict this process, for good: files of at most `most_bytes`, no core dumps; writing in `folder` alone.

    Returns:
        Whether the kernel enforces the last; the first holds anyhow.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    version = landlock_version()
    if not version:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    rights = sum(bits for since, bits in _WRITES.items() if version >= since)
    ruleset = struct.pack("=QQQ", rights, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = libc.syscall(_CREATE, ruleset, ctypes.c_size_t(size), ctypes.c_uint(0))
    if handle < 0:
        return False
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        rule = struct.pack("=Qi", rights, opened)
        return (
            libc.syscall(_ADD, handle, _BENEATH_PATH, rule, ctypes.c_uint(0)) == 0
            and libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
            and libc.syscall(_RESTRICT, handle, ctypes.c_uint(0)) == 0
        )
    finally:
        os.close(opened)
        os.close(handle)
