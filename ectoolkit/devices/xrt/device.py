"""A board as a device: runs deployments on a kernel that takes a whole graph.

The open kernel is ``ectoolkit_graph(program, x, y, program_bytes, x_bytes, y_bytes)``; the virtual U50 has it.  On a
real card EdgeCortix's own design runs deployments: that is the device ``mera:IP``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np

from ectoolkit._notices import in_terms
from ectoolkit.core.deployment import Deployment, from_layout, to_layout
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.parameters import graph_of
from ectoolkit.devices.sensors import Reading
from ectoolkit.devices.xrt.board import Board
from ectoolkit.devices.xrt.buffer import Buffer
from ectoolkit.devices.xrt.discovery import BoardFacts, absence, find_board, find_boards, usable_board
from ectoolkit.devices.xrt.health import read_health, read_sensors
from ectoolkit.devices.xrt.host import current_host
from ectoolkit.devices.xrt.programs import encode_program
from ectoolkit.errors import BoardLostError, Cancelled, DeviceError, DeviceNotFoundError, DeviceTimeoutError

KERNEL = "ectoolkit_graph"
_FLOAT_BYTES = 4


class XrtDevice(Device):
    """Runs the graph of a deployment on a board.

    Args:
        address: the board's number or PCIe address.
        xclbin: file with the kernel `KERNEL`; the virtual board's own where None.
        backend: ``"pyxrt"``, ``"ctypes"`` or ``"auto"``.
        timeout_s: how long one run may take.

    `RunResult.metrics` holds ``kernel_us``: the kernel without the copies, from its start to the notice of its end,
    timed beside XRT.
    """

    takes_address = True
    name = "xrt"
    runs_native_code = False

    def __init__(
        self,
        address: str = "",
        *,
        xclbin: str | os.PathLike[str] | None = None,
        backend: str = "auto",
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(address or "0")
        self.board = Board(address or "0", backend=backend)
        self._xclbin = xclbin
        self._timeout_s = timeout_s
        self._buffers: list[Buffer] = []

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        try:
            boards = find_boards()
        except DeviceError as error:
            return [DeviceInfo("xrt:0", "an FPGA board through XRT", False, str(error))]
        if not boards:
            return [DeviceInfo("xrt:0", "an FPGA board through XRT", False, str(absence()))]
        return [_info(f"xrt:{board.index}", board) for board in boards]

    def info(self) -> DeviceInfo:
        try:
            return _info(self.name, find_board(self.board.address))
        except DeviceNotFoundError as error:
            return DeviceInfo(self.name, "an FPGA board through XRT", False, str(error))

    def sensors(self) -> tuple[Reading, ...]:
        """Power and temperatures, from the driver's files; a run is not disturbed."""
        return read_sensors(self.board.address)

    @property
    def notice(self) -> str:
        return current_host().notice

    def identity(self) -> Mapping[str, str]:
        health = read_health(self.board.address)
        xrt = f"{health.library_version or 'not known'}, driver {health.driver_version or 'not known'}"
        design = self.board.xclbin
        return {
            **super().identity(),
            "XRT": f"{xrt}, through {self.board.backend}",
            "xclbin": f"{design.path.name}, uuid {design.uuid}",
        }

    def _open(self) -> None:
        usable_board(self.board.address)  # without a board nobody needs a design for it
        xclbin = self._xclbin or current_host().xclbin
        if not xclbin:
            how = in_terms(f"open_device({self.name!r}, xclbin='design.xclbin')", "give it with --xclbin design.xclbin")
            raise DeviceError(
                f"{self.name} needs an xclbin with the kernel {KERNEL} to run deployments: {how}. EdgeCortix's own "
                "design is opened as 'mera:IP'; for other kernels use ectoolkit.devices.xrt.Board"
            )
        self.board.open()
        try:
            self.board.load(xclbin).kernel(KERNEL)
        except BaseException:
            self.board.close()
            raise

    def _close(self) -> None:
        self._buffers = []
        self.board.close()

    def _interrupt(self) -> None:
        self.board.close()

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        data = np.frombuffer(encode_program(graph_of(deployment)), np.uint8)
        manifest = deployment.manifest
        in_bytes, out_bytes = (sum(t.size_bytes for t in tensors) for tensors in (manifest.inputs, manifest.outputs))
        while self._buffers:
            self._buffers.pop().free()
        for name, size in (("program", data.size), ("x", in_bytes), ("y", out_bytes)):
            self._buffers.append(self.board.buffer(KERNEL, name, size))  # kept, should the next have no room
        program, x, y = self._buffers
        program.write(data)
        program.to_device()

        def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
            given = [from_layout(a, t.layout).ravel() for a, t in zip(inputs, manifest.inputs, strict=True)]
            try:
                x.write(np.concatenate(given))
                x.to_device()
                sizes = (data.size, in_bytes, out_bytes)
                kernel_s = self.board.run(KERNEL, program, x, y, *sizes, timeout_s=self._timeout_s)
                y.from_device()
                numbers = y.read("<f4", out_bytes // _FLOAT_BYTES)
            except (DeviceTimeoutError, BoardLostError, Cancelled):
                self.close()
                raise
            self._metrics = {"kernel_us": kernel_s * 1e6}
            outputs, at = [], 0
            for tensor in manifest.outputs:
                spec = tensor.graph_spec
                outputs.append(to_layout(numbers[at : at + spec.size].reshape(spec.shape), tensor.layout))
                at += spec.size
            return outputs

        return run


def _info(name: str, board: BoardFacts) -> DeviceInfo:
    return DeviceInfo(name, board.description, board.obstacle is None, board.reason)
