"""Devices by name, from the entry points ``ectoolkit.devices``; a broken plugin is shown with its reason.

A name is ``KIND`` or ``KIND:ADDRESS``: the kind, up to the first colon, is the entry point's; the rest is for its class
to understand (``xrt:0``, ``rpc://host:9190``, ``mera:Simulator``).
"""

from __future__ import annotations

import difflib
import inspect
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.errors import DeviceNotFoundError, PluginError

GROUP = "ectoolkit.devices"
#: the last look: folders with their times, and what was found there
_seen: dict[str, object] = {}


def list_devices() -> list[DeviceInfo]:
    """Facts of every device that is registered, without opening any."""
    found = []
    for point in sorted(_points(), key=lambda p: p.name):
        try:
            found.extend(_discover(point))
        except PluginError as error:
            found.append(DeviceInfo(point.name, "broken plugin", False, str(error)))
    return found


def open_device(name: str, **options: Any) -> Device:
    """A device by name, to be used as a context manager.

    Args:
        name: ``"cpu"``, ``"interpreter"``, ``"mera:Simulator"``, ``"xrt:0"``, or a plugin's.
        **options: of the device: ``threads=2`` for the cpu, ``engine="definition"`` for the interpreter.

    Returns:
        The device, not yet open.

    Raises:
        DeviceNotFoundError: there is none of that name; the message lists those that are.
        PluginError: its plugin does not load, or does not take these options.
    """
    kind, colon, address = name.partition(":")
    device = _kind(name)
    if colon and not device.takes_address:
        raise DeviceNotFoundError(f"device {kind} takes no address, got {name!r}. Open it as {kind!r}")
    try:
        return device(*[address] if device.takes_address else [], **options)
    except TypeError as error:
        raise PluginError(f"device {name} does not take these options: {error}") from error


def option_names(name: str) -> tuple[str, ...]:
    """The options that `open_device` takes with this name; nothing is opened.

    Raises:
        DeviceNotFoundError: there is no device of that name.
        PluginError: its plugin does not load.
    """
    device = _kind(name)
    given = list(inspect.signature(device).parameters.values())[1 if device.takes_address else 0 :]
    return tuple(one.name for one in given if one.kind is not inspect.Parameter.VAR_KEYWORD)


def _kind(name: str) -> type[Device]:
    kind = name.partition(":")[0]
    points = {point.name: point for point in _points()}
    if kind not in points:
        near = difflib.get_close_matches(kind.lower(), points, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DeviceNotFoundError(f"there is no device {name!r}; there are {', '.join(sorted(points))}.{hint}")
    return _load(points[kind])


def _points() -> tuple[EntryPoint, ...]:
    """The registered devices, looked up again where a package may have come or gone.

    A look reads the metadata of every installed package, which takes 10 ms and more; a panel asks every second.
    """
    state = (entry_points, *((folder, _changed_ns(folder)) for folder in sys.path))
    if _seen.get("state") != state:
        _seen.update(state=state, points=tuple(entry_points(group=GROUP)))
    return cast("tuple[EntryPoint, ...]", _seen["points"])


def _changed_ns(folder: str) -> int:
    """When something was put into a folder or taken out; 0 where there is none."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _discover(point: EntryPoint) -> list[DeviceInfo]:
    kind = _load(point)
    try:
        found = kind.discover()
    except Exception as error:  # a third party's code may fail in any way
        raise PluginError(f"device {point.name} ({point.value}) does not tell what it is: {error!r}") from error
    if not (isinstance(found, list) and found and all(isinstance(info, DeviceInfo) for info in found)):
        raise PluginError(
            f"device {point.name} ({point.value}) tells {found!r} of itself, expected a list of at least one DeviceInfo"
        )
    return found


def _load(point: EntryPoint) -> type[Device]:
    try:
        kind = point.load()
    except Exception as error:  # a third party's import may fail in any way
        raise PluginError(f"device {point.name} ({point.value}) does not load: {error!r}") from error
    if not (isinstance(kind, type) and issubclass(kind, Device)):
        raise PluginError(f"device {point.name} ({point.value}) is {kind!r}, expected a subclass of Device")
    return kind
