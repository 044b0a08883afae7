"""A virtual Alveo U50: XRT's own user space on a fake driver, with kernels in numpy and faults on request.

It shows that the way from host memory through a sync, a kernel and a sync back is right, and that each failure is
named.  It shows nothing of a real card's speed, timing or power: its sensor values are invented.
"""

from ectoolkit.testing.virtual_u50.board import VirtualBoard, virtual_u50
from ectoolkit.testing.virtual_u50.compile import missing
from ectoolkit.testing.virtual_u50.faults import Fault

__all__ = ["Fault", "VirtualBoard", "missing", "virtual_u50"]
