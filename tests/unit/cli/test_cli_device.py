"""``ectoolkit device``: health, banks, and commands run with a virtual board."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ectoolkit
from ectoolkit.cli.device import _measured
from ectoolkit.devices.xrt.host import VARIABLE
from ectoolkit.testing.virtual_u50 import VirtualBoard

OURS = str(Path(ectoolkit.__file__).parents[1])
LIST = "from ectoolkit.devices.xrt import find_boards; print([(b.bdf, b.reason) for b in find_boards()])"
FOUND = "[('0000:e0:00.1', '')]\n"


def test_health(call: Any, virtual: VirtualBoard) -> None:
    result = call("device", "health", "xrt:0000:e0:00.1")
    assert result.exit_code == 0
    head, note, *readings = result.stdout.splitlines()
    assert head == "0000:e0:00.1: shell ectoolkit_u50_virtual_1, driver 2.13.466"
    assert note == "note: virtual board: sensor values are invented"
    assert "  FPGA temperature: 41 °C" in readings


def test_banks(call: Any, virtual: VirtualBoard) -> None:
    result = call("device", "banks", "--size-mib", "1")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header == "bank     to device, GB/s  from device, GB/s"
    assert [row.split()[0] for row in rows] == [f"HBM[{index}]" for index in range(32)]
    assert result.stderr == "note: on a virtual board these are copies in this machine's memory\n"


def test_benchmark(call: Any, virtual: VirtualBoard, deployment: Path, tmp_path: Path) -> None:
    report = tmp_path / "times.json"
    options = ("--runs", "4", "--warmup", "1", "--in-flight", "1", "--in-flight", "3", "--report", report)
    result = call("device", "benchmark", "xrt:0", deployment, *options)
    assert result.exit_code == 0, result.output
    title, header, one, three = result.stdout.splitlines()
    assert title == "xrt:0, deploy: after 1 runs to warm up"
    assert [cell for cell in header.split("  ") if cell][:6] == [
        "in flight",
        "runs",
        "mean, ms",
        "p50, ms",
        "p95, ms",
        "p99, ms",
    ]
    assert "runs/s" in header
    assert "device: kernel_us" in header
    assert "power, W" in header
    assert (one.split()[:2], three.split()[:2]) == (["1", "4"], ["3", "4"])
    assert result.stderr == f"note: virtual board: sensor values are invented\nwritten: {report}\n"
    saved = json.loads(report.read_text(encoding="utf-8"))
    assert [len(load["seconds"]) for load in saved["loads"]] == [4, 4]
    assert [row["in_flight"] for row in saved["rows"]] == [1, 3]
    assert saved["facts"]["xclbin"].startswith("virtual_u50.xclbin, uuid ")
    assert len(saved["facts"]["deployment manifest"]) == 64
    result = call("device", "benchmark", "xrt:0", deployment, "--report", tmp_path / "times.csv")
    assert result.exit_code == 2
    assert "--report times.csv ends in '.csv'; times are saved as .json" in result.stderr


def test_large_numbers_are_written_out() -> None:
    assert [_measured(value) for value in (0.123456, 41.0, 9999.4, 21980.7, float("nan"))] == [
        "0.1235",
        "41",
        "9999",
        "21981",
        "nan",
    ]


def test_help_is_not_cut(call: Any) -> None:
    assert "..." not in call("device", "--help").stdout.partition("Commands:")[2]


def test_names_that_are_no_boards(call: Any, virtual: VirtualBoard) -> None:
    result = call("device", "health", "cpu")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: 'cpu' is no board of XRT; expected a name as xrt:0, from `ectoolkit devices`\n",
    )


def test_no_xclbin(call: Any) -> None:
    result = call("device", "banks")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: which banks there are is written in an xclbin: give one with --xclbin FILE\n",
    )


def test_virtual(virtual: VirtualBoard) -> None:
    """A command of its own process sees a board of its own, and its exit status is kept."""
    environment = {**os.environ, "PYTHONPATH": OURS}
    del environment[VARIABLE]
    cli = [sys.executable, "-c", "from ectoolkit.cli.main import app; app()", "device", "virtual"]
    program = [sys.executable, "-c", f"{LIST}; raise SystemExit(7)"]
    done = subprocess.run([*cli, "--", *program], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, FOUND, "")
    with subprocess.Popen(cli, stdout=subprocess.PIPE, text=True, env=environment) as started:
        assert started.stdout is not None
        line = started.stdout.readline()
        name, _, value = line.removeprefix("export ").strip().partition("=")
        assert name == VARIABLE
        other = {**environment, name: value}
        done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, env=other, timeout=60)
        assert done.stdout == FOUND
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
        assert not Path(value).parent.exists()
