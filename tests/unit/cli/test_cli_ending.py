"""How the command line starts and ends: help, version, exit status, tracebacks, warnings."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import ectoolkit
from ectoolkit.errors import Cancelled, DeviceError, PrecisionWarning

COMMANDS = ["demo", "deploy", "run", "verify", "verdict", "devices", "doctor", "lab", "device", "mera", "runner"]
GROUPED = ["runner build", "device health", "device virtual", "mera install", "mera status"]


def test_help_names_every_command(call: Any) -> None:
    result = call("--help")
    assert result.exit_code == 0
    listed = result.stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line.strip()] == COMMANDS
    assert "..." not in result.stdout.partition("Commands:")[2]  # no description cut short


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPED])
def test_help_of_each_command(call: Any, command: str) -> None:
    result = call(*command.split(), "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert call(*command.split(), "-h").stdout == result.stdout


def test_no_command_shows_the_help(call: Any) -> None:
    assert "First steps:" in call().output


def test_version(call: Any) -> None:
    assert call("--version").stdout == f"ectoolkit {ectoolkit.__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from ectoolkit.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'tvm', 'pandas', 'ipywidgets', 'msgspec'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_debug_shows_the_traceback(call: Any, tmp_path: Path) -> None:
    plain = call("verify", tmp_path)
    result = call("--debug", "verify", tmp_path)
    assert plain.exit_code == result.exit_code == 2
    assert "Traceback" not in plain.stderr
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.endswith(plain.stderr)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(ectoolkit, "list_devices", fail, raising=False)


def test_error(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, DeviceError("it is gone"))
    result = call("devices")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "error: it is gone\n")


def test_system_error(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, OSError(28, "No space left on device", "out"))
    result = call("devices")
    assert (result.exit_code, result.stderr) == (2, "error: [Errno 28] No space left on device: 'out'\n")


def test_bug(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ZeroDivisionError("by zero"))
    result = call("devices")
    assert result.exit_code == 2  # 1 would say that results differ
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith(
        "error: ZeroDivisionError: by zero\n"
        "This is a bug in ectoolkit; please report it with the lines above and the output of `ectoolkit doctor`.\n"
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled("as asked")])
def test_interrupted(call: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    raising(monkeypatch, error)
    result = call("devices")
    assert result.exit_code == 130
    assert result.stderr == "\ninterrupted: the last good state is kept, nothing is half written\n"


def test_warning_is_one_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> list[Any]:
        warnings.warn("the ReLU is dropped", PrecisionWarning, stacklevel=2)
        return []

    monkeypatch.setattr(ectoolkit, "list_devices", warn, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = call("devices")
    assert (result.exit_code, result.stderr) == (0, "warning: the ReLU is dropped\n")


def test_usage_error(call: Any) -> None:
    result = call("run")
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "DIR" in result.stderr


def test_a_real_process_has_the_exit_status(built: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from ectoolkit.cli.main import app; app()"]
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [*program, "verify", str(tmp_path / "none")], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    done = subprocess.run([*program, "verify", str(built)], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
