"""Boards through XRT: `Board` for programs, `XrtDevice` for deployments, `find_boards` and `read_health` for a look.

Nothing here loads XRT into this process: it can end its process, and a hung kernel never gives it back.
"""

from ectoolkit.devices.xrt.board import Board, Buffer
from ectoolkit.devices.xrt.discovery import BoardFacts, absence, find_boards, has_board
from ectoolkit.devices.xrt.health import Health, read_health
from ectoolkit.devices.xrt.xclbin import Xclbin, read_xclbin

__all__ = [
    "Board",
    "BoardFacts",
    "Buffer",
    "Health",
    "Xclbin",
    "absence",
    "find_boards",
    "has_board",
    "read_health",
    "read_xclbin",
]
