"""A deploy directory of unknown origin: what is said before its native code would run, and what is remembered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ectoolkit as ect
from ectoolkit.cli.main import app
from ectoolkit.core import trust as trust_module
from ectoolkit.errors import EctoolkitWarning, UntrustedError
from ectoolkit.interpreters import trace
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.workflow.verdicts import layer_of


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = residual_graph()
    out = tmp_path_factory.mktemp("trust") / "deploy"
    ect.build(graph, out, reference_input=example_input(graph))
    return out


@pytest.fixture
def stranger(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory as it is on a machine that did not build it: another ledger, a process that knows nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trust_module, "_known", set())
    return Path(shutil.copytree(built, tmp_path / "copied"))


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process of the same user."""
    monkeypatch.setattr(trust_module, "_known", set())


def refusal(path: Path, device: str = "cpu") -> str:
    digest = ect.load_deployment(path).manifest.manifest_sha256
    return (
        f"{path} was not built here by this user (manifest {digest[:12]}…), and {device} would run the native code in "
        "it, which may do whatever you may. If you trust where it comes from, say so once: "
        f"ect.load_deployment({str(path)!r}, trust=True), or --trust on the command line; this is remembered for "
        "exactly these files. The device 'interpreter' runs it without its native code"
    )


def run(path: Path) -> ect.Deployment:
    deployment = ect.load_deployment(path)
    with ect.open_device("cpu", threads=1) as device:
        device.run(deployment)
    return deployment


def test_asked_once_then_remembered_for_these_files(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UntrustedError) as caught:
        run(stranger)
    assert str(caught.value) == refusal(stranger)
    ect.load_deployment(stranger, trust=True)
    run(stranger)
    forget(monkeypatch)
    moved = Path(shutil.move(stranger, stranger.with_name("moved")))
    run(moved)  # remembered by what it holds, not by where it is
    assert trust_module.ledger().stat().st_mode & 0o777 == 0o600


def test_nothing_native_is_loaded_before_it_is_trusted(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr("ectoolkit.devices.cpu.CpuDevice._load", lambda self, deployment: loaded.append(deployment))
    with pytest.raises(UntrustedError):
        run(stranger)
    assert loaded == []


def test_the_interpreter_does_not_ask(stranger: Path) -> None:
    with ect.open_device("interpreter") as device:
        device.run(ect.load_deployment(stranger))


def test_what_is_built_runs_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    graph = residual_graph()
    ect.build(graph, tmp_path / "deploy", reference_input=example_input(graph))
    forget(monkeypatch)
    run(tmp_path / "deploy")


def test_graphs_that_a_search_builds_are_not_remembered(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run, and are thrown away: the ledger is for what stays."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    deployment = ect.load_deployment(built, trust=True)
    graph, x = residual_graph(), example_input(residual_graph())
    before = trust_module.ledger().read_text(encoding="ascii")
    with ect.open_device("cpu", threads=1) as device:
        found = layer_of(trace(graph, x), x, device, deployment, "stem")
        np.testing.assert_array_equal(found, trace(graph, x)["stem"])
    assert trust_module.ledger().read_text(encoding="ascii") == before == f"{deployment.manifest.manifest_sha256}\n"


def test_on_the_command_line(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["run", str(stranger), "--runs", "1", "--threads", "1"]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, refused.stdout.splitlines()[1:]) == (2, [])
    assert refused.stderr == f"error: {refusal(stranger)}\n"
    assert CliRunner().invoke(app, [*command, "--trust"]).exit_code == 0
    forget(monkeypatch)
    assert CliRunner().invoke(app, command).exit_code == 0


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs a file that is no folder")
def test_a_ledger_that_cannot_be_written(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    with pytest.warns(EctoolkitWarning) as caught:
        ect.load_deployment(stranger, trust=True)
    assert str(caught[0].message) == (
        "/dev/null/ectoolkit/trusted_deployments cannot be written (Not a directory), so other processes will ask "
        f"again whether {stranger} may run. Make the folder writable, or set XDG_STATE_HOME to one that is"
    )
    run(stranger)


def test_the_ledger_stays_short(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trust_module.ledger()
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{number:064x}\n" for number in range(5000)))
    deployment = ect.load_deployment(stranger, trust=True)
    lines = path.read_text().split()
    assert lines == [*(f"{number:064x}" for number in range(5000 - 2048, 5000)), deployment.manifest.manifest_sha256]
    assert os.listdir(path.parent) == [path.name]
