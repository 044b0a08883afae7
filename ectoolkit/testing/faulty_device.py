"""A device with a planted fault: to see a verdict break, in tests and in teaching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any
from unittest import mock

import numpy as np

from ectoolkit.core.deployment import Deployment, from_layout, to_layout
from ectoolkit.devices import registry
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.parameters import graph_of
from ectoolkit.devices.sensors import Reading
from ectoolkit.interpreters import interpret
from ectoolkit.testing.faults import Fault

_NOTICE = "invented: this device is a program with a planted fault"


class FaultyDevice(Device):
    """The interpreter, running every graph through the fault in `planted`; like a board it shows outputs only.

    Attributes:
        planted: the fault; None for none.
    """

    name = "faulty"
    runs_native_code = False
    planted: Fault | None = None

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        kind = f"{cls.planted.kind} at {cls.planted.layer}" if cls.planted is not None else "none"
        return [DeviceInfo(cls.name, f"a device with a planted fault: {kind}", True)]

    def sensors(self) -> tuple[Reading, ...]:
        """A power that no sensor measured."""
        return (Reading("power", 20.0, "W"),)

    @property
    def notice(self) -> str:
        return _NOTICE

    def _open(self) -> None:
        """Nothing to take hold of."""

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        graph, manifest, fault = graph_of(deployment), deployment.manifest, self.planted
        if fault is not None:
            graph = fault(graph)

        def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
            given = [from_layout(a, t.layout) for a, t in zip(inputs, manifest.inputs, strict=True)]
            found = interpret(graph, given if fault is None else [fault.inputs(array) for array in given])
            return [to_layout(a, t.layout) for a, t in zip(found, manifest.outputs, strict=True)]

        return run


@contextmanager
def planted(fault: Fault | None) -> Iterator[str]:
    """The device ``"faulty"`` among the registered ones, with this fault; gives its name."""
    own = EntryPoint("faulty", f"{FaultyDevice.__module__}:{FaultyDevice.__name__}", registry.GROUP)
    real = registry.entry_points

    def points(**asked: Any) -> EntryPoints:
        return EntryPoints([*real(**asked), own])

    with mock.patch.object(registry, "entry_points", points), mock.patch.object(FaultyDevice, "planted", fault):
        yield FaultyDevice.name
