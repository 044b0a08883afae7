"""XRT through pyxrt, from 2.13 on; what a version lacks is found by looking, for the module has no version.

| from | what changed |
|---|---|
| 2.13 | ``load_xclbin``, ``kernel(device, uuid, name, mode)`` |
| 2.16 | ``register_xclbin``, ``hw_context(device, uuid)``, ``kernel(context, name)`` |
| 2.23 | the first way warns as deprecated |
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from ectoolkit.devices.xrt.backend import STATES, Backend, XrtRefused

_TOPICS = ("electrical", "thermal", "mechanical", "memory", "platform", "pcie_info", "host", "dynamic_regions")


class PyxrtBackend(Backend):
    """Everything of one board; `module` is pyxrt."""

    name = "pyxrt"

    def __init__(self, module: Any) -> None:
        self._xrt = module
        self._device: Any = None
        self._uuid: Any = None
        self._context: Any = None
        self._path = ""

    def _try(self, what: Callable[[], Any]) -> Any:
        """Call XRT; its exceptions are of no stable kind."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                return what()
        except MemoryError as error:
            raise XrtRefused(str(error) or "std::bad_alloc") from error
        except Exception as error:
            raise XrtRefused(str(error)) from error

    def open(self, bdf: str) -> None:
        self._device = self._try(lambda: self._xrt.device(bdf))

    @property
    def _has_contexts(self) -> bool:
        return hasattr(self._device, "register_xclbin") and hasattr(self._xrt, "hw_context")

    def load(self, path: str) -> None:
        self._path = path
        if self._has_contexts:
            self._uuid = self._try(lambda: self._device.register_xclbin(self._xrt.xclbin(path)))
            self._context = self._try(lambda: self._xrt.hw_context(self._device, self._uuid))
        else:
            self._uuid = self._try(lambda: self._device.load_xclbin(path))

    def open_kernel(self, name: str, exclusive: bool) -> Any:
        kernel = self._xrt.kernel
        if self._context is not None and not exclusive:
            return self._try(lambda: kernel(self._context, name))
        if self._context is not None:
            # a context of 2.16 to 2.23 has no mode in pyxrt: give it up, and go the old way
            self._context = None
            self._uuid = self._try(lambda: self._device.load_xclbin(self._path))
        mode = kernel.exclusive if exclusive else kernel.shared
        return self._try(lambda: kernel(self._device, self._uuid, name, mode))

    def close_kernel(self, kernel: Any) -> None:
        """The object's end closes it."""

    def allocate(self, size_bytes: int, bank: int) -> Any:
        return self._try(lambda: self._xrt.bo(self._device, size_bytes, self._xrt.bo.normal, bank))

    def free(self, buffer: Any) -> None:
        """The object's end frees it."""

    def write(self, buffer: Any, data: bytes, offset: int) -> None:
        self._try(lambda: buffer.write(data, offset))

    def read(self, buffer: Any, size_bytes: int, offset: int) -> bytes:
        return bytes(self._try(lambda: buffer.read(size_bytes, offset)))

    def sync(self, buffer: Any, to_device: bool, size_bytes: int, offset: int) -> None:
        directions = self._xrt.xclBOSyncDirection
        direction = directions.XCL_BO_SYNC_BO_TO_DEVICE if to_device else directions.XCL_BO_SYNC_BO_FROM_DEVICE
        self._try(lambda: buffer.sync(direction, size_bytes, offset))

    def prepare(self, kernel: Any, arguments: list[Any]) -> Any:
        run = self._try(lambda: self._xrt.run(kernel))
        for index, argument in enumerate(arguments):
            value = _as_c_int(*argument) if isinstance(argument, tuple) else argument
            self._try(partial(run.set_arg, index, value))
        return run

    def start(self, run: Any) -> None:
        self._try(run.start)

    def wait(self, run: Any, milliseconds: int) -> str:
        state = self._try(lambda: run.wait(milliseconds))
        return STATES.get(int(getattr(state, "value", state)), "error")

    def drop(self, run: Any) -> None:
        """The object's end closes it."""

    def information(self) -> dict[str, str]:
        """JSON text by topic; a topic that this version does not have is left out."""
        topics = self._xrt.xrt_info_device
        found = {}
        for name in filter(lambda name: hasattr(topics, name), _TOPICS):
            try:
                found[name] = str(self._try(partial(self._device.get_info, getattr(topics, name))))
            except XrtRefused as refusal:
                found[name] = f'{{"error_msg": "{refusal}"}}'
        return found


def _as_c_int(value: int | float, size: int) -> int:
    """A scalar as the C ``int`` that pyxrt takes: it copies its bits into the argument, whatever they mean."""
    if isinstance(value, float):
        value = int.from_bytes(struct.pack("<f" if size == 4 else "<d", value), "little")
    half = 1 << (8 * size - 1)
    return value - 2 * half if value >= half else value
