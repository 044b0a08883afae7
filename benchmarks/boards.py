"""What the way to a device costs: a run on a server of the rpc device; on the virtual board a call, a deployment's run,
opening, refreshing its health.

    make bench

The virtual board says nothing of a card's speed.  What is measured is what stands between a program and XRT: the child
process, its messages, the copies.  Results go to ``benchmarks/results/boards.json``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import cpu_name, cpus, versions
from remote import measure_rpc
from rich.console import Console
from rich.table import Table

import ectoolkit as ect
from ectoolkit.devices import list_health
from ectoolkit.devices.xrt import Board, read_health
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.testing.virtual_u50 import VirtualBoard, missing, virtual_u50
from ectoolkit.widgets.refresh import PERIOD_S

RESULTS = Path(__file__).parent / "results" / "boards.json"


def main() -> None:
    """Measure, print and save; says why where the virtual board cannot start."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_rpc(Path(folder))
        show("measured on a server at the loopback", rows)
        lacking = missing()
        if lacking is None:
            with virtual_u50() as board:
                found = [*measure_calls(board), *measure_deployment(Path(folder)), *measure_health()]
            show("measured on the virtual U50", found)
            rows += found
        else:
            Console().print(f"boards: not measured: {lacking}")
    RESULTS.parent.mkdir(exist_ok=True)
    known = {"cpu": cpu_name(), "cores": len(cpus()), "versions": versions(["ectoolkit", "numpy", "msgspec"])}
    RESULTS.write_text(json.dumps({**known, "rows": rows}, indent=1) + "\n")


def show(title: str, rows: list[tuple[str, float, str]]) -> None:
    """A table on the terminal."""
    table = Table(title, "value", "unit")
    for name, value, unit in rows:
        table.add_row(name, f"{value:.3g}", unit)
    Console().print(table)


def measure_calls(virtual: VirtualBoard) -> list[tuple[str, float, str]]:
    """Opening with a load, and one run of a kernel that does next to nothing: the call, and XRT's share of it."""
    opened = []
    for _ in range(10):
        start = time.perf_counter()
        with Board("0") as board:
            board.load(virtual.xclbin)
            opened.append(time.perf_counter() - start)
    with Board("0") as board:
        board.load(virtual.xclbin)
        buffers = [board.buffer("vector_add", name, 64) for name in "abc"]
        inside: list[float] = []
        call = median_of(lambda: inside.append(board.run("vector_add", *buffers, 4)), 300)
    return [
        ("open and load", statistics.median(opened) * 1e3, "ms"),
        ("run: the call", call * 1e6, "µs"),
        ("run: of that in XRT and the board", statistics.median(inside) * 1e6, "µs"),
    ]


def measure_deployment(folder: Path) -> list[tuple[str, float, str]]:
    """One run of a small deployment, against the interpreter in this process, which the board's kernel is."""
    graph = residual_graph()
    deployment = ect.build(graph, folder / "deploy", reference_input=example_input(graph))
    arrays = deployment.inputs()
    times = {}
    for name in ("xrt:0", "interpreter"):
        with ect.open_device(name) as device:
            device.load(deployment)
            times[name] = median_of(lambda device=device: device.run_arrays(arrays), 100)
    return [
        ("deployment: a run on the board", times["xrt:0"] * 1e3, "ms"),
        ("deployment: against the interpreter here", times["xrt:0"] / times["interpreter"], "×"),
    ]


def measure_health() -> list[tuple[str, float, str]]:
    """Share of one CPU that a panel takes which refreshes everything it shows at its own pace: it must be below 1 %."""
    return [
        ("all devices as the panel reads them: CPU", share_of_cpu(list_health, PERIOD_S), "%"),
        ("a board's whole health at 1 Hz: CPU", share_of_cpu(lambda: read_health("0"), 1.0), "%"),
    ]


def share_of_cpu(action: Callable[[], object], period_s: float) -> float:
    """Percent of one CPU that a call every `period_s` takes, this process and the system's work for it together."""
    action()
    start = time.process_time()
    for _ in range(200):
        action()
    return (time.process_time() - start) / 200 / period_s * 100


def median_of(action: Callable[[], object], repeats: int) -> float:
    """Seconds of one call, warm."""
    for _ in range(10):
        action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
