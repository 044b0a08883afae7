"""The installation: one command, interrupted once, and what it says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ectoolkit.mera.place import launcher

pytestmark = [pytest.mark.mera, pytest.mark.slow, pytest.mark.timeout(900)]


def test_installed_although_interrupted(environment: Any) -> None:
    if environment.killed_after is None:
        pytest.skip("the environment was there already (MERA_DIR)")
    assert environment.output.endswith("and its self-test went well\n")
    state = json.loads((environment.folder / "state.json").read_text())
    assert state["done"] == ["python", "torch", "packages", "libraries", "launcher", "check"]
    assert not (environment.folder / "tmp").exists()
    assert not (environment.folder / "debs").exists()
    again = environment.command("mera", "install")
    assert again.stdout == f"MERA is installed in {environment.folder}; see `ectoolkit mera status`\n"


def test_status(environment: Any) -> None:
    done = environment.command("mera", "status", str(launcher(environment.folder)))
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert lines["mera"] == "1.6.0.post1"
    assert lines["mera-tvm-full"] == "1.6.0"
    assert lines["torch"] == "1.12.1"
    assert lines["python"].startswith("3.10.")
    assert lines["self-test"].endswith("its 1568 results are right")


def test_doctor_and_devices_know_it(environment: Any) -> None:
    if environment.killed_after is None:
        pytest.skip("the environment was there already (MERA_DIR)")
    assert "mera:InterpreterHw" in environment.command("devices").stdout
    doctor = environment.command("doctor").stdout
    line = next(line for line in doctor.splitlines() if "EdgeCortix MERA" in line)
    assert line.split()[0] == "ok"
    assert "1.6.0.post1" in line
