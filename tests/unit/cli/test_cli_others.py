"""``devices``, ``lab``, ``runner build``, the printing, and the demo itself."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import ectoolkit
from ectoolkit.cli import console
from ectoolkit.devices import DeviceInfo


def test_devices(call: Any) -> None:
    result = call("devices")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["device", "state", "what", "it", "is"]
    assert [row.split()[:2] for row in rows][:2] == [["cpu", "ready"], ["interpreter", "ready"]]
    assert all(len(row) <= console.WIDTH for row in rows[rows.index("") :])


def test_device_that_is_not_ready(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reason for several is said once, in lines that fit a terminal."""
    reason = "MERA is not installed. Install it with `ectoolkit mera install`"
    infos = [
        DeviceInfo("cpu", "this CPU", True),
        DeviceInfo("mera:IP", "their accelerator", False, reason),
        DeviceInfo("mera:Simulator", "their simulator", False, reason),
        DeviceInfo("xrt:0", "an Alveo U50", False, "no card on PCIe"),
    ]
    monkeypatch.setattr(ectoolkit, "list_devices", lambda: infos, raising=False)
    assert call("devices").stdout == (
        "device          state      what it is\n"
        "cpu             ready      this CPU\n"
        "mera:IP         not ready  their accelerator\n"
        "mera:Simulator  not ready  their simulator\n"
        "xrt:0           not ready  an Alveo U50\n"
        "\n"
        "mera:IP, mera:Simulator: MERA is not installed. Install it with `ectoolkit mera install`\n"
        "\n"
        "xrt:0: no card on PCIe\n"
    )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `lab` would have started: the folder and the command."""
    seen: list[Any] = []
    monkeypatch.setattr(os, "chdir", lambda folder: seen.append(folder))
    monkeypatch.setattr(os, "execv", lambda program, command: seen.append(command))
    return seen


def test_lab(call: Any, started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    checkout = Path(ectoolkit.__file__).parents[1] / "notebooks"
    assert call("lab").exit_code == 0
    assert started == [checkout if checkout.is_dir() else Path.cwd(), [sys.executable, "-m", "jupyterlab"]]
    notebook = tmp_path / "mine.ipynb"
    notebook.touch()
    started.clear()
    result = call("lab", notebook, "--", "--no-browser", "--port", "9999")
    assert result.exit_code == 0
    assert result.stderr == f"JupyterLab on {notebook}; end it with Ctrl-C\n"
    more = ["--no-browser", "--port", "9999"]
    assert started == [tmp_path, [sys.executable, "-m", "jupyterlab", "mine.ipynb", *more]]
    started.clear()
    assert call("lab", "--", *more).exit_code == 0
    assert started[1] == [sys.executable, "-m", "jupyterlab", *more]
    for given in ((*more, notebook), (notebook, *more), more):  # without the two dashes too, in any order
        started.clear()
        assert call("lab", *given).exit_code == 0
        assert started[1] == [sys.executable, "-m", "jupyterlab", *(["mine.ipynb"] if notebook in given else []), *more]


def test_lab_where_no_browser_can_open(call: Any, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    place, said = call("lab").stderr.splitlines()
    assert place.endswith("; end it with Ctrl-C")
    assert said == (
        "There is no screen here that a browser could open on: add --no-browser; on the machine that has one, "
        "`ssh -N -L 8888:localhost:8888 THIS_MACHINE`, then open the address that JupyterLab prints."
    )
    assert call("lab", "--no-browser").stderr == f"{place}\n"


def test_lab_without_jupyterlab(call: Any, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "jupyterlab" else real(name, *a))
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    result = call("lab")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: The notebook needs jupyterlab, which is not installed. "
        "Install it with: pip install 'ectoolkit[notebook]'\n"
    )
    assert started == []


def test_runner_build(call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # tests/unit/runner compile it; here only what the command makes of it
    asked = []

    def build_runner(destination: Path | None, *, progress: Any) -> Path:
        asked.append(destination)
        progress(1, 2, "configured")
        return tmp_path / "inference"

    monkeypatch.setattr("ectoolkit.runner.build_runner", build_runner)
    result = call("runner", "build", tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'inference'}\n")
    assert call("runner", "build").exit_code == 0
    assert asked == [tmp_path, None]


def test_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    console.print_table(["name", "size"], [["[bold]a", "1 kB"]], right=["size"])
    assert "[bold]a" in capsys.readouterr().out  # a cell is text, not markup


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with console.progress_bar("working") as progress:
        progress(0, 0, "starting")
        progress(1, 2, "[layer]")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (6_700_000, "6.7 MB"), (2e9, "2.0 GB")]
)
def test_sizes(size: int, text: str) -> None:
    assert console.size_text(size) == text


@pytest.mark.slow
def test_demo(call: Any, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = call("demo", "--images", 2, "--out", out)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for stage in ("1 Model", "2 Quantize", "3 Reference", "4 Import into TVM", "5 Build", "6 Device"):
        assert sum(line.startswith(stage) for line in lines) == 1
    end = lines.index("max abs diff: 0")
    assert lines[end : end + 3] == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
    assert any(line.split()[:1] == ["image"] and line.endswith("agree") for line in lines)
    assert "cpu and int8 name the same class for 2 of 2 photos, as they must" in lines
    for name in ("deploy.so", "deploy.json", "deploy.params", "input0.bin", "ref_result_0.bin", "manifest.json"):
        assert any(line.startswith(name) for line in lines)
    assert any(line.startswith("cpu: latency over 100 runs: mean ") for line in lines)
    assert call("verify", out).exit_code == 0
