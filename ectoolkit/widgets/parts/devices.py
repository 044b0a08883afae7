"""The devices with their state, reason and sensors, one of them chosen; told whether anybody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import traitlets

from ectoolkit.devices import DeviceHealth
from ectoolkit.widgets.parts.base import Part


class DeviceList(Part):
    """A choice of one device.

    A name that is not in the list, as ``rpc://host:9190``, can be typed.  While the list is on a screen the page says
    so every few seconds; `on_seen` is called then.

    Traits, all synchronized:
        devices: ``name``, ``ready``, ``description``, ``reason``, ``readings`` (texts), ``notice``.
        value: name of the chosen one.
        description: of the choice.
    """

    script = "devices"
    page_sets: ClassVar[tuple[str, ...]] = ("value",)
    page_says: ClassVar[tuple[str, ...]] = ("seen",)
    devices = traitlets.List(traitlets.Dict()).tag(sync=True)
    value = traitlets.Unicode("").tag(sync=True)
    description = traitlets.Unicode("device").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_seen: Callable[[], None] = lambda: None
        self.on_msg(self._hear)

    def _hear(self, _: Any, content: Any, buffers: Any) -> None:
        if content in self.page_says:
            self.on_seen()

    def show(self, health: Iterable[DeviceHealth]) -> None:
        """Show devices; nothing is sent where nothing changed."""
        self.devices = [
            {
                "name": one.info.name,
                "ready": one.info.available,
                "description": one.info.description,
                "reason": one.info.reason or one.trouble,
                "readings": [
                    f"{reading.name} {reading.value:.4g} {reading.unit}".rstrip()
                    for reading in one.readings
                    if reading.value is not None
                ],
                "notice": one.notice,
            }
            for one in health
        ]

    def __repr__(self) -> str:
        return f"DeviceList({len(self.devices)} devices, value={self.value!r})"
