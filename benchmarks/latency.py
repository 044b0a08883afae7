"""Latency of the compiled library against torch's own int8 engine, in one interleaved run, as ratios.

    make bench

Machines are noisy and differ; a ratio from one run on one machine can be compared, a millisecond cannot.  Results go to
``benchmarks/results/latency.json`` with the CPU, the threads and the versions they hold for.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import cpu_name, cpus, versions
from rich.console import Console
from rich.table import Table

import ectoolkit as ect
from ectoolkit.builders.cpu.isa import choose_isa
from ectoolkit.errors import PrecisionWarning
from ectoolkit.quantization.eager import quantize_eager

MODELS = {"mobilenet_v2": "DEFAULT", "torchvision/resnet50": None}
ROUNDS, REPEATS = 10, 5


def main() -> None:
    """Measure every model with one and with all threads; print and save."""
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.filterwarnings("ignore", message=".*the ceiling of ReLU6 is lost", category=PrecisionWarning)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, weights in MODELS.items():
            model = ect.load_model(name, weights=weights)
            images = ect.sample_photos(4).with_preprocess(model.preprocess)
            # 7-bit activations: on CPUs without VNNI torch's engine is wrong with 8
            quantized = quantize_eager(
                model.module, images, ect.QuantConfig(method="minmax", activation_bits=7), name=name
            )
            deployment = ect.build(quantized.graph, Path(folder) / "deploy", reference_input=images[:1].batch())
            for threads in sorted({1, len(cpus())}):
                rows.append(measure(name, deployment, quantized.traced, images[:1].batch(), threads))
    report(rows)


def measure(name: str, deployment: ect.Deployment, traced: torch.jit.ScriptModule, x: np.ndarray, threads: int) -> dict:
    """Times of both, taken in turns."""
    torch.set_num_threads(threads)
    with ect.open_device("cpu", threads=threads) as device:
        device.load(deployment)
        arrays = deployment.inputs()
        tensor = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
        ours, theirs = [], []
        with torch.no_grad():
            for _ in range(ROUNDS):
                ours += timed(lambda: device.run_arrays(arrays))
                theirs += timed(lambda: traced(tensor))
    return {
        "model": name,
        "threads": threads,
        "ectoolkit_ms": [min(ours) * 1e3, statistics.median(ours) * 1e3],
        "torch_fbgemm_ms": [min(theirs) * 1e3, statistics.median(theirs) * 1e3],
        "ratio_of_minima": min(ours) / min(theirs),
        "ratio_of_medians": statistics.median(ours) / statistics.median(theirs),
    }


def timed(run: Callable[[], object]) -> list[float]:
    """Seconds of a few runs, after one that warms the caches again."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def report(rows: list[dict]) -> None:
    """Print a table and write the JSON file."""
    facts = {
        "cpu": cpu_name(),
        "isa": choose_isa().name,
        "cpus": len(cpus()),
        "versions": versions(("ectoolkit", "apache-tvm", "torch")),
    }
    table = Table(title=f"int8, batch 1, 224×224 on {facts['cpu']} ({facts['isa']})")
    for column in (
        "model",
        "threads",
        "ectoolkit min/median ms",
        "torch fbgemm min/median ms",
        "ratio min",
        "ratio median",
    ):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["model"],
            str(row["threads"]),
            "{:.1f} / {:.1f}".format(*row["ectoolkit_ms"]),
            "{:.1f} / {:.1f}".format(*row["torch_fbgemm_ms"]),
            f"{row['ratio_of_minima']:.2f}",
            f"{row['ratio_of_medians']:.2f}",
        )
    Console().print(table)
    path = Path(__file__).parent / "results" / "latency.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
