"""Calibration, layer analysis and tuning of an int8 ResNet-50 beside other toolkits, in one interleaved run.

    make bench

CPU time of one image is divided by that of the user's float module at batch 1, run in the same rounds: such a ratio
can be compared between machines and survives a busy one, a millisecond does neither.  Results go to
``benchmarks/results/quantize.json`` with the CPU, the threads and the versions they hold for.  Other toolkits come with
``pip install 'ectoolkit[bench]'``; what is missing is said in its row.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PACKAGES = ("ectoolkit", "torch", "torchao", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
MODEL = "torchvision/resnet50"
STATISTICS_MB = 20
TUNING_ROUNDS = 10


def main() -> None:
    """Measure, print and save."""
    options = arguments()
    confine(options.threads)
    # only now: libraries size their thread pools when they are imported
    import quantize_ours as ours
    import quantize_peers as peers
    from contenders import Contender, interleaved

    warnings.simplefilter("ignore")
    say = partial(print, "…", flush=True)
    tables: dict[str, list[Contender]] = {
        "calibration": [
            Contender(FLOAT, partial(float_forward, "images"), options.images),
            *ours.calibration(options.images),
            *peers.calibration(options.images),
        ],
        "layer analysis": [
            Contender(FLOAT, partial(float_forward, "looked_at"), options.analysis_images),
            *ours.analysis(options.analysis_images),
            *peers.analysis(options.analysis_images),
        ],
        "tuning": ours.tuning(),
    }
    with tempfile.TemporaryDirectory() as folder:
        task = the_task(options, Path(folder))
        for title, contenders in tables.items():
            tables[title] = chosen(title, contenders, options.only)
            interleaved(tables[title], task, TUNING_ROUNDS if title == "tuning" else options.rounds, say)
        size = statistics_size(tables["calibration"], Path(folder))
    report(tables, size, options)


FLOAT = "float forward of the module, batch 1"


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=64, help="calibration images")
    parser.add_argument("--analysis-images", type=int, default=4, help="images of layer analysis")
    parser.add_argument("--rounds", type=int, default=3, help="how often each row runs")
    parser.add_argument("--threads", type=int, default=1, help="cores that all rows share")
    parser.add_argument("--model", default=MODEL, help="name, with random weights and BatchNorm statistics that fit")
    parser.add_argument("--only", default="", help="rows whose 'table: name' has this in it")
    results = Path(__file__).parent / "results" / "quantize.json"
    parser.add_argument("--json", type=Path, default=results, help="file to write")
    return parser.parse_args()


def chosen(title: str, contenders: list[Any], only: str) -> list[Any]:
    """Those asked for, with what they are compared with."""
    wanted = [c for c in contenders if c.name != FLOAT and only in f"{title}: {c.name}"]
    return [c for c in contenders if c.name == FLOAT and wanted] + wanted


def confine(threads: int) -> None:
    """Let this process use so many cores; every library follows that or these variables.

    Spinning threads of one row would else count as its work, or disturb another's.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def the_task(options: argparse.Namespace, folder: Path) -> Any:
    """The module, and photos with small shifts so that there are enough of them."""
    import numpy as np
    import torch
    from contenders import Task

    import ectoolkit as ect

    torch.set_num_threads(options.threads)
    model = ect.load_model(options.model, weights=None)
    photos = ect.sample_photos().with_preprocess(model.preprocess).batch()
    count = max(options.images, options.analysis_images)
    images = [np.roll(photos[index % len(photos)], index // len(photos), axis=2) for index in range(count)]
    batch = np.ascontiguousarray(images, np.float32)
    return Task(model.module, batch[: options.images], batch[: options.analysis_images], options.threads, folder)


def float_forward(which: str, task: Any) -> Callable[[], Callable[[], None]]:
    """The user's own module, image by image."""
    import torch

    def run() -> None:
        with torch.inference_mode():
            for image in getattr(task, which):
                task.module(torch.from_numpy(image[None]))

    return lambda: run


def statistics_size(contenders: list[Any], folder: Path) -> float | None:
    """Megabytes of the statistics that were collected, in their file."""
    from ectoolkit.quantization.statistics_file import save_statistics

    for contender in contenders:
        if contender.name.startswith("ectoolkit") and contender.result is not None:
            return save_statistics(contender.result, folder / "size.ectstats").stat().st_size / 1e6
    return None


def report(tables: dict[str, list[Any]], statistics_mb: float | None, options: argparse.Namespace) -> None:
    """Print tables and write the JSON file."""
    import machine
    from rich.console import Console

    facts = {
        "cpu": machine.cpu_name(),
        "threads": options.threads,
        "model": options.model,
        "images": options.images,
        "analysis_images": options.analysis_images,
        "rounds": options.rounds,
        "versions": machine.versions(PACKAGES),
    }
    console = Console(width=None if os.isatty(1) else 120)
    console.print(f"{facts['cpu']}, {options.threads} thread(s), {options.model}, {options.rounds} rounds")
    console.print(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    rows = {title: [row(contender, contenders[0]) for contender in contenders] for title, contenders in tables.items()}
    for title in filter(rows.get, rows):
        console.print(table(title, rows[title]))
    if statistics_mb is not None:
        console.print(f"statistics file: {statistics_mb:.1f} MB (target: {STATISTICS_MB} MB)")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    data = {**facts, "statistics_file_mb": statistics_mb, "tables": rows}
    options.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {options.json}")


def row(contender: Any, reference: Any) -> dict[str, Any]:
    """What one contender took, beside the float forward."""
    found = {"name": contender.name, "images": contender.images, "target_ms": contender.target_ms, **contender.times()}
    if contender.refusal:
        found["refusal"] = contender.refusal
    if reference.name == FLOAT and contender.cpu_s and reference.cpu_s:
        base = reference.times()
        found |= {key.replace("_ms", "_ratio"): value / base[key] for key, value in contender.times().items()}
    return found


def table(title: str, rows: list[dict[str, Any]]) -> Any:
    """Ratios where there is something to compare with; milliseconds beside a target elsewhere."""
    from rich.table import Table

    compared = any("cpu_min_ratio" in row for row in rows)
    unit = "ms an image" if compared else "ms"
    last = "ratio to the float forward" if compared else "target"
    found = Table()
    for index, name in enumerate((f"{title}: {unit}", "CPU min / med", "wall min / med", last)):
        found.add_column(name, justify="right" if index else "left", no_wrap=index < 3)
    for row in rows:
        if "cpu_min_ms" not in row:
            found.add_row(row["name"], "–", "–", row.get("refusal", ""))
            continue
        last = f"{row['target_ms'] or ''}"
        if compared:
            last = f"{row['cpu_min_ratio']:.2f} / {row['cpu_median_ratio']:.2f}"
        times = (f"{row[f'{kind}_min_ms']:.1f} / {row[f'{kind}_median_ms']:.1f}" for kind in ("cpu", "wall"))
        found.add_row(row["name"], *times, last)
    return found


if __name__ == "__main__":
    main()
