"""What every device is: facts, a life cycle, runs and their times."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from ectoolkit._notices import in_terms
from ectoolkit.core.deployment import Deployment, from_layout, load_deployment
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress
from ectoolkit.devices.benchmark import Benchmark, Effort, measure
from ectoolkit.devices.profile import Profile
from ectoolkit.devices.sensors import Reading
from ectoolkit.errors import DeployFormatError, DeviceError, DeviceStateError


@dataclass(frozen=True)
class DeviceInfo:
    """Facts about a device.

    Attributes:
        name: what `open_device` takes.
        description: one line for people.
        available: whether it can be opened here.
        reason: why not, with the remedy; empty where available.
    """

    name: str
    description: str
    available: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run gave.

    Attributes:
        outputs: float32, in the graph's layout (NCHW where 4-D).
        latency_s: host seconds of one run, the mean where the images took several.
        device: name of the device.
        metrics: what the device itself measured in the last run, such as simulated cycles, by name with unit; empty
            for most.
    """

    outputs: list[np.ndarray]
    latency_s: float
    device: str
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        shapes = ", ".join("×".join(map(str, output.shape)) for output in self.outputs)
        return f"RunResult({self.device}, {shapes}, {self.latency_s * 1e3:.2f} ms)"


class Device(ABC):
    """One device; use it as a context manager.

    It does one thing at a time: a thread that loads, runs or times waits until another one's is done.

    Attributes:
        takes_address: whether `open_device` takes ``KIND:ADDRESS`` for it and gives the class the address, as the
            first argument.
        name: what `open_device` takes; of the class, the kind alone, as in the registry.
        runs_native_code: whether it runs the directory's library, which must then be of known origin; False where the
            graph alone is interpreted.
    """

    takes_address: ClassVar[bool] = False
    runs_native_code: ClassVar[bool] = True
    name: str

    def __init__(self, address: str = "") -> None:
        if address:
            self.name = f"{type(self).name}:{address}"
        self._opened = False
        self._loaded: Deployment | None = None
        # what is loaded has buffers for one run, and a run must meet what was loaded for it; run calls load
        self._one_at_a_time = threading.RLock()
        self._closing = False
        #: a device that measures itself puts here what it measured in a run
        self._metrics: Mapping[str, float] = {}

    @classmethod
    @abstractmethod
    def discover(cls) -> list[DeviceInfo]:
        """Facts about each device of this kind here, without opening any; where there is none, one that says why."""

    def info(self) -> DeviceInfo:
        """Facts about this one, without opening it."""
        found = self.discover()
        mine = next((info for info in found if info.name == self.name), None)
        if mine is None:
            there = ", ".join(info.name for info in found)
            return DeviceInfo(self.name, found[0].description, False, f"there is none of this name; there is {there}")
        return mine

    @abstractmethod
    def _open(self) -> None:
        """Take hold of the device."""

    @abstractmethod
    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        """Load a deployment; returns what runs it once, arrays in the deployment's layouts."""

    def _check(self, deployment: Deployment) -> None:
        """Raise DeviceError where the manifest alone shows that the device cannot run it."""

    def taps(self, deployment: Deployment, inputs: Inputs) -> Mapping[str, np.ndarray] | None:
        """What the device has after each layer, where it can show that; None where it gives outputs only.

        Args:
            deployment: what to run.
            inputs: float32 in the graph's layout, any multiple of the batch.

        Returns:
            By layer name, in the graph's layout: codes, sums, or real numbers, as the interpreter's trace has them.
        """
        return None

    def build_options(self) -> Mapping[str, Any]:
        """What `ectoolkit.builders.build` must be told so that this device can be used for what it builds."""
        return {}

    def sensors(self) -> tuple[Reading, ...]:
        """What sensors tell now, quickly and without disturbing a run; open or not.  Empty where there are none.

        Raises:
            DeviceError: the device is gone.
        """
        return ()

    def identity(self) -> Mapping[str, str]:
        """What a certificate says of the device: by fact, at the least ``"device"``.  Asked while it is open."""
        known = {"device": self.info().description}
        return known | ({"note": self.notice} if self.notice else {})

    @property
    def notice(self) -> str:
        """What to know before believing sensors and times; empty where nothing."""
        return ""

    def check(self, deployment: Deployment) -> None:
        """Ask, without opening or running anything, whether the device would take a deployment.

        Raises:
            DeviceError: the manifest alone shows that it does not fit; says what to do.
            UntrustedError: the device would run native code of unknown origin.
        """
        self._check(deployment)
        if self.runs_native_code:
            deployment.require_trust(self.name)

    def _close(self) -> None:
        """Let go of the device."""

    def _interrupt(self) -> None:
        """End soon what another thread runs, where the device can; it is about to be closed."""

    def __enter__(self) -> Self:
        with self._one_at_a_time:
            if not self._opened:
                self._open()
                self._opened = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the device and what is loaded; closing twice is harmless.

        A run of another thread is interrupted where the device can do that, and waited for where it cannot; no further
        one begins.
        """
        self._closing = True
        try:
            if not self._one_at_a_time.acquire(blocking=False):
                self._interrupt()
                self._one_at_a_time.acquire()
        except BaseException:
            self._closing = False
            raise
        try:
            if self._opened:
                self._close()
        finally:
            self._opened, self._loaded, self._closing = False, None, False
            self._one_at_a_time.release()

    def _not_open(self) -> DeviceStateError:
        return DeviceStateError(f"{self.name} is not open; use it as `with open_device({self.name!r}) as device:`")

    def load(self, deployment: Deployment) -> None:
        """Load a deployment, once; its directory is checked again, for it may have changed since it was opened.

        Raises:
            DeployFormatError: the directory is not the one that was opened.
            DeviceStateError: the device is not open.
            UntrustedError: it would run native code of unknown origin.
            DeviceError: it cannot run this deployment; says why.
        """
        with self._one_at_a_time:
            if not self._opened or self._closing:
                raise self._not_open()
            if self._loaded != deployment:
                self._check(deployment)
                if load_deployment(deployment.path).manifest != deployment.manifest:
                    raise DeployFormatError(
                        f"{deployment.path} changed since it was opened: its manifest is another one than that of the "
                        "deployment given. Load it again with ect.load_deployment"
                    )
                if self.runs_native_code:
                    deployment.require_trust(self.name)
                self._loaded = None  # where loading fails, nothing is: what was there may be gone
                self._run = self._load(deployment)
            self._loaded = deployment  # this very object, so that the next look is quick

    def run(
        self, deployment: Deployment, inputs: Inputs | None = None, *, progress: Progress | None = None
    ) -> RunResult:
        """Run a deployment, loading it first where needed.

        Args:
            deployment: from `load_deployment` or `build`.
            inputs: float32 in the graph's layout (NCHW where 4-D), any multiple of the batch; the deployment's own
                example where None.
            progress: called before each run, its time not counted; may raise to cancel.

        Raises:
            InputError: the inputs do not fit.
            DeployFormatError: the directory changed since it was opened.
            DeviceStateError: it is not open, or was closed meanwhile.
            DeviceError: the device cannot run it.
        """
        with self._one_at_a_time:
            self.load(deployment)
            runs = [deployment.inputs()] if inputs is None else deployment.runs(inputs)
            results, elapsed_s = [], 0.0
            for number, arrays in enumerate(runs):
                if progress is not None:
                    progress(number, len(runs), f"{self.name}: run {number + 1}")
                if self._closing or self._loaded is not deployment:  # by another thread, or by `progress`
                    raise self._not_open()
                start = time.perf_counter()
                results.append(self._run(arrays))
                elapsed_s += time.perf_counter() - start
            metrics = dict(self._metrics)
        outputs = [
            from_layout(np.concatenate(parts), tensor.layout)
            for tensor, parts in zip(deployment.manifest.outputs, zip(*results, strict=True), strict=True)
        ]
        return RunResult(outputs, elapsed_s / len(runs), self.name, metrics)

    def run_arrays(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Run what is loaded once, arrays in and out in the deployment's layouts, unchecked: for timing.

        Raises:
            DeviceStateError: nothing is loaded.
        """
        with self._one_at_a_time:
            if self._loaded is None or self._closing:
                raise DeviceStateError(f"nothing is loaded on {self.name}; call device.load(deployment) first")
            return self._run(arrays)

    def profile(self, deployment: Deployment, *, runs: int = 20) -> Profile:
        """Time of each layer, beside what the device can do at most.

        Args:
            deployment: from `load_deployment` or `build`.
            runs: how often the example runs; each layer's least time counts.

        Raises:
            DeviceError: the device cannot tell, or cannot run it.
        """
        cpu = in_terms("open_device('cpu')", "--device cpu")
        raise DeviceError(f"{self.name} cannot time single layers; use {cpu}")

    def benchmark(
        self,
        deployment: Deployment,
        *,
        runs: int = 100,
        warmup: int = 10,
        depths: Sequence[int] = (1,),
        limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> Benchmark:
        """Time the deployment's own example: latency, throughput, the device's own times, its sensors; errors as `run`.

        Args:
            deployment: from `load_deployment` or `build`.
            runs: how many are timed, for each of `depths`.
            warmup: runs before each of them, not timed.
            depths: how many requests are in flight at a time, each with a thread of its own.
            limit_s: host seconds after which each of `depths` ends with the runs it has, one at least; None for none.
            progress: called after each run, or a few times a second where several are in flight; always by the calling
                thread, its time not counted; may raise to cancel.

        Raises:
            DeviceError: there would be nothing to time, or a run failed.
        """
        self.load(deployment)
        arrays = deployment.inputs()

        def run() -> Mapping[str, float]:
            with self._one_at_a_time:
                if self._closing or self._loaded is not deployment:
                    self.load(deployment)  # refuses where it is being closed; another thread may have loaded another
                self._run(arrays)
                return self._metrics

        effort = Effort(runs, warmup, tuple(depths), limit_s)
        return measure(self, deployment, run, effort, progress)
