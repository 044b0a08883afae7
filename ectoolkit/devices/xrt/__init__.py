"""Boards through XRT: `Board` for programs, `XrtDevice` for deployments, `find_boards` and `read_health` for a look.

Nothing here loads XRT into this process: it can end its process, and a hung kernel never gives it back.  Names are
looked up when they are first used, so that the child process starts with little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ectoolkit._lazy import find as _find

if TYPE_CHECKING:
    from ectoolkit.devices.xrt.board import Board
    from ectoolkit.devices.xrt.buffer import Buffer
    from ectoolkit.devices.xrt.device import XrtDevice
    from ectoolkit.devices.xrt.discovery import BoardFacts, absence, find_boards, has_board
    from ectoolkit.devices.xrt.health import Health, read_health
    from ectoolkit.devices.xrt.layer import compare_layer, run_layer
    from ectoolkit.devices.xrt.measure import measure_banks, measure_kernel
    from ectoolkit.devices.xrt.xclbin import Xclbin, read_xclbin

_HOMES = {
    "Board": "board",
    "BoardFacts": "discovery",
    "Buffer": "buffer",
    "Health": "health",
    "Xclbin": "xclbin",
    "XrtDevice": "device",
    "absence": "discovery",
    "compare_layer": "layer",
    "find_boards": "discovery",
    "has_board": "discovery",
    "measure_banks": "measure",
    "measure_kernel": "measure",
    "read_health": "health",
    "read_xclbin": "xclbin",
    "run_layer": "layer",
}

__all__ = [
    "Board",
    "BoardFacts",
    "Buffer",
    "Health",
    "Xclbin",
    "XrtDevice",
    "absence",
    "compare_layer",
    "find_boards",
    "has_board",
    "measure_banks",
    "measure_kernel",
    "read_health",
    "read_xclbin",
    "run_layer",
]


def __getattr__(name: str) -> Any:
    return _find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return list(__all__)
