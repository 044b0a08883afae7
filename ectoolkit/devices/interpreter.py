"""The interpreter as a device: runs the graph that a deployment was made from, exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ectoolkit.core.deployment import Deployment, from_layout, to_layout
from ectoolkit.core.inputs import Inputs
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.parameters import graph_of
from ectoolkit.interpreters import interpret, trace


class InterpreterDevice(Device):
    """Runs the graph that is stored in the directory; the library is not used.

    Args:
        engine: as for `ectoolkit.interpret`; all give the same.
    """

    name = "interpreter"
    runs_native_code = False

    def __init__(self, engine: str = "auto") -> None:
        super().__init__()
        self._engine = engine

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        return [DeviceInfo(cls.name, "the exact integer interpreter", True)]

    def _open(self) -> None:
        """Nothing to take hold of."""

    def taps(self, deployment: Deployment, inputs: Inputs) -> Mapping[str, np.ndarray]:
        return trace(graph_of(deployment), inputs, engine=self._engine)

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        graph, manifest = graph_of(deployment), deployment.manifest

        def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
            given = [from_layout(a, t.layout) for a, t in zip(inputs, manifest.inputs, strict=True)]
            found = interpret(graph, given, engine=self._engine)
            return [to_layout(a, t.layout) for a, t in zip(found, manifest.outputs, strict=True)]

        return run
