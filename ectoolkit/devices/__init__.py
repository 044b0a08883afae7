"""Where a deployment runs.

A device promises: nothing is touched before `open`; results come back in the graph's layout (NCHW where 4-D); a
failure is a `DeviceError` that says what to do.  Facts (`DeviceInfo`) stand apart from behaviour (`Device`).

Names are looked up when they are first used: a child process that drives a board needs few of them, and starts sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ectoolkit._lazy import find as _find

if TYPE_CHECKING:
    from ectoolkit.devices.base import Device, DeviceInfo, RunResult
    from ectoolkit.devices.benchmark import Benchmark, Load
    from ectoolkit.devices.health import DeviceHealth, health_of, list_health
    from ectoolkit.devices.latency import Latency
    from ectoolkit.devices.profile import LayerTime, Profile, Roofline
    from ectoolkit.devices.registry import list_devices, open_device
    from ectoolkit.devices.sensors import Reading, SensorTrace, sampling

_HOMES = {
    "Benchmark": "benchmark",
    "Device": "base",
    "DeviceHealth": "health",
    "DeviceInfo": "base",
    "Latency": "latency",
    "LayerTime": "profile",
    "Load": "benchmark",
    "Profile": "profile",
    "Reading": "sensors",
    "Roofline": "profile",
    "RunResult": "base",
    "SensorTrace": "sensors",
    "health_of": "health",
    "list_devices": "registry",
    "list_health": "health",
    "open_device": "registry",
    "option_names": "registry",
    "sampling": "sensors",
}

__all__ = [
    "Benchmark",
    "Device",
    "DeviceHealth",
    "DeviceInfo",
    "Latency",
    "LayerTime",
    "Load",
    "Profile",
    "Reading",
    "Roofline",
    "RunResult",
    "SensorTrace",
    "health_of",
    "list_devices",
    "list_health",
    "open_device",
    "option_names",
    "sampling",
]


def __getattr__(name: str) -> Any:
    return _find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return list(__all__)
