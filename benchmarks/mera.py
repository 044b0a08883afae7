"""What it costs that EdgeCortix's compiler is in another process: `python benchmarks/mera.py`.

Start of a worker, an image there and back, and building through ectoolkit against calling MERA directly in its own
Python, interleaved.  Says so where MERA is not installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from machine import cpu_name, cpus

import ectoolkit as ect
from ectoolkit.builders.mera.options import SETTINGS
from ectoolkit.errors import MissingDependencyError, PrecisionWarning
from ectoolkit.mera.place import Place, find_place
from ectoolkit.mera.session import Worker, close_idle_workers
from ectoolkit.quantization.eager import quantize_eager

ROUNDS, STARTS, TRIPS = 3, 5, 50
MAX_TRIP_S, MAX_BUILD_RATIO = 0.005, 1.05
#: what a user of MERA alone would write, timed there without imports, as ours is; one process for all rounds, too
DIRECT = """
import sys, time, json
import mera, torch
from tvm.relay import mera as _
from mera import ModelLoader, Platform, Target, TVMDeployer
for line in sys.stdin:
    start = time.perf_counter()
    with TVMDeployer(line.strip(), overwrite=True) as deployer:
        model = ModelLoader(deployer).from_pytorch(sys.argv[1], {"input0": ((1, 224, 224, 3), "float32")})
        deployer.deploy(model, mera_platform=Platform.DNAF200L0003, target=Target.InterpreterHw, host_arch="x86")
    print("SECONDS", time.perf_counter() - start, flush=True)
"""


def start_s(place: Place) -> float:
    """Starting a worker until it answers."""
    worker = Worker(place)
    worker.close()
    return worker.start_s


def trip_s(place: Place) -> float:
    """A 224×224×3 float32 image there and back, by a file of the worker's: nothing is computed."""
    worker = Worker(place)
    image = np.random.default_rng(0).random((1, 224, 224, 3), np.float32).tobytes()
    times = []
    for _ in range(TRIPS):
        start = time.perf_counter()
        back = worker.call("echo", timeout_s=10, data=image)
        times.append(time.perf_counter() - start)
        assert back == image
    worker.close()
    return min(times)


class Direct:
    """MERA in its own Python, as its user would call it; it builds once for each folder that it is sent."""

    def __init__(self, place: Place, model: Path) -> None:
        command = [*place.python.split(), "-c", DIRECT, str(model)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=model.parent,  # Python looks for modules where it is, and this file is called mera
        )

    def build_s(self, folder: Path) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(folder, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("SECONDS"):
                return float(line.split()[1])
        raise RuntimeError("MERA ended without an answer")

    def close(self) -> None:
        self.process.communicate()


def builds(place: Place, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of each round: through ectoolkit without the interpreter's reference, and directly."""
    model = ect.load_model("mobilenet_v2")
    photos = ect.sample_photos(4).with_preprocess(model.preprocess)
    warnings.filterwarnings("ignore", message=".*the ceiling of ReLU6 is lost", category=PrecisionWarning)
    quantized = quantize_eager(model.module, photos, ect.QuantConfig(activation_bits=7), name="mobilenet_v2")
    quantized.traced.save(str(folder / "model.pt"))
    direct = Direct(place, folder / "model.pt")
    ours, theirs = [], []
    for number in range(ROUNDS + 1):
        steps: dict[str, float] = {}

        def progress(done: int, total: int, label: str, steps: dict[str, float] = steps) -> None:
            steps.setdefault(label.partition(",")[0], time.perf_counter())

        x = photos[:1].batch()
        out = folder / "ours"
        ect.build(
            quantized.graph,
            out,
            "mera:InterpreterHw",
            reference_input=x,
            torchscript=quantized.traced,
            environment=place,
            progress=progress,
        )
        seconds = steps["write"] - steps["compile"]  # sent, compiled, fetched
        other = direct.build_s(folder / "theirs")
        compiled = json.loads((out / SETTINGS).read_text())["compile_seconds"]
        print(f"  round {number}: ectoolkit {seconds:.2f} s (of it MERA {compiled:.2f} s), direct {other:.2f} s")
        if number:  # the first imports MERA
            ours.append(seconds)
            theirs.append(other)
    direct.close()
    return ours, theirs


def main() -> int:
    try:
        place = find_place()
    except MissingDependencyError as error:
        print(f"mera: left out. {error}")
        return 0
    print(f"EdgeCortix's compiler in its own process: {cpu_name()}, {len(cpus())} cores, {place}")
    starts = [start_s(place) for _ in range(STARTS)]
    trip = trip_s(place)
    print(f"start of a worker: {min(starts):.2f} s (best of {STARTS}; the worst {max(starts):.2f} s)")
    print(f"a 224×224×3 float32 image there and back: {trip * 1e3:.2f} ms (best of {TRIPS}; wanted ≤ 5 ms)")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = builds(place, Path(folder))
    close_idle_workers()
    ratio = min(ours) / min(theirs)
    print(f"building mobilenet_v2: {ratio:.3f} × calling MERA directly (best of {ROUNDS} each; wanted ≤ 1.05 ×)")
    return int(trip > MAX_TRIP_S or ratio > MAX_BUILD_RATIO)


if __name__ == "__main__":
    sys.exit(main())
