"""XRT through its public C API, for hosts without pyxrt: ctypes on ``libxrt_coreutil.so.2``.

A failed call gives NULL or -1 and says why only in XRT's log, so `XrtRefused` comes without a text.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_int, c_size_t, c_ubyte, c_uint, c_uint32, c_uint64, c_void_p
from typing import Any

from ectoolkit.devices.xrt.backend import STATES, Backend, XrtRefused

_TO_DEVICE, _FROM_DEVICE = 0, 1
_UUID = c_ubyte * 16
#: result and parameters; xrtRunSetArg is variadic and stays undeclared
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "xrtDeviceOpenByBDF": (c_void_p, [c_char_p]),
    "xrtDeviceClose": (c_int, [c_void_p]),
    "xrtDeviceLoadXclbinFile": (c_int, [c_void_p, c_char_p]),
    "xrtDeviceGetXclbinUUID": (c_int, [c_void_p, POINTER(c_ubyte)]),
    "xrtPLKernelOpen": (c_void_p, [c_void_p, POINTER(c_ubyte), c_char_p]),
    "xrtPLKernelOpenExclusive": (c_void_p, [c_void_p, POINTER(c_ubyte), c_char_p]),
    "xrtKernelClose": (c_int, [c_void_p]),
    "xrtBOAlloc": (c_void_p, [c_void_p, c_size_t, c_uint64, c_uint32]),
    "xrtBOFree": (c_int, [c_void_p]),
    "xrtBOWrite": (c_int, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "xrtBORead": (c_int, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "xrtBOSync": (c_int, [c_void_p, c_int, c_size_t, c_size_t]),
    "xrtRunOpen": (c_void_p, [c_void_p]),
    "xrtRunStart": (c_int, [c_void_p]),
    "xrtRunWaitFor": (c_int, [c_void_p, c_uint]),
    "xrtRunClose": (c_int, [c_void_p]),
}


class CBackend(Backend):
    """The library is loaded where the object is made."""

    name = "ctypes"

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        for name, (result, parameters) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, parameters
        self._device: int | None = None

    def _handle(self, name: str, *arguments: Any) -> int:
        found = getattr(self._library, name)(*arguments)
        if not found:
            raise XrtRefused
        return int(found)

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments):
            raise XrtRefused

    def open(self, bdf: str) -> None:
        self._device = self._handle("xrtDeviceOpenByBDF", bdf.encode())

    def load(self, path: str) -> None:
        self._call("xrtDeviceLoadXclbinFile", self._device, path.encode())

    def open_kernel(self, name: str, exclusive: bool) -> int:
        uid = _UUID()
        self._call("xrtDeviceGetXclbinUUID", self._device, uid)
        function = "xrtPLKernelOpenExclusive" if exclusive else "xrtPLKernelOpen"
        return self._handle(function, self._device, uid, name.encode())

    def close_kernel(self, kernel: int) -> None:
        self._call("xrtKernelClose", kernel)

    def allocate(self, size_bytes: int, bank: int) -> int:
        return self._handle("xrtBOAlloc", self._device, size_bytes, 0, bank)

    def free(self, buffer: int) -> None:
        self._call("xrtBOFree", buffer)

    def write(self, buffer: int, data: bytes, offset: int) -> None:
        self._call("xrtBOWrite", buffer, ctypes.cast(c_char_p(data), c_void_p), len(data), offset)

    def read(self, buffer: int, size_bytes: int, offset: int) -> bytes:
        data = ctypes.create_string_buffer(size_bytes)
        self._call("xrtBORead", buffer, data, size_bytes, offset)
        return data.raw

    def sync(self, buffer: int, to_device: bool, size_bytes: int, offset: int) -> None:
        self._call("xrtBOSync", buffer, _TO_DEVICE if to_device else _FROM_DEVICE, size_bytes, offset)

    def prepare(self, kernel: int, arguments: list[Any]) -> int:
        run = self._handle("xrtRunOpen", kernel)
        for index, argument in enumerate(arguments):
            self._call("xrtRunSetArg", c_void_p(run), c_int(index), _variadic(argument))
        return run

    def start(self, run: int) -> None:
        self._call("xrtRunStart", run)

    def wait(self, run: int, milliseconds: int) -> str:
        return STATES.get(self._library.xrtRunWaitFor(run, milliseconds), "error")

    def drop(self, run: int) -> None:
        self._call("xrtRunClose", run)


def _variadic(argument: Any) -> Any:
    """As C passes it after the dots: a buffer's handle, a whole number of 4 or 8 bytes, or a double."""
    if isinstance(argument, int):
        return c_void_p(argument)
    value, size = argument
    if isinstance(value, float):
        return c_double(value)
    return c_uint64(value) if size == 8 else c_uint32(value)
