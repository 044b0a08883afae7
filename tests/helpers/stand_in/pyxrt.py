"""A stand-in for pyxrt, which only XRT's own installation has: the same names over XRT's C library.

The environment variable ``ECTOOLKIT_PYXRT_API`` chooses the version to look like: ``2.13`` (no ``hw_context``), or
``2.23`` (``register_xclbin`` and ``hw_context``; the old way warns).  XRT's refusals become RuntimeError and
MemoryError as in pyxrt.  It holds the global lock where pyxrt does.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import warnings
from typing import Any

from ectoolkit.devices.xrt.backend import XrtRefused
from ectoolkit.devices.xrt.c_backend import CBackend

_NEW = os.environ.get("ECTOOLKIT_PYXRT_API", "2.13") != "2.13"


class xrt_info_device(enum.Enum):  # noqa: N801
    """Topics of `device.get_info`."""

    host = 0
    platform = 1
    memory = 2
    thermal = 3
    electrical = 4


#: in the form of XRT's reports, with the ways in which it says that it does not know
_TOLD: dict[str, Any] = {
    "host": {"version": "2.13.466"},
    "thermal": {
        "thermals": [
            {"location_id": "fpga0", "description": "FPGA", "temp_C": "47", "is_present": "true"},
            {"location_id": "hbm_0", "description": "HBM", "temp_C": "0", "is_present": "false"},
        ]
    },
    "electrical": {
        "power_consumption_watts": "13.5",
        "power_rails": [
            {
                "id": "vccint",
                "voltage": {"volts": "0.85", "is_present": "true"},
                "current": {"amps": "N/A", "is_present": "true"},
            },
            {"id": "12v_pex", "voltage": {"error_msg": "sysfs failed"}, "current": {"amps": "1.2"}},
        ],
    },
}


class xclBOSyncDirection(enum.Enum):  # noqa: N801
    """Directions of `bo.sync`."""

    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class ert_cmd_state(enum.IntEnum):  # noqa: N801
    """States of a run."""

    ERT_CMD_STATE_NEW = 1
    ERT_CMD_STATE_QUEUED = 2
    ERT_CMD_STATE_RUNNING = 3
    ERT_CMD_STATE_COMPLETED = 4
    ERT_CMD_STATE_ERROR = 5
    ERT_CMD_STATE_ABORT = 6
    ERT_CMD_STATE_SUBMITTED = 7
    ERT_CMD_STATE_TIMEOUT = 8


def _raise(message: str) -> None:
    raise RuntimeError(message)


class _Library(CBackend):
    """The C library, called with the global lock held, as pyxrt's own calls are."""

    def __init__(self) -> None:
        super().__init__(os.environ.get("ECTOOLKIT_XRT_LIBRARY") or "libxrt_coreutil.so.2")
        held = ctypes.PyDLL(self._library._name)
        for name in ("xrtRunWaitFor", "xrtBOSync"):
            function = getattr(held, name)
            function.restype, function.argtypes = (
                getattr(self._library, name).restype,
                getattr(self._library, name).argtypes,
            )
            setattr(self._library, name, function)


class xclbin:  # noqa: N801
    """An xclbin file."""

    def __init__(self, path: str) -> None:
        self._path = path


class device:  # noqa: N801
    """An open board."""

    def __init__(self, bdf: str) -> None:
        self._board = _Library()
        try:
            self._board.open(bdf)
        except XrtRefused:
            _raise("Could not open device with index '0'")

    def load_xclbin(self, path: str) -> str:
        """Load a file; deprecated from 2.23 on."""
        if _NEW:
            warnings.warn("load_xclbin is deprecated", DeprecationWarning, stacklevel=2)
        try:
            self._board.load(path)
        except XrtRefused:
            _raise("failed to load xclbin")
        return path

    def get_info(self, topic: xrt_info_device) -> str:
        """JSON text."""
        return json.dumps(_TOLD.get(topic.name, {"error_msg": "not known"}))


if _NEW:

    def _register_xclbin(self: device, file: xclbin) -> str:
        self._board.load(file._path)
        return file._path

    device.register_xclbin = _register_xclbin  # type: ignore[attr-defined]

    class hw_context:  # noqa: N801
        """A context on a board."""

        def __init__(self, board: device, uid: str) -> None:
            self._board = board._board


class kernel:  # noqa: N801
    """A kernel of a loaded xclbin."""

    class _Mode(enum.Enum):
        exclusive = 0
        shared = 1
        none = 2

    exclusive, shared, none = _Mode

    def __init__(self, where: Any, *more: Any) -> None:
        self._board: CBackend = where._board
        name = more[-1] if len(more) == 1 else more[1]
        mode = more[2] if len(more) == 3 else kernel.shared
        try:
            self._handle = self._board.open_kernel(name, mode is kernel.exclusive)
        except XrtRefused:
            _raise(f"No such kernel '{name}'")

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._board.close_kernel(self._handle)


class bo:  # noqa: N801
    """A buffer."""

    normal = 0

    def __init__(self, board: device, size: int, flags: int, group: int) -> None:
        self._board = board._board
        try:
            self._handle = self._board.allocate(size, group)
        except XrtRefused:
            raise MemoryError("std::bad_alloc") from None

    def write(self, data: bytes, seek: int) -> None:
        """Bytes into the host's half."""
        self._board.write(self._handle, bytes(data), seek)

    def read(self, size: int, skip: int) -> bytes:
        """Bytes from the host's half."""
        return self._board.read(self._handle, size, skip)

    def sync(self, direction: xclBOSyncDirection, size: int, offset: int) -> None:
        """Copy between the halves."""
        self._board.sync(self._handle, direction is xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE, size, offset)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._board.free(self._handle)


class run:  # noqa: N801
    """A run of a kernel."""

    def __init__(self, of: kernel) -> None:
        self._kernel, self._board = of, of._board
        self._handle = self._board.prepare(of._handle, [])
        self._kept: list[Any] = []

    def set_arg(self, index: int, value: Any) -> None:
        """Set an argument: a buffer, or a number of 32 bits."""
        self._kept.append(value)
        argument = ctypes.c_void_p(value._handle) if isinstance(value, bo) else ctypes.c_uint32(value)
        if self._board._library.xrtRunSetArg(ctypes.c_void_p(self._handle), ctypes.c_int(index), argument):
            _raise("bad argument")

    def start(self) -> None:
        """Start it."""
        self._board.start(self._handle)

    def wait(self, milliseconds: int) -> ert_cmd_state:
        """Wait for it."""
        return ert_cmd_state(self._board._library.xrtRunWaitFor(self._handle, milliseconds))

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._board.drop(self._handle)
