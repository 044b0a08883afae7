"""The compiled library on this machine's CPU."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit._optional import require, require_installed
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.host import host_architecture, missing_features
from ectoolkit.core.manifest import LIBRARY
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.kernels import Measuring
from ectoolkit.devices.parameters import load_parameters
from ectoolkit.devices.profile import Profile
from ectoolkit.devices.sensors import Reading
from ectoolkit.errors import DeviceError, DeviceRunError, MissingDependencyError

#: TVM's ThreadGroup::kSpecifyThreadShareAllCore: takes a list of CPUs and lets every thread run on any of them.  Mode
#: -2 takes a list too but pins each worker to one CPU, where another process may keep it waiting; the modes without a
#: list never use more threads than half the CPUs the system shows
_SHARE_ALL_CORES = -3
#: how many workers the calling thread's pool has
_pool = threading.local()


class CpuDevice(Device):
    """Runs ``deploy.so`` in this process.

    Args:
        threads: worker threads, the calling one included; one for each CPU this process may use where None.

    TVM keeps one pool of workers for each thread that runs a model, so the number is set where a run begins.
    """

    name = "cpu"

    def __init__(self, threads: int | None = None) -> None:
        super().__init__()
        cpus = sorted(os.sched_getaffinity(0))
        if threads is not None and not 1 <= threads <= len(cpus):
            raise DeviceError(f"threads is {threads}, expected 1 to {len(cpus)}, the CPUs this process may use")
        self.threads = threads or len(cpus)
        # all of them whatever the number of threads: TVM binds the calling thread to the list too, for good
        self._cpus = [str(cpu) for cpu in cpus]

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        try:
            require_installed("tvm", feature="The cpu device")  # a list of devices must not take TVM's two seconds
        except MissingDependencyError as error:
            return [DeviceInfo(cls.name, "compiled library on this CPU", False, str(error))]
        return [DeviceInfo(cls.name, f"compiled library on this CPU, {len(os.sched_getaffinity(0))} cores", True)]

    def sensors(self) -> tuple[Reading, ...]:
        """How busy the machine is: times taken beside other work say little."""
        return (Reading("load", round(os.getloadavg()[0], 2), f"of {len(os.sched_getaffinity(0))} CPUs"),)

    def _open(self) -> None:
        self._tvm = require("tvm", feature="The cpu device")

    def _set_threads(self) -> None:
        if getattr(_pool, "threads", None) != self.threads:
            configure = self._tvm.get_global_func("runtime.config_threadpool")
            configure(_SHARE_ALL_CORES, self.threads, self._cpus)
            _pool.threads = self.threads

    def _check(self, deployment: Deployment) -> None:
        check_host(deployment)

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        machine, prepared = self._machine(deployment, load_parameters(deployment))
        function = machine[deployment.program().run]
        # made once: memory as large as an image, new in each run, costs more than copying into it
        inputs = [self._tvm.runtime.empty(tuple(file.shape), "float32") for file in deployment.manifest.inputs]

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            self._set_threads()
            try:
                for given, array in zip(inputs, arrays, strict=True):
                    given.copyfrom(array)
                return [output.numpy() for output in function(*inputs, prepared)]
            except Exception as error:
                raise DeviceRunError(f"{deployment.manifest.name} failed on the cpu: {error}") from error

        return run

    def profile(self, deployment: Deployment, *, runs: int = 20) -> Profile:
        """See `Device.profile`: the kernels of the library, called one by one in the order of a run."""
        if runs < 1:
            raise DeviceError(f"runs={runs}: expected at least one run to time")
        with self._one_at_a_time:
            self.load(deployment)
            self._set_threads()
            parameters = load_parameters(deployment)
            machine, prepared = self._machine(deployment, parameters)
            inputs = [self._tvm.runtime.tensor(array) for array in deployment.inputs()]
            graph = deployment.graph({name: array.numpy() for name, array in parameters.items()})
            measuring = Measuring(machine, deployment, graph, self._tvm.runtime.tensor)
            return measuring.profile([*inputs, prepared], runs, self.name, self.threads)

    def _machine(self, deployment: Deployment, parameters: Mapping[str, Any]) -> tuple[Any, Any]:
        """A virtual machine of the library, and the prepared parameters."""
        relax = require("tvm.relax", feature="The cpu device")
        program, library = deployment.program(), deployment.read_file(LIBRARY)
        try:
            machine = relax.VirtualMachine(self._load_library(library), self._tvm.cpu())
            return machine, machine[program.prepare]([parameters[name] for name in program.parameters])
        except Exception as error:  # the system's or TVM's, of no stable kind
            said = str(error).strip()
            if os.statvfs(tempfile.gettempdir()).f_flag & os.ST_NOEXEC:
                raise DeviceError(
                    f"no library can be loaded from {tempfile.gettempdir()}, where a private copy is made: {said}. Its "
                    "file system allows no programs (noexec). Name a folder that does: TMPDIR=FOLDER"
                ) from error
            raise DeviceError(
                f"{deployment.path / LIBRARY} does not load on the cpu: {said}. Expected a library built "
                f"for this system and this TVM ({self._tvm.__version__}): build it again on this machine"
            ) from error

    def _load_library(self, library: bytes) -> Any:
        """Load a private copy of what was checked: the directory's own file may change until it is loaded, and the
        system gives a library that is loaded already for a path it has seen, so that a directory built a second time
        in one session would run its old code."""
        with tempfile.TemporaryDirectory(prefix="ectoolkit-") as folder:
            copy = Path(folder) / LIBRARY
            copy.write_bytes(library)
            return self._tvm.runtime.load_module(str(copy))


def check_host(deployment: Deployment) -> None:
    """Refuse a library that this CPU would die of with an illegal instruction.

    Raises:
        DeviceError: the CPU lacks a feature, or the library is for another target.
    """
    manifest = deployment.manifest
    if manifest.target != "cpu":
        raise DeviceError(f"{deployment.path} was built for {manifest.target}; the cpu device runs target 'cpu'")
    if manifest.host_arch != host_architecture():
        raise DeviceError(
            f"{deployment.path} was built for {manifest.host_arch}, and this machine is {host_architecture()}. Run it "
            "on such a machine, or build it for this one"
        )
    missing = missing_features(manifest.cpu_features)
    if missing:
        raise DeviceError(
            f"{deployment.path} was built for {manifest.isa}, and this CPU lacks {', '.join(missing)}. "
            "Build it again on this machine, with isa='host'"
        )
