"""Every device with its state and what its sensors tell, as a panel shows it."""

from __future__ import annotations

from dataclasses import dataclass

from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.registry import list_devices, open_device
from ectoolkit.devices.sensors import Reading, trouble_of


@dataclass(frozen=True)
class DeviceHealth:
    """How a device is.

    Attributes:
        info: its facts.
        readings: of its sensors; empty where it has none or is not there.
        notice: what to know before believing the readings; empty where nothing.
        trouble: why its sensors could not be read; empty where they could.
    """

    info: DeviceInfo
    readings: tuple[Reading, ...] = ()
    notice: str = ""
    trouble: str = ""

    @property
    def state(self) -> str:
        """``"ready"`` or ``"not ready"``."""
        return "ready" if self.info.available else "not ready"

    def __str__(self) -> str:
        known = [f"{reading.value:g} {reading.unit}".rstrip() for reading in self.readings if reading.value is not None]
        more = " · ".join([self.state, *known, *filter(None, [self.info.reason, self.trouble, self.notice])])
        return f"{self.info.name}: {more}"


def health_of(info: DeviceInfo, device: Device | None = None) -> DeviceHealth:
    """Read the sensors of a device that is available; it is not opened.

    Args:
        info: its facts.
        device: itself; the one of this name, without options, where None.
    """
    if not info.available:
        return DeviceHealth(info)
    try:
        device = device or open_device(info.name)
        return DeviceHealth(info, tuple(device.sensors()), device.notice)
    except Exception as error:  # a third party's code may fail in any way, and the others have their health
        return DeviceHealth(info, trouble=trouble_of(error))


def list_health() -> list[DeviceHealth]:
    """Every device that is registered; nothing is opened and no run is disturbed."""
    return [health_of(info) for info in list_devices()]
