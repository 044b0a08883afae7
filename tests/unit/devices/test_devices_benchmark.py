"""`Device.benchmark` on a device whose every run is known: what is counted, which clock is whose, how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ectoolkit.builders import build
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices import Benchmark, Device, DeviceInfo, Latency, Load, Reading, SensorTrace
from ectoolkit.errors import Cancelled, DeviceError, DeviceRunError
from ectoolkit.testing.networks import example_input, residual_graph


class CountingDevice(Device):
    """Counts its runs, from which threads they come, and how many are at work at once; its own clock says 7 ticks."""

    name = "counting"

    def __init__(self, fail_at: int = 0) -> None:
        super().__init__()
        self.runs, self.at_once, self.most_at_once, self.fail_at = 0, 0, 0, fail_at
        self.threads: set[str] = set()

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        return [DeviceInfo("counting", "counts", True)]

    def sensors(self) -> tuple[Reading, ...]:
        return (Reading("power", 20.0 + self.runs % 2, "W"), Reading("fan", None, "1/s", "it has none"))

    @property
    def notice(self) -> str:
        return "invented"

    def _open(self) -> None:
        """Nothing."""

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.threads.add(threading.current_thread().name)
            self.runs += 1
            threading.Event().wait(0.001)  # another request may come meanwhile
            self.at_once -= 1
            if self.runs == self.fail_at:
                raise DeviceRunError("it fell over")
            self._metrics = {"ticks": 7.0, "number": float(self.runs)}
            return arrays

        return run


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    graph = residual_graph()
    return build(graph, tmp_path_factory.mktemp("benchmark") / "deploy", reference_input=example_input(graph))


def test_loads(deployment: Deployment) -> None:
    told: list[tuple[int, int, str]] = []
    with CountingDevice() as device:
        found = device.benchmark(deployment, runs=6, warmup=2, depths=(1, 3), progress=lambda *step: told.append(step))
    assert device.runs == 2 * (2 + 6)
    assert device.most_at_once == 1  # it does one thing at a time, however many ask
    assert len(device.threads - {threading.current_thread().name}) == 3
    assert [done for done, _, _ in told[:8]] == list(range(1, 9))  # one at a time: after each
    assert sorted({done for done, _, _ in told}) == [done for done, _, _ in told]
    assert told[1] == (2, 16, "warm-up")
    assert told[-1] == (16, 16, "run")
    one, three = found.loads
    assert (one.in_flight, three.in_flight) == (1, 3)
    assert (one.latency.runs, three.latency.runs) == (6, 6)
    assert one.own == {"ticks": (7.0,) * 6, "number": (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)}  # none of the warm-up
    assert sorted(three.own["number"]) == [11, 12, 13, 14, 15, 16]
    # a request waits for those before it, and the device is no faster for it
    assert sum(one.latency.seconds) <= one.elapsed_s
    assert sum(three.latency.seconds) > three.elapsed_s
    assert found.latency is one.latency
    assert found.sensors is one.sensors
    assert found.sensors.notice == found.notice == "invented"
    assert set(one.sensors.values["fan"]) == {None}
    assert (found.device, found.deployment, found.warmup) == ("counting", "deploy", 2)


def fixed(own: dict[str, tuple[float, ...]]) -> Benchmark:
    sensors = SensorTrace("invented")
    sensors.add(0.0, [Reading("power", 12.0, "W"), Reading("load", 0.5, "of 2 CPUs")])
    sensors.add(0.1, [Reading("power", 14.0, "W"), Reading("load", None, "of 2 CPUs")])
    load = Load(2, Latency.of([0.001, 0.002, 0.003, 0.004, 0.1]), 0.055, own, sensors)
    return Benchmark("board", "deploy", 3, (load,), "invented")


def test_texts() -> None:
    assert str(fixed({"kernel_us": (10.0, 20.0)})).splitlines() == [
        "board, deploy",
        "2 in flight: 90.9 runs/s, latency over 5 runs: mean 22.000 ms, p50 3.000 ms, p99 96.160 ms; the device's own: "
        "kernel_us 15; 13 W",
        "note: invented",
    ]


def test_table() -> None:
    [row] = fixed({"kernel_us": (10.0, 20.0)}).to_frame().to_dict("records")
    assert {name: round(value, 6) for name, value in row.items()} == {
        "in_flight": 2,
        "runs": 5,
        "mean_ms": 22,
        "min_ms": 1,
        "p50_ms": 3,
        "p90_ms": 61.6,
        "p95_ms": 80.8,
        "p99_ms": 96.16,
        "max_ms": 100,
        "runs_per_s": round(5 / 0.055, 6),
        "device: kernel_us": 15,
        "power, W": 13,
        "load, of 2 CPUs": 0.5,
    }
    assert not [name for name in fixed({}).to_frame() if name.startswith("device")]  # what is not measured is not there


@pytest.mark.parametrize("depth", [1, 3])
def test_a_limit_ends_it_with_the_runs_there_are(deployment: Deployment, depth: int) -> None:
    with CountingDevice() as device:
        start = time.perf_counter()
        [load] = device.benchmark(deployment, runs=100_000, warmup=100_000, depths=(depth,), limit_s=0.3).loads
        assert time.perf_counter() - start < 30  # of 200 s that all would take
        assert 1 <= load.latency.runs < 10_000
        assert device.runs > load.latency.runs  # some to warm up
        [load] = device.benchmark(deployment, runs=5, warmup=3, depths=(depth,), limit_s=0).loads
        assert 1 <= load.latency.runs <= depth  # those under way are ended


@pytest.mark.parametrize("depth", [1, 3])
def test_an_error_ends_it(deployment: Deployment, depth: int) -> None:
    with CountingDevice(fail_at=4) as device:
        with pytest.raises(DeviceRunError, match=r"^it fell over$"):
            device.benchmark(deployment, runs=100, warmup=0, depths=(depth,))
        assert device.runs < 4 + depth + 1
        assert device.benchmark(deployment, runs=2, warmup=0).latency.runs == 2


@pytest.mark.parametrize("depth", [1, 3])
def test_cancelled(deployment: Deployment, depth: int) -> None:
    def cancel(done: int, total: int, what: str) -> None:
        if done >= 5:
            raise Cancelled("enough")

    with CountingDevice() as device, pytest.raises(Cancelled, match=r"^enough$"):
        device.benchmark(deployment, runs=10_000, warmup=0, depths=(depth,), progress=cancel)
    if depth == 1:
        assert device.runs == 5
    assert 5 <= device.runs < 5000  # each takes 1 ms or more, and in flight they are told of after 100 ms


@pytest.mark.parametrize("depth", [1, 3])
def test_progress_takes_nothing_of_the_throughput(deployment: Deployment, depth: int) -> None:
    """However slow it is: a run takes 1 ms here, and to tell of it 50."""
    threads: set[int] = set()

    def slow(done: int, total: int, what: str) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.05)

    with CountingDevice() as device:
        start = time.perf_counter()
        [load] = device.benchmark(deployment, runs=20, warmup=0, depths=(depth,), progress=slow).loads
        whole_s = time.perf_counter() - start
    assert whole_s - load.elapsed_s > 0.05 * (20 if depth == 1 else 1)
    assert threads == {threading.get_ident()}
    assert sum(load.latency.seconds) <= load.elapsed_s * depth


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"runs": 0}, "runs=0, warmup=10: expected at least one run to time, and no less than no warmup"),
        ({"warmup": -1}, "runs=100, warmup=-1: expected at least one run to time, and no less than no warmup"),
        ({"depths": ()}, "depths=(): expected one number of requests in flight or more, each at least 1"),
        ({"depths": [1, 0]}, "depths=(1, 0): expected one number of requests in flight or more, each at least 1"),
    ],
)
def test_nothing_to_time(deployment: Deployment, settings: dict[str, Any], text: str) -> None:
    with CountingDevice() as device, pytest.raises(DeviceError) as caught:
        device.benchmark(deployment, **settings)
    assert str(caught.value) == text
    assert device.runs == 0


def test_a_run_tells_what_the_device_measured(deployment: Deployment) -> None:
    class Echo(CountingDevice):
        def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
            run = super()._load(deployment)
            return lambda arrays: [np.zeros((1, 4), np.float32) for _ in run(arrays)]

    with Echo() as device:
        assert device.run(deployment).metrics == {"ticks": 7.0, "number": 1.0}
