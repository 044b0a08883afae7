"""What every device promises, as tests that a device of anyone's can be put to.  Needs pytest.

    # conftest.py: then a failing assertion shows its values
    pytest.register_assert_rewrite("ectoolkit.testing.conformance")

    # test_my_device.py
    from ectoolkit.testing.conformance import DeviceConformance

    class TestMine(DeviceConformance):
        device = "mine:0"

That is all for a device that runs what ``ectoolkit.build(graph, folder)`` makes.  Where it takes something else, set
the attributes below or override a method; where its name is not known before (a server's port), override the fixture
`name`.  A case that a device cannot run is named in `lacks`, with the reason, and shows as skipped: nothing is passed
over in silence.

What is promised: nothing is touched before `open`; results equal the interpreter's in every element, whatever the
layout, the batch, the thread and what ran before; what is wrong is a `DeviceError` or `InputError` and leaves the
device usable; closing ends runs, and a closed device can be opened again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ectoolkit.builders import build
from ectoolkit.core.compare import compare
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.devices import Benchmark, Device, DeviceInfo, list_devices, open_device
from ectoolkit.errors import Cancelled, DeviceError, DeviceStateError, InputError
from ectoolkit.testing.networks import example_input, island_graph, residual_graph, two_ended_graph

#: graphs by the name of their case
GRAPHS: Mapping[str, Callable[[], Graph]] = {
    "residual": residual_graph,
    "batch of two": partial(residual_graph, 2),
    "two ends": two_ended_graph,
    "island": island_graph,
}
#: a graph and the layout of the directory's files
CASES = (
    ("residual", "NHWC"),
    ("residual", "NCHW"),
    ("batch of two", "NHWC"),
    ("two ends", "NHWC"),
    ("two ends", "NCHW"),
    ("island", "NHWC"),
    ("island", "NCHW"),
)


@dataclass(frozen=True, eq=False)
class Built:
    """A deployment with what it was made from.

    Attributes:
        deployment: to run.
        graph: that it was made from.
        x: its example, float32 in the graph's layout, by input.
    """

    deployment: Deployment
    graph: Graph
    x: dict[str, np.ndarray]


#: what was built in this run of pytest: several devices take the same
_built: dict[tuple[object, ...], Built] = {}


class DeviceConformance:
    """Subclass it under a name that begins with ``Test``, in a test file.

    Attributes:
        device: what `open_device` takes.
        options: for `open_device`.
        target: of the deployments, as `ectoolkit.build` takes it.
        build_options: for `ectoolkit.build`.
        graphs: by case, where this device takes others.
        cases: graph and layout of each deployment that it must run; the first is the one of most tests.
        lacks: reason by case, for graphs that it cannot run.
    """

    device: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    target: ClassVar[str] = "cpu"
    build_options: ClassVar[Mapping[str, Any]] = {}
    graphs: ClassVar[Mapping[str, Callable[[], Graph]]] = GRAPHS
    cases: ClassVar[Sequence[tuple[str, str]]] = CASES
    lacks: ClassVar[Mapping[str, str]] = {}

    # --- what a subclass may override --------------------------------------------------------------------------------

    @pytest.fixture
    def name(self) -> str:
        """What `open_device` takes, where it is known only when the test runs."""
        return self.device

    def open(self, name: str) -> Device:
        """A device, not yet open."""
        return open_device(name, **self.options)

    def build(self, graph: Graph, out: Path, layout: str, x: dict[str, np.ndarray]) -> Deployment:
        """A deployment that this device runs."""
        return build(graph, out, self.target, reference_input=x, layout=layout, **self.build_options)

    # --- deployments -------------------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every test that asks for `case` meets each of `cases`."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=" ".join)

    @pytest.fixture
    def built(self, case: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Built:
        """Each case in turn."""
        return self._build(case, tmp_path_factory)

    @pytest.fixture
    def usual(self, tmp_path_factory: pytest.TempPathFactory) -> Built:
        """The first case alone."""
        return self._build(self.cases[0], tmp_path_factory)

    def _build(self, case: tuple[str, str], factory: pytest.TempPathFactory) -> Built:
        graph_name, layout = case
        if graph_name in self.lacks:
            pytest.skip(self.lacks[graph_name])
        maker, how = self.graphs[graph_name], type(self).build
        key = (factory.getbasetemp(), maker, layout, how, self.target, *sorted(self.build_options.items()))
        if key not in _built:
            graph = maker()
            x = example_input(graph)
            _built[key] = Built(self.build(graph, factory.mktemp("built") / "deploy", layout, x), graph, x)
        return _built[key]

    # --- results -----------------------------------------------------------------------------------------------------

    def test_own_example_equals_the_reference(self, name: str, built: Built) -> None:
        with self.open(name) as device:
            result = device.run(built.deployment)
        expected = interpret(built.graph, built.x)
        assert [y.shape for y in result.outputs] == [y.shape for y in expected]
        assert compare(result.outputs, expected)
        assert result.device == name
        assert result.latency_s > 0

    @pytest.mark.parametrize("runs", [1, 3])
    def test_batches(self, name: str, built: Built, runs: int) -> None:
        x = example_input(built.graph, seed=7, batch=runs)
        with self.open(name) as device:
            outputs = device.run(built.deployment, x).outputs
        for found, expected in zip(outputs, interpret(built.graph, x), strict=True):
            assert found.dtype == np.float32
            assert found.flags.c_contiguous
            assert_array_equal(found, expected)

    def test_extremes(self, name: str, built: Built) -> None:
        with self.open(name) as device:
            for value in (0, np.inf, -np.inf, 1e30, -1e-30, np.float32(3.4e38)):
                x = {key: np.full_like(array, value) for key, array in built.x.items()}
                outputs = device.run(built.deployment, x).outputs
                for found, expected in zip(outputs, interpret(built.graph, x), strict=True):
                    assert_array_equal(found, expected)

    def test_the_same_again(self, name: str, built: Built) -> None:
        with self.open(name) as device:
            first, second = (device.run(built.deployment, built.x).outputs for _ in range(2))
        for found, again in zip(first, second, strict=True):
            assert_array_equal(found, again)
            assert not np.shares_memory(found, again)

    def test_one_deployment_after_another(self, name: str, built: Built, usual: Built) -> None:
        with self.open(name) as device:
            for each in (built, usual, built):
                assert compare(device.run(each.deployment, each.x).outputs, interpret(each.graph, each.x))

    def test_wrong_inputs(self, name: str, usual: Built) -> None:
        [(key, x)] = usual.x.items()
        nan = np.full_like(x, np.nan)
        with self.open(name) as device:
            for wrong in (x[0], x.astype(np.float64), x.transpose(0, 2, 3, 1), [x, x], {"other": x}, nan, x[:0]):
                with pytest.raises(InputError, match=usual.deployment.manifest.name):
                    device.run(usual.deployment, wrong)
            assert compare(device.run(usual.deployment, {key: x}).outputs, interpret(usual.graph, x))

    # --- life cycle --------------------------------------------------------------------------------------------------

    def test_info(self, name: str) -> None:
        device = self.open(name)
        info = device.info()
        assert isinstance(device, Device)
        assert isinstance(info, DeviceInfo)
        assert (info.name, info.available, info.reason) == (name, True, "")
        assert name.partition(":")[0] in {listed.name.partition(":")[0] for listed in list_devices()}

    def test_closed(self, name: str, usual: Built) -> None:
        device = self.open(name)
        for use in (device.load, device.run, device.benchmark):
            with pytest.raises(DeviceStateError, match=f"^{re.escape(name)} is not open; use it as "):
                use(usual.deployment)
        with device, pytest.raises(DeviceStateError, match=f"^nothing is loaded on {re.escape(name)}"):
            device.run_arrays(usual.deployment.inputs())

    def test_reopened(self, name: str, usual: Built) -> None:
        device = self.open(name)
        for _ in range(2):
            with device:
                assert compare(device.run(usual.deployment).outputs, interpret(usual.graph, usual.x))
        device.close()
        device.close()

    def test_closed_by_another_thread(self, name: str, usual: Built) -> None:
        """Each run ends with its result or with an error that says why; afterwards the device opens as ever."""
        expected = interpret(usual.graph, usual.x)
        device = self.open(name)
        started = threading.Event()

        def runs() -> str:
            try:
                while True:
                    assert compare(device.run(usual.deployment).outputs, expected)
                    started.set()
            except (DeviceError, Cancelled) as error:
                return str(error)

        with ThreadPoolExecutor(2) as pool:
            device.__enter__()
            ends = [pool.submit(runs) for _ in range(2)]
            assert started.wait(60)
            device.close()
            assert all(end.result(60) for end in ends)
        with device:
            assert compare(device.run(usual.deployment).outputs, expected)

    # --- threads -----------------------------------------------------------------------------------------------------

    def test_from_another_thread(self, name: str, usual: Built) -> None:
        expected = interpret(usual.graph, usual.x)
        with self.open(name) as device, ThreadPoolExecutor(1) as pool:
            assert compare(pool.submit(device.run, usual.deployment).result().outputs, expected)
            assert compare(device.run(usual.deployment).outputs, expected)

    def test_threads_at_once(self, name: str, built: Built, usual: Built) -> None:
        """Each gets its own images' results, though what is loaded changes under them."""
        images = {seed: example_input(each.graph, seed=seed) for seed, each in enumerate((built, usual, usual))}
        with self.open(name) as device, ThreadPoolExecutor(3) as pool:
            work = [
                (each, images[seed], pool.submit(device.run, each.deployment, images[seed]))
                for _ in range(4)
                for seed, each in enumerate((built, usual, usual))
            ]
            results = [run.result().outputs for _, _, run in work]
        for (each, x, _), outputs in zip(work, results, strict=True):
            for found, expected in zip(outputs, interpret(each.graph, x), strict=True):
                assert_array_equal(found, expected)

    # --- times -------------------------------------------------------------------------------------------------------

    def test_benchmark(self, name: str, usual: Built) -> None:
        with self.open(name) as device:
            found = device.benchmark(usual.deployment, runs=5, warmup=1, depths=(1, 2))
            for runs, warmup in ((0, 1), (1, -1)):
                with pytest.raises(DeviceError, match=f"runs={runs}, warmup={warmup}"):
                    device.benchmark(usual.deployment, runs=runs, warmup=warmup)
        assert isinstance(found, Benchmark)
        assert found.device == name
        assert [load.in_flight for load in found.loads] == [1, 2]
        for load in found.loads:
            assert load.latency.runs == len(load.latency.seconds) == 5
            assert 0 < load.latency.p50_s <= load.latency.p99_s
            assert load.runs_per_s > 0
            for measured in load.own.values():  # by the device itself, in every run or not at all
                assert len(measured) == 5
                assert np.isfinite(measured).all()
