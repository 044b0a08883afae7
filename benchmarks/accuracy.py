"""How close to float ectoolkit and other toolkits come on EfficientNet-Lite0 and MobileNetV2 with their real weights.

    make bench

All calibrate with the same 32 photos and are judged by photos they have not seen: foolbox's 20 labelled ones and the
rest.  SQNR is of the logits, in decibels, by the definition of `ectoolkit.core.metrics.sqnr_db`: ``mean`` is the mean
of each photo's, ``pooled`` that of all photos' logits as one tensor; ``all 80`` counts the 32 photos of calibration
too.  Results go to ``benchmarks/results/accuracy.json``.  Other toolkits come with ``pip install 'ectoolkit[bench]'``;
what is missing is said in its row.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from contenders import Task

PACKAGES = ("ectoolkit", "torch", "torchao", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
MODELS = ("efficientnet_lite0", "mobilenet_v2")
LABELLED, CALIBRATION, PHOTOS = 20, 32, 80

#: float32 ``(N, 3, H, W)`` to float32 ``(N, classes)``
Logits = Callable[[np.ndarray], np.ndarray]


def one_by_one(run: Callable[[np.ndarray], Any]) -> Logits:
    """What runs one image, for many."""
    return lambda images: np.concatenate([np.asarray(run(image[None]), np.float32) for image in images])


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        name: as in the table.
        quantize: calibrates on a task's images and gives what runs.
        packages: whose absence is no failure.
    """

    name: str
    quantize: Callable[[Task], Logits]
    packages: tuple[str, ...] = ()


def main() -> None:
    """Measure, print and save."""
    options = arguments()
    import accuracy_ours as ours
    import accuracy_peers as peers

    warnings.simplefilter("ignore")
    found = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            task, photos, labels = the_task(name, Path(folder))
            reference = of_module(task.module)(photos)
            found[name] = []
            for entry in [entry for entry in (*ours.entries(), *peers.entries()) if options.only in entry.name]:
                print("…", name, entry.name, flush=True)
                found[name].append(measured(entry, task, photos, labels, reference))
    report(found, options)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--only", default="", help="rows that have this in their name")
    results = Path(__file__).parent / "results" / "accuracy.json"
    parser.add_argument("--json", type=Path, default=results, help="file to write")
    return parser.parse_args()


def the_task(name: str, folder: Path) -> tuple[Task, np.ndarray, list[int | None]]:
    """The module with its calibration images, and all photos: labelled, seen in calibration, held out."""
    from contenders import Task

    import ectoolkit as ect

    model = ect.load_model(name)
    photos = ect.sample_photos(PHOTOS).with_preprocess(model.preprocess)
    images = np.ascontiguousarray(photos.batch(), np.float32)
    seen = images[LABELLED : LABELLED + CALIBRATION]
    labels = [None if label is None else int(label) for label in photos.labels]
    return Task(model.module, seen, seen[:1], 1, folder), images, labels


def of_module(module: Any) -> Logits:
    """A torch module, image by image."""
    import torch

    def run(image: np.ndarray) -> Any:
        with torch.no_grad():
            return module(torch.from_numpy(image))

    return one_by_one(run)


def measured(
    entry: Entry, task: Task, photos: np.ndarray, labels: list[int | None], reference: np.ndarray
) -> dict[str, Any]:
    """One row; a toolkit that cannot says why."""
    from ectoolkit.core.metrics import agreement

    try:
        run = entry.quantize(task)
        logits = run(photos)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in entry.packages:
            raise
        return {"name": entry.name, "refusal": f"not installed: {missing}"}
    except Exception as error:  # a peer's failure is its row, whatever it is
        return {"name": entry.name, "refusal": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    unseen = np.r_[:LABELLED, LABELLED + CALIBRATION : PHOTOS]
    right = [int(logits[index].argmax()) == label for index, label in enumerate(labels) if label is not None]
    return {
        "name": entry.name,
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


def report(found: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Print tables and write the JSON file."""
    import machine
    from rich.console import Console

    versions = machine.versions(PACKAGES)
    console = Console(width=None if os.isatty(1) else 140)
    console.print(f"{machine.cpu_name()}; {', '.join(f'{name} {version}' for name, version in versions.items())}")
    for name, rows in found.items():
        console.print(table(name, rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    data = {"cpu": machine.cpu_name(), "versions": versions, "tables": found}
    options.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {options.json}")


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
