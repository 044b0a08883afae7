"""What a device finds when it loads a directory, how many threads it takes, and plugins that fail."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit._optional import require
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices import DeviceInfo, list_devices
from ectoolkit.devices import registry as registry_module
from ectoolkit.devices.interpreter import InterpreterDevice
from ectoolkit.devices.mera import MeraDevice
from ectoolkit.errors import BuildError, DeployFormatError, DeviceError
from ectoolkit.mera.session import Worker
from ectoolkit.testing.networks import example_input, residual_graph

GRAPH = residual_graph()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ect.build(GRAPH, tmp_path_factory.mktemp("built") / "deploy", reference_input=example_input(GRAPH)).path


@pytest.fixture
def deployment(built: Path, tmp_path: Path) -> Deployment:
    return ect.load_deployment(shutil.copytree(built, tmp_path / "deploy"))


@pytest.fixture(params=["cpu", "interpreter"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(name: str, deployment: Deployment) -> str:
    with ect.open_device(name) as device, pytest.raises(DeployFormatError) as caught:
        device.run(deployment)
    return str(caught.value)


# --- directories ---------------------------------------------------------------------------------------------------


def test_a_directory_removed_since_it_was_opened(deployment: Deployment, name: str) -> None:
    shutil.rmtree(deployment.path)
    assert refused(name, deployment) == (
        f"{deployment.path} does not exist; expected a deploy directory made by ectoolkit.build"
    )


def test_a_file_altered_since_it_was_opened(deployment: Deployment, name: str) -> None:
    path = deployment.path / "deploy.params"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert refused(name, deployment).startswith(f"{path} was altered: its sha256 is ")


def test_a_library_altered_after_the_check(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the whole directory and the use of the library, which is what runs."""
    path, other = deployment.path / "deploy.so", b"\0" * (deployment.path / "deploy.so").stat().st_size
    found, expected = hashlib.sha256(other).hexdigest(), deployment.manifest.files["deploy.so"].sha256
    text = f"{path} was altered: its sha256 is {found[:12]}…, expected {expected[:12]}…. Build it again"
    monkeypatch.setattr(Deployment, "require_trust", lambda given, device: path.write_bytes(other))
    assert refused("cpu", deployment) == text
    with pytest.raises(DeployFormatError) as caught:  # nothing is sent there
        MeraDevice("Simulator")._send(cast(Worker, None), deployment)
    assert str(caught.value) == text
    path.unlink()
    with pytest.raises(DeployFormatError) as caught:
        deployment.read_file("deploy.so")
    assert str(caught.value) == f"{path} is missing; the manifest lists {len(other)} bytes. Build it again"


def test_a_directory_built_again_since_it_was_opened(deployment: Deployment, name: str) -> None:
    x = {key: array + np.float32(0.5) for key, array in example_input(GRAPH).items()}
    again = ect.build(GRAPH, deployment.path, reference_input=x)
    assert refused(name, deployment) == (
        f"{deployment.path} changed since it was opened: its manifest is another one than that of the deployment "
        "given. Load it again with ect.load_deployment"
    )
    with ect.open_device(name) as device:
        assert_array_equal(device.run(again).outputs[0], again.references()[0])


def test_what_is_loaded_is_not_checked_again(deployment: Deployment, name: str) -> None:
    arrays = deployment.inputs()
    x = example_input(GRAPH)
    with ect.open_device(name) as device:
        device.load(deployment)
        shutil.rmtree(deployment.path)
        device.load(deployment)
        assert_array_equal(device.run(deployment, x).outputs[0], device.run_arrays(arrays)[0])


@pytest.mark.parametrize("noexec", [False, True])
def test_a_library_that_the_system_refuses(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, noexec: bool
) -> None:
    runtime = require("tvm", feature="This test").runtime
    words = "failed to map segment from shared object"
    told = os.statvfs(tempfile.gettempdir())

    def refuse(path: str) -> Any:
        raise OSError(words)

    version = require("tvm", feature="This test").__version__
    with monkeypatch.context() as patch, ect.open_device("cpu") as device:
        patch.setattr(runtime, "load_module", refuse)
        expected = (
            f"{deployment.path / 'deploy.so'} does not load on the cpu: {words}. Expected a library built for this "
            f"system and this TVM ({version}): build it again on this machine"
        )
        if noexec:
            patch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_flag=told.f_flag | os.ST_NOEXEC))
            expected = (
                f"no library can be loaded from {tempfile.gettempdir()}, where a private copy is made: {words}. Its "
                "file system allows no programs (noexec). Name a folder that does: TMPDIR=FOLDER"
            )
        with pytest.raises(DeviceError) as caught:
            device.load(deployment)
        assert str(caught.value) == expected
        patch.undo()
        assert_array_equal(device.run(deployment).outputs[0], deployment.references()[0])


# --- threads -------------------------------------------------------------------------------------------------------


def test_threads_may_run_on_any_cpu(deployment: Deployment) -> None:
    before = os.sched_getaffinity(0)
    number = require("tvm", feature="This test").get_global_func("runtime.NumThreads")
    found: list[tuple[int, int, set[int]]] = []
    workers: set[frozenset[int]] = set()

    def work() -> None:  # in a thread of its own, which has a pool of its own
        old = set(os.listdir("/proc/self/task")) - {str(threading.get_native_id())}
        for threads in (1, len(before), 1):
            with ect.open_device("cpu", threads=threads) as device:
                device.run(deployment)
            found.append((threads, number(), os.sched_getaffinity(0)))
        new = set(os.listdir("/proc/self/task")) - old
        workers.update(frozenset(os.sched_getaffinity(int(task))) for task in new)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(threads, threads, before) for threads in (1, len(before), 1)]
    assert workers == {frozenset(before)}
    assert os.sched_getaffinity(0) == before


# --- plugins -------------------------------------------------------------------------------------------------------


class RaisingDevice(InterpreterDevice):
    name = "raising"

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        raise ZeroDivisionError("no driver")


class OddDevice(InterpreterDevice):
    name = "odd"

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        return "a board"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (RaisingDevice, "does not tell what it is: ZeroDivisionError('no driver')"),
        (OddDevice, "tells 'a board' of itself, expected a list of at least one DeviceInfo"),
    ],
)
def test_a_plugin_that_does_not_tell_what_it_is(
    kind: type[InterpreterDevice], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("board", "their.package:Board", registry_module.GROUP)
    good = EntryPoint("interpreter", "ectoolkit.devices.interpreter:InterpreterDevice", registry_module.GROUP)
    load = EntryPoint.load
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [point, good])
    monkeypatch.setattr(EntryPoint, "load", lambda self: kind if self.name == "board" else load(self))
    board, interpreter = list_devices()
    assert board == DeviceInfo("board", "broken plugin", False, f"device board (their.package:Board) {words}")
    assert interpreter.available


# --- linking -------------------------------------------------------------------------------------------------------


def build_fails(folder: Path) -> str:
    with pytest.raises(BuildError) as caught:
        ect.build(GRAPH, folder / "deploy", reference_input=example_input(GRAPH))
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CXX", "CC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build_fails(tmp_path) == (
        "linking deploy.so failed: there is neither a compiler in PATH nor one named by CXX or CC. A C++ compiler is "
        "needed: on Debian and Ubuntu, apt install g++"
    )


def test_a_compiler_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    text = build_fails(tmp_path)
    assert text.startswith("linking deploy.so failed: ")
    assert "no-such-compiler" in text
    assert text.endswith(". A C++ compiler is needed: on Debian and Ubuntu, apt install g++")


def test_any_failure_of_tvm_is_a_failed_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Executable:
        @property
        def mod(self) -> None:
            raise TypeError("sequence item 0: expected str instance, NoneType found")

    monkeypatch.setattr("ectoolkit.builders.cpu.builder.compile_module", lambda imported: Executable())
    assert "sequence item 0: expected str instance, NoneType found. A C++ compiler" in build_fails(tmp_path)
