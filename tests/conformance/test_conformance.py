"""What every device promises: the interpreter's result in every element, whatever the layout and the batch."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ectoolkit.core.compare import compare
from ectoolkit.core.interpreter import interpret
from ectoolkit.devices import Device, DeviceInfo, Latency, open_device
from ectoolkit.errors import DeviceError, DeviceStateError, InputError
from ectoolkit.testing.networks import example_input


def test_own_example_equals_the_reference(name: str, built: Any) -> None:
    with open_device(name) as device:
        result = device.run(built.deployment)
    expected = interpret(built.graph, built.x)
    assert [y.shape for y in result.outputs] == [y.shape for y in expected]
    assert compare(result.outputs, expected)
    assert result.device == name
    assert result.latency_s > 0


@pytest.mark.parametrize("runs", [1, 3])
def test_batches(name: str, built: Any, runs: int) -> None:
    x = example_input(built.graph, seed=7, batch=runs)
    with open_device(name) as device:
        outputs = device.run(built.deployment, x).outputs
    for found, expected in zip(outputs, interpret(built.graph, x), strict=True):
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert_array_equal(found, expected)


def test_extremes(name: str, built: Any) -> None:
    with open_device(name) as device:
        for value in (0, np.inf, -np.inf, 1e30, -1e-30, np.float32(3.4e38)):
            x = {key: np.full_like(array, value) for key, array in built.x.items()}
            for found, expected in zip(device.run(built.deployment, x).outputs, interpret(built.graph, x), strict=True):
                assert_array_equal(found, expected)


def test_the_same_again(name: str, built: Any) -> None:
    with open_device(name) as device:
        first, second = (device.run(built.deployment, built.x).outputs for _ in range(2))
    for found, again in zip(first, second, strict=True):
        assert_array_equal(found, again)
        assert not np.shares_memory(found, again)


def test_reopened(name: str, residual: Any) -> None:
    device = open_device(name)
    for _ in range(2):
        with device:
            assert compare(device.run(residual.deployment).outputs, interpret(residual.graph, residual.x))
    device.close()
    device.close()


def test_closed(name: str, residual: Any) -> None:
    device = open_device(name)
    for use in (device.load, device.run, device.benchmark):
        with pytest.raises(DeviceStateError, match=f"^{name} is not open; use it as "):
            use(residual.deployment)


def test_one_deployment_after_another(name: str, built: Any, residual: Any) -> None:
    with open_device(name) as device:
        for each in (built, residual, built):
            assert compare(device.run(each.deployment, each.x).outputs, interpret(each.graph, each.x))


def test_wrong_inputs(name: str, residual: Any) -> None:
    x = residual.x["input0"]
    nan = np.full_like(x, np.nan)
    with open_device(name) as device:
        for wrong in (x[0], x.astype(np.float64), x.transpose(0, 2, 3, 1), [x, x], {"image": x}, nan, x[:0]):
            with pytest.raises(InputError, match="residual"):
                device.run(residual.deployment, wrong)
        assert compare(device.run(residual.deployment, x).outputs, interpret(residual.graph, x))


def test_benchmark(name: str, residual: Any) -> None:
    with open_device(name) as device:
        latency = device.benchmark(residual.deployment, runs=5, warmup=1)
        for runs, warmup in ((0, 1), (1, -1)):
            with pytest.raises(DeviceError, match=f"runs={runs}, warmup={warmup}"):
                device.benchmark(residual.deployment, runs=runs, warmup=warmup)
    assert isinstance(latency, Latency)
    assert latency.runs == 5
    assert 0 < latency.p50_s <= latency.p99_s
    assert latency.mean_s <= latency.p99_s * 5


def test_from_another_thread(name: str, residual: Any) -> None:
    found: list[np.ndarray] = []
    with open_device(name) as device:
        worker = threading.Thread(target=lambda: found.extend(device.run(residual.deployment).outputs))
        worker.start()
        worker.join()
        found.extend(device.run(residual.deployment).outputs)
    expected = interpret(residual.graph, residual.x)[0]
    for output in found:
        assert_array_equal(output, expected)
    assert len(found) == 2


def test_threads_at_once(name: str, built: Any, residual: Any) -> None:
    """Each gets its own images' results, though what is loaded changes under them."""
    images = {seed: example_input(each.graph, seed=seed) for seed, each in enumerate((built, residual, residual))}
    with open_device(name) as device, ThreadPoolExecutor(3) as pool:
        work = [
            (each, images[seed], pool.submit(device.run, each.deployment, images[seed]))
            for _ in range(4)
            for seed, each in enumerate((built, residual, residual))
        ]
        results = [run.result().outputs for _, _, run in work]
    for (each, x, _), outputs in zip(work, results, strict=True):
        for found, expected in zip(outputs, interpret(each.graph, x), strict=True):
            assert_array_equal(found, expected)


def test_info(name: str) -> None:
    device = open_device(name)
    info = device.info()
    assert isinstance(device, Device)
    assert isinstance(info, DeviceInfo)
    assert (info.name, info.available, info.reason) == (name, True, "")
