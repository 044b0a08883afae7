"""Times of a deployment on a device, with what its sensors told meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ectoolkit.analysis.frames import frame
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.interpreter import Progress
from ectoolkit.devices import Device, Latency, SensorTrace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class DeviceTimes:
    """How a device ran.

    Attributes:
        device: its name.
        deployment: name of the directory.
        latency: of the deployment's own example, with each run.
        sensors: what was read meanwhile.
    """

    device: str
    deployment: str
    latency: Latency
    sensors: SensorTrace

    def __str__(self) -> str:
        runs_per_s = 1 / self.latency.mean_s
        return f"{self.device}: {self.latency}; {runs_per_s:.1f} runs/s one after another"

    def to_frame(self) -> pd.DataFrame:
        """One row a run.  Columns: ``run`` from 1; ``milliseconds``."""
        rows = ({"run": number, "milliseconds": s * 1e3} for number, s in enumerate(self.latency.seconds, 1))
        return frame(rows, ("run", "milliseconds"))

    def sensor_frame(self) -> pd.DataFrame:
        """One row a sample.  Columns: ``seconds`` since the first; one a sensor, named with its unit."""
        columns = {name: f"{name}, {self.sensors.units[name]}" for name in self.sensors.values}
        rows: list[dict[str, object]] = [
            {"seconds": at} | {columns[name]: values[index] for name, values in self.sensors.values.items()}
            for index, at in enumerate(self.sensors.seconds)
        ]
        return frame(rows, ("seconds", *columns.values()))


def time_device(
    device: Device, deployment: Deployment, *, runs: int, warmup: int, progress: Progress | None = None
) -> DeviceTimes:
    """Time an open device, its sensors sampled from another thread.

    Raises:
        DeviceError: there would be nothing to time, or a run failed.
    """
    found = device.benchmark(deployment, runs=runs, warmup=warmup, progress=progress)
    return DeviceTimes(device.name, deployment.path.name, found.latency, found.sensors)
