"""Where a deployment runs.

A device promises: nothing is touched before `open`; results come back in the graph's layout (NCHW where 4-D); a
failure is a `DeviceError` that says what to do.  Facts (`DeviceInfo`) stand apart from behaviour (`Device`).
"""

from ectoolkit.devices.base import Device, DeviceInfo, Latency, RunResult
from ectoolkit.devices.profile import LayerTime, Profile, Roofline
from ectoolkit.devices.registry import list_devices, open_device

__all__ = [
    "Device",
    "DeviceInfo",
    "Latency",
    "LayerTime",
    "Profile",
    "Roofline",
    "RunResult",
    "list_devices",
    "open_device",
]
