"""What a run of the compiled library allocates, and which threads it keeps busy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import QuantParams

ALLOCATIONS = Path(__file__).parents[2] / "helpers" / "allocations.c"
#: runs a deployment in a process of its own; prints how many large allocations loading it made, and then twenty runs
COUNT = """
import ctypes, sys
import ectoolkit as ect
shim = ctypes.CDLL(sys.argv[1])
deployment = ect.load_deployment(sys.argv[2])
with ect.open_device("cpu", threads=int(sys.argv[3])) as device:
    device.load(deployment)
    arrays = deployment.inputs()
    for _ in range(3):
        device.run_arrays(arrays)
    warming = shim.counted()
    shim.begin_counting()
    for _ in range(20):
        device.run_arrays(arrays)
    print(warming, shim.counted())
"""


def every_kind(channels: int = 40, size: int = 64) -> Graph:
    """Layers of every family that runs on codes; its output is small, all else is large."""
    numbers = np.random.default_rng(0)
    builder = GraphBuilder("every_kind")
    grid = QuantParams.uint8(np.float32(0.05), 100)
    plain = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "relu": True}

    def conv(name: str, x: str, out: int, kernel: int, groups: int) -> str:
        weight = numbers.integers(-128, 128, (out, builder.values[x].spec.shape[1] // groups, kernel, kernel))
        scale = np.full(out, 0.01, np.float32)
        settings = {**plain, "padding": (kernel // 2, kernel // 2), "groups": groups}
        return builder.weighted("conv2d", name, x, weight.astype(np.int8), scale, None, grid, settings)

    x = builder.node("quantize", "quantize", [builder.input((1, 3, size, size))], grid)
    x = conv("stem", x, channels, 3, 1)
    y = conv("depthwise", x, channels, 3, channels)
    y = conv("grouped", y, channels, 3, 4)
    y = conv("project", y, channels, 1, 1)
    x = builder.node("add", "add", [x, y], grid, {"relu": False})
    x = builder.node("concat", "concat", [x, y], QuantParams.uint8(np.float32(0.07), 90), {"axis": 1})
    pool = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "ceil_mode": False}
    x = builder.node("max_pool2d", "pool", [x], builder.values[x].quant, pool)
    x = builder.node("mean", "mean", [x], grid)
    return builder.finish([builder.node("dequantize", "out", [x], None, dtype="float32")])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> ect.Deployment:
    graph = every_kind()
    image = np.zeros(graph.values[graph.inputs[0]].spec.shape, np.float32)
    return ect.build(graph, tmp_path_factory.mktemp("memory") / "deploy", reference_input=image)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="preloads a library for glibc")
def test_a_run_allocates_nothing_but_its_outputs(deployment: ect.Deployment, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
    assert compiler, "linking deploy.so needs a compiler anyhow"
    shim = tmp_path / "liballocations.so"
    subprocess.run([compiler, "-x", "c", "-O1", "-fPIC", "-shared", "-o", shim, ALLOCATIONS], check=True)
    command = [sys.executable, "-c", COUNT, str(shim), str(deployment.path), str(len(os.sched_getaffinity(0)))]
    done = subprocess.run(
        command, env={**os.environ, "LD_PRELOAD": str(shim)}, capture_output=True, text=True, check=True
    )
    loading, running = map(int, done.stdout.split())
    assert loading > 10
    # the outputs are 320 bytes, and so not large
    assert running == 0


def busy_seconds() -> dict[int, float]:
    """Processor time of each thread of this process."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / tick
    return found


def busy_threads(device: ect.Device, arrays: list[np.ndarray]) -> int:
    """How many threads take part in runs of a device."""
    device.run_arrays(arrays)
    time.sleep(0.3)  # workers that have nothing to do look out for work a while before they sleep
    before, begin = busy_seconds(), time.thread_time()
    while time.thread_time() - begin < 0.5:
        device.run_arrays(arrays)
    after = busy_seconds()
    return sum(after[task] - before.get(task, 0) > 0.1 for task in after)


@pytest.mark.alone
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_two_open_devices_keep_as_many_threads_busy_as_each_was_told(deployment: ect.Deployment) -> None:
    arrays = deployment.inputs()
    counted = []

    def work() -> None:
        with ect.open_device("cpu", threads=1) as one, ect.open_device("cpu", threads=2) as two:
            one.load(deployment)
            two.load(deployment)
            counted.extend(busy_threads(device, arrays) for device in (one, two, one))

    # TVM has one pool of workers for each thread: those of another one's are no help
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert counted == [1, 2, 1]
