"""Keeps a process from sockets that it does not have yet, by a seccomp filter: Landlock alone does not.

Landlock's rules for TCP are about ``connect`` and ``bind``: a first packet sent with ``MSG_FASTOPEN``, and a multipath
TCP socket, pass them; UDP and UNIX sockets with a path it does not know.  So the calls that make sockets and lead them
somewhere are refused, and io_uring, which does the same without these calls.  What is open stays usable, but leads
nowhere else.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_SET, _FILTER = 22, 2  # prctl: PR_SET_SECCOMP, SECCOMP_MODE_FILTER
_IO_URING_SETUP = 425  # on every architecture
#: linux/audit.h's number of an architecture; its system calls socket, socketpair, connect, bind, listen
_CALLS = {
    "x86_64": (0xC000003E, (41, 53, 42, 49, 50)),
    "aarch64": (0xC00000B7, (198, 199, 203, 200, 201)),
}
#: numbers from here on are x32's, another name for the same calls
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data


def can_refuse_sockets() -> bool:
    """Whether this kernel has such filters, and the architecture's numbers are known."""
    libc = ctypes.CDLL(None, use_errno=True)
    # a kernel that has them looks for the filter, at no address
    libc.prctl(_SET, _FILTER, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT and platform.machine() in _CALLS and struct.calcsize("P") == 8


def refuse_sockets() -> bool:
    """Refuse them to this process for good, and to what it starts; it must have given up new privileges.

    Returns:
        Whether the kernel took the filter.
    """
    program = _program(*_CALLS[platform.machine()])
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return int(ctypes.CDLL(None, use_errno=True).prctl(_SET, _FILTER, filter_, 0, 0)) == 0


def _program(architecture: int, calls: tuple[int, ...]) -> bytes:
    """Of the kernel's classic BPF: instruction, steps to skip where it is so, where it is not, constant."""
    refused = (*calls, _IO_URING_SETUP)
    tests = [(_EQUAL, number) for number in refused]
    ahead = len(tests) + 1  # of the last instruction, seen from the first test
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, ahead + 2, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, ahead, 0, _X32),
        *((code, len(tests) - at, 0, number) for at, (code, number) in enumerate(tests)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
