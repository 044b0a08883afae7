"""A device that hands everything to the interpreter, in the way that a third party would write one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ectoolkit.core.deployment import Deployment
from ectoolkit.devices import Device, DeviceInfo, open_device


class MirrorDevice(Device):
    """Two of them, ``mirror:left`` and ``mirror:right``.

    Args:
        address: ``"left"`` or ``"right"``.
    """

    takes_address = True
    name = "mirror"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._behind = open_device("interpreter")

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        return [
            DeviceInfo("mirror:left", "the interpreter, seen in a mirror", True),
            DeviceInfo("mirror:right", "the interpreter, seen in a mirror", False, "it hangs the wrong way round"),
        ]

    def _open(self) -> None:
        self._behind.__enter__()

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        self._behind.load(deployment)
        return self._behind.run_arrays

    def _close(self) -> None:
        self._behind.close()
