"""What it costs that EdgeCortix's compiler is in another process: `python benchmarks/mera.py`.

Start of a worker, an image there and back, and building through ectoolkit against calling MERA directly in its own
Python, interleaved.  Says so where MERA is not installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import cpu_name, cpus

import ectoolkit as ect
from ectoolkit.builders.mera.options import SETTINGS
from ectoolkit.errors import MissingDependencyError, PrecisionWarning
from ectoolkit.mera.place import Place, find_place
from ectoolkit.mera.session import Worker, close_idle_workers
from ectoolkit.quantization.eager import QuantizedModel, quantize_eager

ROUNDS, STARTS, TRIPS = 3, 5, 50
MAX_TRIP_S, MAX_BUILD_RATIO = 0.005, 1.05
SHAPE = (1, 224, 224, 3)
#: what a user of MERA alone would write, timed there without imports, as ours is; one process for all rounds, too.
#: Its scheduler's mode is the one that ectoolkit asks for by default
DIRECT = """
import sys, time
import mera, torch
from mera import ModelLoader, Platform, Target, TVMDeployer
from tvm.relay.mera import BuildConfig
scheduler = {**BuildConfig.default_compiler_config["scheduler_config"], "mode": "Fast"}
for line in sys.stdin:
    model, out = line.rstrip("\\n").split("\\t")
    start = time.perf_counter()
    with TVMDeployer(out, overwrite=True) as deployer:
        loaded = ModelLoader(deployer).from_pytorch(model, {"input0": ((1, 224, 224, 3), "float32")})
        deployer.deploy(
            loaded,
            mera_platform=Platform.DNAF200L0003,
            build_config={"scheduler_config": scheduler},
            target=Target.InterpreterHw,
            host_arch="x86",
        )
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
    image = np.random.default_rng(0).random(SHAPE, np.float32).tobytes()
    times = []
    for _ in range(TRIPS):
        start = time.perf_counter()
        back = worker.call("echo", timeout_s=10, data=image)
        times.append(time.perf_counter() - start)
        assert back == image
    worker.close()
    return min(times)


class Direct:
    """MERA in its own Python, as its user would call it; it builds once for each line that it is sent."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.log = (folder / "direct.log").open("w+")
        self.process = subprocess.Popen(
            [*place.words, "-c", DIRECT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=folder,  # Python looks for modules where it is, and this file is called mera
            env={**os.environ, "TOPHUB_LOCATION": "NONE"},  # as our worker: it would try to download
        )

    def build_s(self, model: Path, out: Path) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(model, out, sep="\t", file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("SECONDS"):
                return float(line.split()[1])
        self.log.seek(0)
        raise RuntimeError(f"MERA ended without an answer:\n{self.log.read()[-2000:]}")

    def close(self) -> None:
        self.process.communicate()
        self.log.close()


@dataclass(frozen=True)
class Times:
    """Seconds of one build through ectoolkit.

    Attributes:
        detour: sent to the worker, compiled there, and fetched: what calling MERA directly does.
        called: of it in the worker, calling MERA; the rest is the way there and back.
        whole: with the interpreter's reference, checks and hashes, which MERA alone does not have.
    """

    detour: float
    called: float
    whole: float


def ours(quantized: QuantizedModel, x: np.ndarray, out: Path, place: Place) -> Times:
    """Build once through ectoolkit."""
    steps: dict[str, float] = {}

    def progress(done: int, total: int, label: str) -> None:
        steps.setdefault(label.partition(",")[0], time.perf_counter())

    start = time.perf_counter()
    ect.build(
        quantized.graph,
        out,
        "mera:InterpreterHw",
        reference_input=x,
        torchscript=quantized.traced,
        environment=place,
        progress=progress,
    )
    called = json.loads((out / SETTINGS).read_text())["seconds"]
    return Times(steps["write"] - steps["compile"], called, time.perf_counter() - start)


def small() -> Any:
    """A network of one layer, to import and warm everything with."""
    layers = torch.ao.quantization.QuantStub(), torch.nn.Conv2d(3, 8, 3, 8), torch.ao.quantization.DeQuantStub()
    return torch.nn.Sequential(*layers).eval()


def builds(place: Place, folder: Path) -> tuple[list[Times], list[float]]:
    """Each round's times through ectoolkit and directly, which take turns at going first."""
    model = ect.load_model("mobilenet_v2")
    photos = ect.sample_photos(4).with_preprocess(model.preprocess)
    x = photos[:1].batch()
    warnings.filterwarnings("ignore", message=".*the ceiling of ReLU6 is lost", category=PrecisionWarning)
    config = ect.QuantConfig(activation_bits=7)
    networks = {"small": small(), "mobilenet_v2": model.module}
    quantized = {name: quantize_eager(net, photos, config, name=name) for name, net in networks.items()}
    for name, network in quantized.items():
        network.traced.save(str(folder / f"{name}.pt"))
    direct = Direct(place, folder)
    ours(quantized["small"], x, folder / "warm", place)
    direct.build_s(folder / "small.pt", folder / "warm_direct")
    here: list[Times] = []
    there: list[float] = []
    for number in range(ROUNDS):
        turns = [
            lambda: here.append(ours(quantized["mobilenet_v2"], x, folder / "ours", place)),
            lambda: there.append(direct.build_s(folder / "mobilenet_v2.pt", folder / "theirs")),
        ]
        for turn in turns if number % 2 == 0 else turns[::-1]:
            turn()
        last = here[-1]
        print(
            f"  round {number + 1}: through ectoolkit {last.detour:.2f} s (of it MERA {last.called:.2f} s; with "
            f"reference and checks {last.whole:.2f} s), direct {there[-1]:.2f} s",
            flush=True,
        )
    direct.close()
    return here, there


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
        here, there = builds(place, Path(folder))
    close_idle_workers()
    way = min(times.detour - times.called for times in here)
    print(f"there and back with the model and what was built: {way:.2f} s, {way / min(there):.1%} of a build")
    ratio, whole = (min(seconds) / min(there) for seconds in ([t.detour for t in here], [t.whole for t in here]))
    print(
        f"building mobilenet_v2: {ratio:.3f} × calling MERA directly (best of {ROUNDS} each, taking turns; wanted "
        f"≤ {MAX_BUILD_RATIO} ×); with the interpreter's reference and all checks {whole:.3f} ×"
    )
    return int(trip > MAX_TRIP_S or ratio > MAX_BUILD_RATIO)


if __name__ == "__main__":
    sys.exit(main())
