"""The fast interpreter beside the definition and torch's own int8 engine, in one interleaved run, as ratios.

    make bench

ResNet-50, batch 1, 224×224.  torch gives other codes, which are no one's reference; it is here as the measure of how
fast int8 can be from Python.  Results go to ``benchmarks/results/interpreter.json`` with the CPU, the threads and the
versions they hold for.
"""

from __future__ import annotations

import argparse
import json
import statistics
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
from ectoolkit.core import interpreter
from ectoolkit.errors import PrecisionWarning
from ectoolkit.interpreters.fast.program import Program
from ectoolkit.interpreters.fast.self_test import exact_method
from ectoolkit.quantization.eager import QuantizedModel, quantize_eager

MODEL = "torchvision/resnet50"
FBGEMM = "torch fbgemm"


def main() -> None:
    """Measure with one and with all threads; print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each row runs")
    parser.add_argument("--definition-rounds", type=int, default=2, help="how often the definition runs")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", PrecisionWarning)
    model = ect.load_model(MODEL, weights=None)
    images = ect.sample_photos(4).with_preprocess(model.preprocess)
    # 7-bit activations: on CPUs without VNNI torch's engine is wrong with 8
    config = ect.QuantConfig(method="minmax", activation_bits=7)
    quantized = quantize_eager(model.module, images, config, name=MODEL)
    x = images[:1].batch()
    equal = layers_equal(quantized.graph, x)
    rows = [
        row
        for threads in sorted({1, len(cpus())})
        for row in measure(quantized, x, threads, options.rounds, options.definition_rounds)
    ]
    report(rows, equal)


def layers_equal(graph: ect.Graph, x: np.ndarray) -> int:
    """How many layers the fast interpreter and the definition have in common in every element: all."""
    fast, definition = ect.interpret(graph, x, trace=True, engine="fast"), interpreter.trace(graph, x)
    for name, array in definition.items():
        np.testing.assert_array_equal(fast[name], array, err_msg=name)
    return len(definition)


def measure(quantized: QuantizedModel, x: np.ndarray, threads: int, rounds: int, few: int) -> list[dict[str, object]]:
    """Seconds of each, taken in turns."""
    torch.set_num_threads(threads)
    graph = quantized.graph
    tensor = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
    runs: dict[str, tuple[int, Callable[[], object]]] = {
        FBGEMM: (rounds, lambda: quantized.traced(tensor)),
        "fast, outputs only": (rounds, lambda: ect.interpret(graph, x, engine="fast")),
        "fast, all layers traced": (rounds, lambda: ect.interpret(graph, x, trace=True, engine="fast")),
        "fast, weights packed anew": (few, lambda: Program(graph)),
        "definition, all layers traced": (few, lambda: interpreter.trace(graph, x)),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for turn in range(rounds):
            for name, (count, run) in runs.items():
                if turn >= count:
                    continue
                run() if count == rounds else None  # warms the caches again
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    least = {name: min(values) for name, values in times.items()}
    return [
        {
            "what": name,
            "threads": threads,
            "min_ms": least[name] * 1e3,
            "median_ms": statistics.median(times[name]) * 1e3,
            "ratio_to_fbgemm": least[name] / least[FBGEMM],
            "ratio_to_definition": least[name] / least["definition, all layers traced"],
        }
        for name in runs
    ]


def report(rows: list[dict[str, object]], equal: int) -> None:
    """Print a table and write the JSON file."""
    facts = {
        "cpu": cpu_name(),
        "cpus": len(cpus()),
        "sums": exact_method(),
        "layers_equal_to_the_definition": equal,
        "versions": versions(("ectoolkit", "torch", "numpy")),
    }
    table = Table(title=f"int8 ResNet-50, batch 1, on {facts['cpu']}; sums in {facts['sums']}; {equal} tensors equal")
    for column in ("what", "threads", "min ms", "median ms", "ratio to torch fbgemm", "ratio to the definition"):
        table.add_column(column)
    for row in rows:
        what, threads, *numbers = row.values()
        cells = [f"{number:.1f}" for number in numbers[:2]] + [f"{number:.3g}" for number in numbers[2:]]
        table.add_row(str(what), str(threads), *cells)
    Console().print(table)
    path = Path(__file__).parent / "results" / "interpreter.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
