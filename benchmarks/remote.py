"""What a run on another machine costs beside the same run here: MobileNetV2 on a server at the loopback.

The way through a real network comes on top; what is measured is what ectoolkit adds: copies, messages, the change of
process.
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ectoolkit as ect

#: ends with this process, however that ends
_SERVE = (
    "from ectoolkit.devices.rpc.confine import end_with_parent; end_with_parent(); "
    "from ectoolkit.cli.main import app; app()"
)
_RUNS, _WARMUP = 60, 5


@contextmanager
def server(key: str) -> Iterator[str]:
    """A server in a process of its own; gives the device's name."""
    command = [sys.executable, "-u", "-c", _SERVE, "device", "serve", "--port", "0"]
    environment = {**os.environ, "ECTOOLKIT_RPC_KEY": key}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as it:
        try:
            assert it.stdout is not None
            words = next(line for line in it.stdout if line.startswith("listening at "))
            yield f"rpc://{words.split()[2].rstrip(',')}"
        finally:
            it.terminate()


def measure_rpc(folder: Path) -> list[tuple[str, float, str]]:
    """Rows of a table; see `measure_runs`."""
    model = ect.load_model("mobilenet_v2")
    photos = ect.sample_photos(8).with_preprocess(model.preprocess)
    graph = ect.quantize(model, photos)
    return measure_runs(ect.build(graph, folder / "mobilenet_v2", reference_input=photos[:1].batch()))


def measure_runs(deployment: ect.Deployment) -> list[tuple[str, float, str]]:
    """Milliseconds of a run there and here, in turns, with one thread each."""
    key = secrets.token_hex(16)
    with (
        server(key) as name,
        ect.open_device("cpu", threads=1) as here,
        ect.open_device(name, key=key, threads=1) as there,
    ):
        sending = _seconds(lambda: there.load(deployment))
        here.load(deployment)
        arrays = deployment.inputs()
        times: dict[str, list[float]] = {"here": [], "there": []}
        for index in range(_WARMUP + _RUNS):
            for place, device in (("here", here), ("there", there)):
                seconds = _seconds(lambda device=device: device.run_arrays(arrays))  # type: ignore[misc]
                if index >= _WARMUP:
                    times[place].append(seconds)
        own = there.benchmark(deployment, runs=_RUNS, warmup=_WARMUP).loads[0].own["server_ms"]
    local, remote = (statistics.median(times[place]) * 1e3 for place in ("here", "there"))
    return [
        ("MobileNetV2: sent, checked and loaded", sending * 1e3, "ms"),
        ("MobileNetV2: a run here", local, "ms"),
        ("MobileNetV2: a run there", remote, "ms"),
        ("MobileNetV2: of that on its own clock", statistics.median(own), "ms"),
        ("MobileNetV2: the way there and back", remote - local, "ms"),
    ]


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
