"""Closing a device while another thread runs something on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ectoolkit.builders import build
from ectoolkit.core.compare import compare
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.interpreter import InterpreterDevice
from ectoolkit.errors import Cancelled, DeviceStateError
from ectoolkit.testing.networks import example_input, residual_graph


class SlowDevice(InterpreterDevice):
    """Its runs wait for `go`; notes what happens in which order."""

    interruptible = False

    def __init__(self) -> None:
        super().__init__()
        self.running, self.go, self.interrupted = threading.Event(), threading.Event(), threading.Event()
        self.happened: list[str] = []

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        run = super()._load(deployment)

        def slowly(arrays: list[np.ndarray]) -> list[np.ndarray]:
            self.running.set()
            assert self.go.wait(30)
            if self.interrupted.is_set():
                raise Cancelled("interrupted")
            self.happened.append("ran")
            return run(arrays)

        return slowly

    def _interrupt(self) -> None:
        self.happened.append("asked to end")
        if self.interruptible:
            self.interrupted.set()
            self.go.set()

    def _close(self) -> None:
        self.happened.append("closed")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    graph = residual_graph()
    return build(graph, tmp_path_factory.mktemp("closing") / "deploy", reference_input=example_input(graph))


def test_a_run_that_cannot_be_interrupted_is_waited_for(deployment: Deployment) -> None:
    device = SlowDevice()
    with ThreadPoolExecutor(3) as pool:
        device.__enter__()
        first = pool.submit(device.run, deployment)
        assert device.running.wait(30)
        closing = pool.submit(device.close)
        while not device._closing:
            pass
        second = pool.submit(device.run, deployment)  # waits behind the first, and must not run any more
        device.go.set()
        closing.result(30)
        assert compare(first.result(30).outputs, deployment.references())
        with pytest.raises(DeviceStateError, match=r"^interpreter is not open; use it as "):
            second.result(30)
    assert device.happened == ["asked to end", "ran", "closed"]
    with device:
        assert compare(device.run(deployment).outputs, deployment.references())
    assert device.happened[3:] == ["ran", "closed"]  # nobody was running: nobody was asked to end


def test_a_run_that_can_be_interrupted_ends(deployment: Deployment) -> None:
    device = SlowDevice()
    device.interruptible = True
    with ThreadPoolExecutor(1) as pool:
        device.__enter__()
        run = pool.submit(device.run, deployment)
        assert device.running.wait(30)
        device.close()
        with pytest.raises(Cancelled, match=r"^interrupted$"):
            run.result(30)
    assert device.happened == ["asked to end", "closed"]
    device.close()
    assert device.happened == ["asked to end", "closed"]


@pytest.mark.parametrize("by", ["another thread", "progress"])
def test_no_image_is_run_after_the_call_to_close(deployment: Deployment, by: str) -> None:
    device = SlowDevice()
    images = example_input(residual_graph(), batch=3)
    with ThreadPoolExecutor(2) as pool:
        device.__enter__()
        if by == "progress":
            device.go.set()
            with pytest.raises(DeviceStateError, match=r"^interpreter is not open; use it as "):
                device.run(deployment, images, progress=lambda done, total, what: device.close() if done else None)
        else:
            run = pool.submit(device.run, deployment, images)
            assert device.running.wait(30)
            closing = pool.submit(device.close)
            while not device._closing:
                pass
            device.go.set()
            closing.result(30)
            with pytest.raises(DeviceStateError, match=r"^interpreter is not open; use it as "):
                run.result(30)
    assert device.happened.count("ran") == 1
    assert device.happened[-1] == "closed"


class LastInLine:
    """A lock that whoever waits with `acquire` gets only after `free`: a system's locks promise no order."""

    def __init__(self) -> None:
        self._lock, self.free = threading.RLock(), threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking and self.free.wait(30))

    def release(self) -> None:
        self._lock.release()


def test_a_benchmark_begins_no_run_after_the_call_to_close(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may take the device again after each run, before the one that waits to close it."""
    device, lock = SlowDevice(), LastInLine()
    monkeypatch.setattr(device, "_one_at_a_time", lock)
    with ThreadPoolExecutor(2) as pool:
        device.__enter__()
        times = pool.submit(device.benchmark, deployment, runs=5, warmup=0)
        assert device.running.wait(30)
        closing = pool.submit(device.close)
        while not device._closing:
            pass
        device.go.set()
        with pytest.raises(DeviceStateError, match=r"^interpreter is not open; use it as "):
            times.result(30)
        lock.free.set()
        closing.result(30)
    assert device.happened == ["asked to end", "ran", "closed"]
