"""Latency of the compiled library beside other int8 engines, interleaved in one run, as ratios.

    make bench

Machines are noisy and differ; a ratio from one run on one machine can be compared, a millisecond cannot.  Results go to
``benchmarks/results/latency.json`` and ``latency.png`` with the CPU, the threads and the versions they hold for.  Other
engines come with ``pip install 'ectoolkit[bench]'``; what is missing is said in its row.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import machine
from rich.console import Console

PACKAGES = ("ectoolkit", "apache-tvm", "torch", "torchao", "onnxruntime", "openvino", "nncf", "numpy")
MODELS: dict[str, str | None] = {
    "torchvision/resnet50": None,
    "mobilenet_v2": "DEFAULT",
    "efficientnet_lite0": "DEFAULT",
}
INDUCTOR, OWN = "torch inductor (PT2E)", "ectoolkit"
#: whose kernels are printed one by one; those of the others are in the JSON file
PRINTED = "torchvision/resnet50"


def main() -> None:
    """Make all models, time them, print and save."""
    options = arguments()
    say = partial(print, "…", flush=True)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        made = {name: made_files(name, folder, options, say) for name in options.models}
        results = []
        for name, facts in made.items():
            for threads in options.threads:
                say(f"{name}: timing with {threads} thread(s)")
                results.append(timed(name, facts, place(folder, name), threads, options.rounds))
    report(results, made, options.json)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own = sorted({1, len(machine.cpus())})
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--threads", nargs="+", type=int, default=own, help="CPUs that each engine has")
    parser.add_argument("--rounds", type=int, default=10, help="each of which runs every engine 5 times")
    parser.add_argument(
        "--inductor",
        nargs="*",
        choices=list(MODELS),
        metavar="MODEL",
        help="torch.compile too, of these models or of all: takes a minute or two each",
    )
    parser.add_argument("--folder", type=Path, help="keep the models here, and use what is there")
    results = Path(__file__).parent / "results" / "latency.json"
    parser.add_argument("--json", type=Path, default=results, help="file to write; the plot goes beside it")
    return parser.parse_args()


def place(folder: Path, name: str) -> Path:
    """Where a network's files are."""
    return folder / name.rpartition("/")[2]


def made_files(name: str, folder: Path, options: argparse.Namespace, say: Any) -> dict[str, dict[str, Any]]:
    """What `latency_files` tells of each engine's files."""
    from latency_files import ENGINES, Network

    network = Network(name, MODELS[name], place(folder, name))
    compiles = options.inductor is not None and name in (options.inductor or MODELS)
    network.make({k: v for k, v in ENGINES.items() if k != INDUCTOR or compiles}, say)
    return network.facts


def timed(name: str, facts: dict[str, dict[str, Any]], folder: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Times of all engines whose files are there."""
    for cache in folder.glob("inductor_cache_*"):
        shutil.rmtree(cache)  # its compiling is measured
    ready = [engine for engine, fact in facts.items() if "refusal" not in fact]
    command = [sys.executable, str(Path(__file__).parent / "latency_run.py"), str(folder), str(threads), str(rounds)]
    done = subprocess.run([*command, *ready], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"timing {name} with {threads} thread(s) ended with status {done.returncode}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    engines = {engine: found[engine] if engine in found else {"refusal": facts[engine]["refusal"]} for engine in facts}
    for engine in ready:
        if "open_s" in engines[engine]:
            facts[engine].setdefault("open_s", engines[engine]["open_s"])
    caches = [path for path in folder.glob("inductor_cache_*") if path.is_dir()]
    if caches and INDUCTOR in facts:
        size = sum(path.stat().st_size for path in caches[0].rglob("*.so"))
        facts[INDUCTOR] |= {"compile_s": facts[INDUCTOR].get("open_s", 0.0), "size_mb": size / 1e6}
    return {"model": name, "threads": threads, "engines": engines}


def report(results: list[dict[str, Any]], made: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """Print tables, write the JSON file and the plot."""
    import latency_report

    facts = {"cpu": machine.cpu_name(), "cpus": len(machine.cpus()), "versions": machine.versions(PACKAGES)}
    console = Console(width=None if os.isatty(1) else 130)
    console.print(f"{facts['cpu']}, " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    for result in results:
        console.print(latency_report.latency_table(result["model"], result["threads"], result["engines"]))
    for result in results:
        profile = result["engines"].get(OWN, {}).get("profile")
        if result["model"] == PRINTED and profile:
            console.print(latency_report.layer_table(result["model"], result["threads"], profile))
    console.print(latency_report.build_table(made))
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {**facts, "results": results, "building": made}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    latency_report.plot(results, path.with_suffix(".png"))
    print(f"written: {path}, {path.with_suffix('.png')}")


if __name__ == "__main__":
    main()
