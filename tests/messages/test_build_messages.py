"""The full text of every error of the cpu builder, of opening devices, and of libraries that are missing."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from messages import message_of

from ectoolkit._optional import require
from ectoolkit.builders import build
from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.builders.cpu.isa import choose_isa
from ectoolkit.devices import open_device
from ectoolkit.errors import (
    BuildError,
    DeviceError,
    DeviceNotFoundError,
    DeviceStateError,
    InputError,
    MissingDependencyError,
    PluginError,
)
from ectoolkit.testing.networks import example_input, residual_graph

GRAPH = residual_graph()
X = example_input(GRAPH)["input0"]


# --- builders --------------------------------------------------------------------------------------------------------


def test_unknown_target(tmp_path: Path) -> None:
    assert message_of(lambda: build(GRAPH, tmp_path / "d", "fpga"), BuildError) == (
        "there is no target 'fpga'; known: 'cpu', 'mera:IP', 'mera:InterpreterHw', 'mera:Simulator', "
        "'mera:VerilatorSimulator'"
    )


def test_unknown_isa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = "'avx512vnni', 'avxvnni', 'avx2', 'generic', 'neoni8mm', 'neondot', 'neon'"
    expected = f"there is no instruction set 'avx1024'; known: 'host', {known}"
    assert message_of(lambda: choose_isa("avx1024"), BuildError) == expected
    given = {"reference_input": X, "isa": "avx1024"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == expected
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert message_of(choose_isa, BuildError) == (
        "the cpu target makes x86-64 and aarch64 code and this is riscv64; name the instruction set of the machine it "
        f"is for: isa={known.replace(', ', ' or ')}"
    )


def test_unknown_layout(tmp_path: Path) -> None:
    expected = "layout is 'NCWH', expected 'NHWC' or 'NCHW'"
    assert message_of(lambda: import_graph(GRAPH, layout="NCWH"), InputError) == expected
    given = {"reference_input": X, "layout": "NCWH"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), InputError) == expected
    assert list(tmp_path.iterdir()) == []


def test_unknown_host(tmp_path: Path) -> None:
    given = {"reference_input": X, "host_arch": "riscv"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "host_arch is 'riscv'; the cpu target builds for 'x86' or 'x86_64' or 'arm' or 'aarch64'"
    )


def test_instruction_set_of_another_host(tmp_path: Path) -> None:
    given = {"reference_input": X, "host_arch": "arm", "isa": "avx2"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "instruction set 'avx2' is of x86_64 and host_arch is 'arm', which has 'neoni8mm' or 'neondot' or 'neon'"
    )


def test_no_cross_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path))
    given = {"reference_input": X, "host_arch": "arm"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "Linking deploy.so for aarch64 needs aarch64-linux-gnu-g++, which is not in PATH. "
        "On Debian and Ubuntu: apt install g++-aarch64-linux-gnu"
    )
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    given = {"reference_input": X, "isa": "avx2"}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), BuildError) == (
        "Linking deploy.so for x86_64 needs x86_64-linux-gnu-g++, which is not in PATH. "
        "On Debian and Ubuntu: apt install g++-x86-64-linux-gnu"
    )


def test_reference_input_of_several_runs(tmp_path: Path) -> None:
    given = {"reference_input": np.concatenate([X, X])}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), InputError) == (
        "reference_input input0 has shape (2, 3, 6, 5), expected one run: (1, 3, 6, 5)"
    )


# --- devices ---------------------------------------------------------------------------------------------------------


def test_unknown_device() -> None:
    names = ", ".join(sorted(point.name for point in entry_points(group="ectoolkit.devices")))
    expected = f"there is no device 'fpga0'; there are {names}."
    assert message_of(lambda: open_device("fpga0"), DeviceNotFoundError) == expected
    expected = f"there is no device 'interpeter'; there are {names}. Did you mean 'interpreter'?"
    assert message_of(lambda: open_device("interpeter"), DeviceNotFoundError) == expected


def test_device_options() -> None:
    assert message_of(lambda: open_device("interpreter", threads=2), PluginError) == (
        "device interpreter does not take these options: InterpreterDevice.__init__() got an unexpected keyword "
        "argument 'threads'"
    )


def test_device_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    for threads in (0, 3):
        assert message_of(lambda threads=threads: open_device("cpu", threads=threads), DeviceError) == (
            f"threads is {threads}, expected 1 to 2, the CPUs this process may use"
        )


@pytest.mark.parametrize("name", ["cpu", "interpreter"])
def test_closed_device(name: str) -> None:
    expected = f"{name} is not open; use it as `with open_device('{name}') as device:`"
    device = open_device(name)
    nothing: Any = None
    assert message_of(lambda: device.run(nothing), DeviceStateError) == expected
    with device:
        pass
    assert message_of(lambda: device.load(nothing), DeviceStateError) == expected


# --- missing libraries -----------------------------------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    def refusing(name: str, package: str | None = None) -> ModuleType:
        raise error

    monkeypatch.setattr(importlib, "import_module", refusing)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("torch", "pip install 'ectoolkit[torch]'"),
        ("tvm.relax", "pip install 'ectoolkit[tvm]'"),
        ("pandas", "pip install 'ectoolkit[analysis]'"),
        ("anywidget", "pip install 'ectoolkit[notebook]'"),
        ("skimage.data", "pip install 'ectoolkit[samples]'"),
        ("onnx", "pip install onnx"),
    ],
)
def test_missing_library(monkeypatch: pytest.MonkeyPatch, name: str, cure: str) -> None:
    root = name.partition(".")[0]
    refuse(monkeypatch, ModuleNotFoundError(f"No module named {root!r}", name=root))
    assert message_of(lambda: require(name, feature="Reading a model"), MissingDependencyError) == (
        f"Reading a model needs {root}, which is not installed. Install it with: {cure}"
    )


def test_broken_library(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, ImportError("libcudart.so.13: cannot open shared object file"))
    assert message_of(lambda: require("torch", feature="Reading a model"), MissingDependencyError) == (
        "Reading a model needs torch, which is installed but does not import (libcudart.so.13: cannot open shared "
        "object file). Install it with: pip install 'ectoolkit[torch]'"
    )


def test_library_that_misses_another(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, ModuleNotFoundError("No module named 'sympy'", name="sympy"))
    assert message_of(lambda: require("torch", feature="Reading a model"), MissingDependencyError) == (
        "Reading a model needs torch, which is installed but does not import (No module named 'sympy'). "
        "Install it with: pip install 'ectoolkit[torch]'"
    )


def test_build_without_tvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, ModuleNotFoundError("No module named 'tvm'", name="tvm"))
    given = {"reference_input": X}
    assert message_of(lambda: build(GRAPH, tmp_path / "d", **given), MissingDependencyError) == (
        "Building for the cpu needs tvm, which is not installed. Install it with: pip install 'ectoolkit[tvm]'"
    )
    assert list(tmp_path.iterdir()) == []
