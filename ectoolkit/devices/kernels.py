"""Times the kernels of a loaded library one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.program import Probe, Step
from ectoolkit.core.workload import workload
from ectoolkit.devices.profile import LayerTime, Profile, Roofline
from ectoolkit.errors import DeviceError

#: a kernel and its arguments
Call = tuple[Callable[..., Any], tuple[Any, ...]]
#: functions of the virtual machine's own begin like this
_BUILTIN = "vm.builtin."
_PROBED = 10


class Measuring:
    """Kernels of one deployment.

    Args:
        machine: TVM's virtual machine of its library; what is asked of it here leaves it useless for anything else.
        deployment: whose library it is.
        graph: that it was made from.
        tensor: makes a TVM tensor of an array.
    """

    def __init__(self, machine: Any, deployment: Deployment, graph: Graph, tensor: Callable[[np.ndarray], Any]) -> None:
        self._machine, self._deployment, self._graph, self._tensor = machine, deployment, graph, tensor
        self._program = deployment.program()

    def profile(self, arguments: Sequence[Any], runs: int, device: str, threads: int) -> Profile:
        """Time whole runs, then runs kernel by kernel."""
        run = self._machine[self._program.run]
        whole = min(_seconds(partial(run, *arguments)) for _ in range(runs + 1))
        calls = self._calls_of_a_run(arguments)
        times = np.min([[_seconds(partial(kernel, *given)) for kernel, given in calls] for _ in range(runs)], axis=0)
        roofline = Roofline(self._peak(self._program.peak_macs), self._peak(self._program.peak_bytes))
        return Profile(tuple(self._layers(times)), roofline, whole, runs, device, threads)

    def _calls_of_a_run(self, arguments: Sequence[Any]) -> list[Call]:
        calls = self._recorded(self._program.run, arguments)
        found, expected = [name for name, _ in calls], [step.kernel for step in self._program.steps]
        if found != expected:
            odd = next((n for n, e in zip(found, expected, strict=False) if n != e), None)
            raise DeviceError(
                f"{self._deployment.path} runs {len(found)} kernels, expected the {len(expected)} that deploy.json "
                f"lists{'' if odd is None else f'; the first other one is {odd}'}. Build the directory again"
            )
        return [call for _, call in calls]

    def _recorded(self, function: str, arguments: Sequence[Any]) -> list[tuple[str, Call]]:
        """The kernels that a function calls, with their tensors, which keep their memory as long as they are kept."""
        calls: list[tuple[str, Call]] = []

        def record(kernel: Any, name: str, before: bool, result: Any, *given: Any) -> int:
            if before and not name.startswith(_BUILTIN):
                calls.append((name, (kernel, given)))
            return 0  # go on

        self._machine.set_instrument(record)
        self._machine[function](*arguments)
        return calls

    def _peak(self, probe: Probe) -> float:
        """Work a second."""
        given = [self._tensor(np.zeros(size, dtype)) for dtype, size in probe.arguments]
        [(_, (kernel, tensors))] = self._recorded(probe.function, given)
        return probe.work / min(_seconds(partial(kernel, *tensors)) for _ in range(_PROBED))

    def _layers(self, times: np.ndarray) -> list[LayerTime]:
        steps = zip(self._program.steps, times.tolist(), strict=True)
        return [self._layer(names, list(group)) for names, group in groupby(steps, key=lambda pair: pair[0].layers)]

    def _layer(self, names: tuple[str, ...], steps: list[tuple[Step, float]]) -> LayerTime:
        ops = " + ".join(self._graph.node(name).op for name in names)
        kernels, seconds = tuple(step.kernel for step, _ in steps), sum(time for _, time in steps)
        return LayerTime(names, ops, kernels, seconds, workload(self._graph, names))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
