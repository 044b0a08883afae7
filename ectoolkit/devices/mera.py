"""EdgeCortix's interpreter, simulators and boards, each run by their own runtime in a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ectoolkit.core.deployment import Deployment
from ectoolkit.core.manifest import LIBRARY, PARAMETERS, PROGRAM
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.mera_board import require_board, require_verilator
from ectoolkit.errors import (
    Cancelled,
    DeviceError,
    DeviceNotFoundError,
    DeviceRunError,
    DeviceTimeoutError,
    EctoolkitError,
    WorkerError,
)
from ectoolkit.mera.names import BOARDS, TARGETS
from ectoolkit.mera.place import Place, find_place
from ectoolkit.mera.session import Waiting, Worker, give_worker, take_worker

_LOAD_TIMEOUT_S, _UNLOAD_TIMEOUT_S = 120, 10


class MeraDevice(Device):
    """Runs deployments of ``target="mera:..."``.

    Args:
        address: of MERA's targets: ``"InterpreterHw"``, ``"Simulator"``, ``"IP"``, ``"VerilatorSimulator"``.
        environment: of MERA, where not the usual one: see `ectoolkit.mera.place.find_place`.
        board: for IP: ``"XILINX_U50"``, ``"SAKURA_1"`` or ``"INTEL_IA420"``.
        timeout_s: for one run; None for none.
        waiting: called while it runs with seconds and the tool's last line; where it raises, the run is cancelled.

    Where a run ends its process the error says so, and the next run starts another.
    """

    takes_address = True
    name = "mera"

    def __init__(
        self,
        address: str,
        *,
        environment: str | Place | None = None,
        board: str = "XILINX_U50",
        timeout_s: float | None = 3600,
        waiting: Waiting | None = None,
    ) -> None:
        if address not in TARGETS:
            known = ", ".join(f"mera:{name}" for name in TARGETS)
            raise DeviceNotFoundError(f"there is no device 'mera:{address}'; there are {known}")
        if board not in BOARDS:
            raise DeviceError(f"board is {board!r}, expected one of {', '.join(BOARDS)}")
        super().__init__(address)
        self.target, self.board, self.timeout_s, self.waiting = address, board, timeout_s, waiting
        self._environment = environment
        self._worker: Worker | None = None

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        reason = ""
        try:
            place = find_place()
            if not place.ssh and shutil.which(place.words[0]) is None:
                reason = f"{place} is not there. Install MERA with `ectoolkit mera install`, or name another place"
        except EctoolkitError as error:
            reason = str(error)
        return [DeviceInfo(f"mera:{name}", what, not reason, reason) for name, what in TARGETS.items()]

    def _open(self) -> None:
        place = find_place(self._environment)
        self._worker = self._fresh(place)
        if not self._worker.facts["versions"]["mera"]:
            self._close()
            raise DeviceError(f"{place} has no mera. Expected {place.what}; see `ectoolkit mera status`")

    def _fresh(self, place: Place) -> Worker:
        try:
            return take_worker(place)
        except WorkerError as error:
            raise DeviceError(str(error)) from error

    def _close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            try:
                if worker.alive:
                    worker.call("unload", timeout_s=_UNLOAD_TIMEOUT_S)
            except WorkerError:  # nobody waits for what it has, and it is not for the next one either
                worker.kill()
            give_worker(worker)

    def _check(self, deployment: Deployment) -> None:
        target = deployment.manifest.target
        if target != self.name:
            raise DeviceError(f"{deployment.path} was built for {target}; {self.name} runs target '{self.name}'")

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        worker = self._living()
        try:
            self._require_hardware(worker, deployment)
        except WorkerError as error:
            raise _device_error(error) from error
        self._send(worker, deployment)
        shapes = [tensor.shape for tensor in deployment.manifest.outputs]

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            worker = self._worker
            if worker is None or not worker.alive:
                worker = self._living()
                self._send(worker, deployment)
            try:
                outputs, metrics = worker.run(arrays, timeout_s=self.timeout_s, waiting=self._wait)
            except WorkerError as error:
                raise _device_error(error) from error
            if [output.shape for output in outputs] != shapes:
                found = [output.shape for output in outputs]
                raise DeviceRunError(f"{self.name} gave outputs of shapes {found}, expected {shapes} of the manifest")
            self._metrics = _totals(metrics)
            return outputs

        return run

    def _living(self) -> Worker:
        """The worker, or another where it ended; what was loaded is then gone."""
        assert self._worker is not None
        if not self._worker.alive:
            self._worker = self._fresh(self._worker.place)
        return self._worker

    def _require_hardware(self, worker: Worker, deployment: Deployment) -> None:
        if self.target == "IP":
            require_board(worker, self.board, deployment.manifest.platform)
        elif self.target == "VerilatorSimulator":
            require_verilator(worker)

    def _send(self, worker: Worker, deployment: Deployment) -> None:
        """Load a deployment there; where that fails, the worker has an unknown part of it, and is ended."""
        files = {name: deployment.read_file(name) for name in (LIBRARY, PROGRAM, PARAMETERS)}
        try:
            worker.send_files("run", files)
            doing = f"{self.name}, loading {deployment.manifest.name}"
            worker.call("load", timeout_s=_LOAD_TIMEOUT_S, doing=doing, device_code=BOARDS[self.board])
        except WorkerError as error:
            worker.kill()
            raise _device_error(error) from error

    def identity(self) -> Mapping[str, str]:
        """See `Device.identity`; with the versions and the machine of their environment."""
        if self._worker is None:
            return super().identity()
        facts = self._worker.facts
        versions = ", ".join(f"{name} {version}" for name, version in sorted(facts["versions"].items()))
        return {**super().identity(), "MERA": f"{versions} on {facts['host']}, Python {facts['python']}"}

    def _wait(self, seconds: float, line: str) -> None:
        """Called while it runs; what is raised ends the worker."""
        if self._closing:
            raise Cancelled(f"{self.name} was closed {seconds:.0f} s into a run, so its process was ended")
        if self.waiting is not None:
            self.waiting(seconds, line)

    def build_options(self) -> Mapping[str, Any]:
        return {} if self._environment is None else {"environment": self._environment}


def _device_error(error: WorkerError) -> DeviceError:
    return (DeviceTimeoutError if error.timed_out else DeviceRunError)(str(error))


def _totals(metrics: list[dict[str, float]]) -> dict[str, float]:
    """MERA's runtime measures each subgraph; times and cycles add up, the clock is one."""
    total: dict[str, float] = {}
    for part in metrics:
        for name, value in part.items():
            if isinstance(value, int | float):
                total[name] = value if name == "freq_mhz" else total.get(name, 0) + value
    return total
