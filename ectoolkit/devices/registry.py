"""Devices by name, from the entry points ``ectoolkit.devices``; a broken plugin is shown with its reason."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.errors import DeviceNotFoundError, PluginError

GROUP = "ectoolkit.devices"


def list_devices() -> list[DeviceInfo]:
    """Facts of every device that is registered, without opening any."""
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            found.append(_info(point))
        except PluginError as error:
            found.append(DeviceInfo(point.name, "broken plugin", False, str(error)))
    return found


def open_device(name: str, **options: Any) -> Device:
    """A device by name, to be used as a context manager.

    Args:
        name: ``"cpu"`` or ``"interpreter"``, or a plugin's.
        **options: of the device: ``threads=2`` for the cpu, ``engine="definition"`` for the interpreter.

    Returns:
        The device, not yet open.

    Raises:
        DeviceNotFoundError: there is none of that name; the message lists those that are.
        PluginError: its plugin does not load, or does not take these options.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        near = difflib.get_close_matches(name, points, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DeviceNotFoundError(f"there is no device {name!r}; there are {', '.join(sorted(points))}.{hint}")
    kind = _load(points[name])
    try:
        return kind(**options)
    except TypeError as error:
        raise PluginError(f"device {name} does not take these options: {error}") from error


def _info(point: EntryPoint) -> DeviceInfo:
    kind = _load(point)
    try:
        info = kind.info()
    except Exception as error:  # a third party's code may fail in any way
        raise PluginError(f"device {point.name} ({point.value}) does not tell what it is: {error!r}") from error
    if not isinstance(info, DeviceInfo):
        raise PluginError(f"device {point.name} ({point.value}) tells {info!r} of itself, expected a DeviceInfo")
    return info


def _load(point: EntryPoint) -> type[Device]:
    try:
        kind = point.load()
    except Exception as error:  # a third party's import may fail in any way
        raise PluginError(f"device {point.name} ({point.value}) does not load: {error!r}") from error
    if not (isinstance(kind, type) and issubclass(kind, Device)):
        raise PluginError(f"device {point.name} ({point.value}) is {kind!r}, expected a subclass of Device")
    return kind
