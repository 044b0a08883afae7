"""A device of a third party's package, installed as a user would install it: listed, run, and broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ectoolkit
from ectoolkit.cli.main import app
from ectoolkit.devices import DeviceInfo, list_devices, open_device
from ectoolkit.errors import DeviceNotFoundError, PluginError
from ectoolkit.testing.conformance import Built

WHAT = "the interpreter, seen in a mirror"
CRACKED = (
    'device cracked (ectoolkit_mirror.cracked:CrackedDevice) does not load: ModuleNotFoundError("No module named '
    "'glass_that_nobody_has'\")"
)


def test_listed(plugin: Path) -> None:
    found = {info.name: info for info in list_devices()}
    assert found["mirror:left"] == DeviceInfo("mirror:left", WHAT, True)
    assert found["mirror:right"] == DeviceInfo("mirror:right", WHAT, False, "it hangs the wrong way round")
    assert found["cracked"] == DeviceInfo("cracked", "broken plugin", False, CRACKED)
    assert {"cpu", "interpreter"} <= set(found)


def test_a_broken_one_is_refused_with_its_reason(plugin: Path) -> None:
    with pytest.raises(PluginError) as caught:
        open_device("cracked")
    assert str(caught.value) == CRACKED
    with pytest.raises(DeviceNotFoundError, match=r"there are cpu, cracked, interpreter, .*mirror.* mean 'mirror'\?"):
        open_device("mirrour:left")


def test_run_on_the_command_line(plugin: Path, residual: Built) -> None:
    ran = CliRunner().invoke(app, ["run", str(residual.deployment.path), "--device", "mirror:left", "--runs", "2"])
    assert ran.exit_code == 0, ran.stderr
    assert {"device: mirror:left", "max abs diff: 0", "correct ratio: 1"} <= set(ran.stdout.splitlines())
    failed = CliRunner().invoke(app, ["run", str(residual.deployment.path), "--device", "cracked"])
    assert (failed.exit_code, failed.stderr) == (2, f"error: {CRACKED}\n")


def test_listed_on_the_command_line(plugin_site: Path) -> None:
    """In a process that knows nothing of this one."""
    ours = str(Path(ectoolkit.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin_site), ours])}
    command = [sys.executable, "-c", "from ectoolkit.cli.main import app; app()", "devices"]
    listed = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert listed.returncode == 0, listed.stderr
    table, _, reasons = listed.stdout.partition("\n\n")
    state = dict(line.split(maxsplit=1) for line in table.splitlines())
    assert {name: " ".join(state[name].split()) for name in ("cracked", "mirror:left", "mirror:right")} == {
        "cracked": "not ready broken plugin",
        "mirror:left": f"ready {WHAT}",
        "mirror:right": f"not ready {WHAT}",
    }
    told = [" ".join(reason.split()) for reason in reasons.split("\n\n")]
    assert f"cracked: {CRACKED}" in told
    assert "mirror:right: it hangs the wrong way round" in told


def test_a_package_that_comes_and_goes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is kept only as long as no folder of packages changes."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = [info.name for info in list_devices()]
    assert "late" not in before
    package = tmp_path / "late-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n", encoding="utf-8")
    (package / "entry_points.txt").write_text("[ectoolkit.devices]\nlate = late:Device\n", encoding="utf-8")
    assert [info.name for info in list_devices()] == sorted([*before, "late"])
    shutil.rmtree(package)
    assert [info.name for info in list_devices()] == before
