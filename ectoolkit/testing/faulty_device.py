"""A device with a planted fault: to see a verdict break, in tests and in teaching."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any
from unittest import mock

import numpy as np

from ectoolkit.core.deployment import Deployment, from_layout, to_layout
from ectoolkit.core.inputs import Inputs, check_inputs
from ectoolkit.devices import registry
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.parameters import graph_of
from ectoolkit.devices.sensors import Reading
from ectoolkit.interpreters import interpret, trace
from ectoolkit.testing.faults import Fault

_NOTICE = "invented: this device is a program with a planted fault"


class FaultyDevice(Device):
    """The interpreter, running every graph through the fault in `planted`.

    Attributes:
        planted: the fault; None for none.
        shows_layers: whether it has taps; a board shows outputs only.
    """

    name = "faulty"
    runs_native_code = False
    planted: Fault | None = None
    shows_layers = False

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

    def taps(self, deployment: Deployment, inputs: Inputs) -> Mapping[str, np.ndarray] | None:
        if not self.shows_layers:
            return None
        graph = graph_of(deployment)
        specs = {name: graph.values[name].spec for name in graph.inputs}
        given = check_inputs(graph.name, specs, inputs)
        if self.planted is None:
            return trace(graph, given)
        return trace(self.planted(graph), {name: self.planted.inputs(array) for name, array in given.items()})

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
def planted(fault: Fault | None, shows_layers: bool = False) -> Iterator[str]:
    """The device ``"faulty"`` among the registered ones, with this fault; gives its name."""
    own = EntryPoint("faulty", f"{FaultyDevice.__module__}:{FaultyDevice.__name__}", registry.GROUP)
    real = registry.entry_points

    def points(**asked: Any) -> EntryPoints:
        return EntryPoints([*real(**asked), own])

    with (
        mock.patch.object(registry, "entry_points", points),
        mock.patch.multiple(FaultyDevice, planted=fault, shows_layers=shows_layers),
    ):
        yield FaultyDevice.name
