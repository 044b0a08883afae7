"""How close to float ectoolkit and other toolkits come on EfficientNet-Lite0 and MobileNetV2 with their real weights.

    make bench

All calibrate with the same 32 photos and are judged by photos they have not seen: foolbox's 20 labelled ones and the
rest.  SQNR is of the logits, in decibels, by the definition of `ectoolkit.core.metrics.sqnr_db`: ``mean`` is the mean
of each photo's, ``pooled`` that of all photos' logits as one tensor; ``all 80`` counts the 32 photos of calibration
too.  Each row is printed and written to ``benchmarks/results/accuracy.json`` as it comes.  Other toolkits come with
``pip install 'ectoolkit[bench]'``; what is missing, fails or takes longer than ``--limit`` is said in its row.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_entry import Entry, Logits, of_module

if TYPE_CHECKING:
    from bounded import Worker
    from contenders import Task

PACKAGES = ("ectoolkit", "torch", "torchao", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
MODELS = ("efficientnet_lite0", "mobilenet_v2")
LABELLED, CALIBRATION, PHOTOS = 20, 32, 80

Prepared = tuple["Task", np.ndarray, list[int | None]]


def main() -> None:
    """Measure, print and save."""
    options = arguments()
    import accuracy_ours as ours
    import accuracy_peers as peers
    from bounded import Worker

    found: dict[str, list[dict[str, Any]]] = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            prepare = partial(prepared, name, Path(folder))
            task, photos, labels = prepare()
            reference = of_module(task.module)(photos)
            worker = Worker(prepare)
            found[name] = []
            for entry in [entry for entry in (*ours.entries(), *peers.entries()) if options.only in entry.name]:
                row = measured(entry, worker, options.limit, labels, reference)
                found[name].append(row)
                print(line(name, row), flush=True)
                save(found, options.json)
            worker.close()
    report(found, options.json)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--only", default="", help="rows that have this in their name")
    parser.add_argument("--limit", type=float, default=120, help="seconds that a row may take")
    results = Path(__file__).parent / "results" / "accuracy.json"
    parser.add_argument("--json", type=Path, default=results, help="file to write")
    return parser.parse_args()


def prepared(name: str, folder: Path) -> Prepared:
    """The module with its calibration images, and all photos: labelled, seen in calibration, held out."""
    from contenders import Task

    import ectoolkit as ect

    warnings.simplefilter("ignore")
    model = ect.load_model(name)
    photos = ect.sample_photos(PHOTOS).with_preprocess(model.preprocess)
    images = np.ascontiguousarray(photos.batch(), np.float32)
    seen = images[LABELLED : LABELLED + CALIBRATION]
    labels = [None if label is None else int(label) for label in photos.labels]
    return Task(model.module, seen, seen[:1], 1, folder), images, labels


def logits_of(quantize: Callable[[Task], Logits], given: Prepared) -> np.ndarray:
    """Calibrate and run all photos."""
    task, photos, _ = given
    return quantize(task)(photos)


def measured(
    entry: Entry, worker: Worker, limit_s: float, labels: list[int | None], reference: np.ndarray
) -> dict[str, Any]:
    """One row; a toolkit that cannot says why."""
    from bounded import RefusalError

    from ectoolkit.core.metrics import agreement

    begin = time.perf_counter()
    try:
        logits = worker.do(partial(logits_of, entry.quantize), limit_s, entry.packages)
    except RefusalError as reason:
        return {"name": entry.name, "refusal": str(reason)}
    unseen = np.r_[:LABELLED, LABELLED + CALIBRATION : PHOTOS]
    right = [int(logits[index].argmax()) == label for index, label in enumerate(labels) if label is not None]
    return {
        "name": entry.name,
        "seconds": time.perf_counter() - begin,
        **decibels("unseen", reference[unseen], logits[unseen]),
        **decibels("labelled", reference[:LABELLED], logits[:LABELLED]),
        **decibels("all", reference, logits),
        "unseen_agreement": agreement(reference[unseen], logits[unseen]),
        "labelled_right": int(sum(right)),
    }


def decibels(which: str, reference: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Mean over photos, and of all as one tensor."""
    from ectoolkit.core.metrics import sqnr_db

    each = [sqnr_db(x, y) for x, y in zip(reference, logits, strict=True)]
    return {f"{which}_mean_db": float(np.mean(each)), f"{which}_pooled_db": sqnr_db(reference, logits)}


def line(name: str, row: dict[str, Any]) -> str:
    """A row as it comes."""
    found = row.get("refusal") or f"{row['unseen_mean_db']:.2f} / {row['unseen_pooled_db']:.2f} dB unseen"
    return f"{name}  {row['name']:<50} {found}"


def report(found: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Print tables."""
    import machine
    from rich.console import Console

    console = Console(width=None if os.isatty(1) else 140)
    versions = machine.versions(PACKAGES)
    console.print(f"{machine.cpu_name()}; {', '.join(f'{name} {version}' for name, version in versions.items())}")
    for name, rows in found.items():
        console.print(table(name, rows))
    print(f"written: {path}")


def save(found: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Write the rows so far."""
    import machine

    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"cpu": machine.cpu_name(), "versions": machine.versions(PACKAGES), "tables": found}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(name: str, rows: list[dict[str, Any]]) -> Any:
    """SQNR as mean / pooled."""
    from rich.table import Table

    found = Table(title=f"{name}: SQNR of logits in dB, mean / pooled")
    headings = ("", "48 unseen", "20 labelled", "all 80", "agreement", "right of 20")
    for index, heading in enumerate(headings):
        found.add_column(heading, justify="right" if index else "left", no_wrap=index > 0)
    for row in rows:
        if "refusal" in row:
            found.add_row(row["name"], row["refusal"])
            continue
        pairs = (f"{row[f'{which}_mean_db']:.1f} / {row[f'{which}_pooled_db']:.1f}" for which in KINDS)
        found.add_row(row["name"], *pairs, f"{100 * row['unseen_agreement']:.1f} %", str(row["labelled_right"]))
    return found


KINDS = ("unseen", "labelled", "all")

if __name__ == "__main__":
    main()
