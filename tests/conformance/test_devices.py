"""The registry of devices, and what the cpu device has of its own."""

from __future__ import annotations

import os
import platform
from importlib.metadata import EntryPoint
from typing import Any

import msgspec
import numpy as np
import pytest

from ectoolkit.core.compare import compare
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.interpreter import interpret
from ectoolkit.devices import DeviceInfo, Latency, RunResult, list_devices, open_device, option_names
from ectoolkit.devices import base as base_module
from ectoolkit.devices import registry as registry_module
from ectoolkit.devices.cpu import CpuDevice
from ectoolkit.devices.interpreter import InterpreterDevice
from ectoolkit.errors import (
    DeviceError,
    DeviceNotFoundError,
    DeviceStateError,
    InputError,
    MissingDependencyError,
    PluginError,
)


def plugins(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = [EntryPoint(name, value, registry_module.GROUP) for name, value in values.items()]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: points)


def test_list() -> None:
    found = {info.name: info for info in list_devices()}
    assert list(found) == sorted(found)
    assert found["interpreter"] == DeviceInfo("interpreter", "the exact integer interpreter", True)
    cores = len(os.sched_getaffinity(0))
    assert found["cpu"] == DeviceInfo("cpu", f"compiled library on this CPU, {cores} cores", True)


def test_open() -> None:
    assert type(open_device("cpu")) is CpuDevice
    assert type(open_device("interpreter")) is InterpreterDevice


def test_engines_of_the_interpreter(residual: Any) -> None:
    expected = interpret(residual.graph, residual.x)
    for engine in ("auto", "fast", "definition"):
        with open_device("interpreter", engine=engine) as device:
            assert compare(device.run(residual.deployment).outputs, expected)
    with pytest.raises(InputError) as caught, open_device("interpreter", engine="quick") as device:
        device.run(residual.deployment)
    assert str(caught.value) == "engine is 'quick', expected 'auto', 'fast' or 'definition'"


class HalfDevice(InterpreterDevice):
    """Drops what is loaded before it fails to load something else."""

    broken = False

    def _load(self, deployment: Deployment) -> Any:
        if self.broken:
            raise DeviceError("no room")
        return super()._load(deployment)


def test_what_was_loaded_before_a_failure_is_loaded_again(residual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Deployment(residual.deployment.path, msgspec.structs.replace(residual.deployment.manifest, name="other"))
    with HalfDevice() as device:
        device.load(residual.deployment)
        device.broken = True
        with monkeypatch.context() as patch:
            patch.setattr(base_module, "load_deployment", lambda path: other)
            with pytest.raises(DeviceError, match="no room"):
                device.load(other)
        with pytest.raises(DeviceStateError, match="nothing is loaded on interpreter"):
            device.run_arrays(residual.deployment.inputs())
        device.broken = False
        assert compare(device.run(residual.deployment).outputs, residual.deployment.references())


class PortDevice(InterpreterDevice):
    """A device with addresses."""

    takes_address = True
    name = "port"

    def __init__(self, address: str) -> None:
        super().__init__()
        self.name = f"port:{address}"

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        return [DeviceInfo("port:1", "first", True), DeviceInfo("port:b:2", "second", False, "unplugged")]


def test_addresses(monkeypatch: pytest.MonkeyPatch, residual: Any) -> None:
    plugins(monkeypatch, port="theirs:Port", interpreter="ectoolkit.devices.interpreter:InterpreterDevice")
    load = EntryPoint.load
    monkeypatch.setattr(EntryPoint, "load", lambda self: PortDevice if self.name == "port" else load(self))
    assert [info.name for info in list_devices()] == ["interpreter", "port:1", "port:b:2"]
    with open_device("port:b:2") as device:
        assert device.run(residual.deployment).device == device.name == "port:b:2"
        assert device.info() == DeviceInfo("port:b:2", "second", False, "unplugged")
    assert open_device("port:3").info() == DeviceInfo(
        "port:3", "first", False, "there is none of this name; there is port:1, port:b:2"
    )
    assert option_names("interpreter") == ("engine",)
    assert option_names("port:3") == ()
    with pytest.raises(DeviceNotFoundError, match="there is no device 'prt'"):
        option_names("prt")
    with pytest.raises(DeviceNotFoundError) as caught:
        open_device("interpreter:0")
    assert str(caught.value) == ("device interpreter takes no address, got 'interpreter:0'. Open it as 'interpreter'")


def test_broken_plugins_are_listed_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins(
        monkeypatch,
        board="no_such_package:Board",
        other="collections:OrderedDict",
        cpu="ectoolkit.devices.cpu:CpuDevice",
    )
    listed = {info.name: info for info in list_devices()}
    assert list(listed) == ["board", "cpu", "other"]
    assert listed["cpu"].available
    board = (
        "device board (no_such_package:Board) does not load: ModuleNotFoundError(\"No module named 'no_such_package'\")"
    )
    other = "device other (collections:OrderedDict) is <class 'collections.OrderedDict'>, expected a subclass of Device"
    assert listed["board"] == DeviceInfo("board", "broken plugin", False, board)
    assert listed["other"] == DeviceInfo("other", "broken plugin", False, other)
    for name, text in (("board", board), ("other", other)):
        with pytest.raises(PluginError) as caught:
            open_device(name)
        assert str(caught.value) == text


def test_cpu_without_tvm(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The cpu device needs tvm, which is not installed. Install it with: pip install 'ectoolkit[tvm]'"

    def refusing(name: str, *, feature: str) -> Any:
        raise MissingDependencyError(text)

    for name in ("require", "require_installed"):
        monkeypatch.setattr(f"ectoolkit.devices.cpu.{name}", refusing)
    [info] = CpuDevice.discover()
    assert (info.available, info.reason) == (False, text)
    with pytest.raises(MissingDependencyError, match="The cpu device needs tvm"):
        open_device("cpu").__enter__()


@pytest.mark.parametrize("threads", range(1, len(os.sched_getaffinity(0)) + 1))
def test_threads(residual: Any, threads: int) -> None:
    with open_device("cpu", threads=threads) as device:
        assert compare(device.run(residual.deployment).outputs, interpret(residual.graph, residual.x))


def changed(deployment: Deployment, **changes: Any) -> Deployment:
    return Deployment(deployment.path, msgspec.structs.replace(deployment.manifest, **changes))


def test_a_library_for_another_target(residual: Any) -> None:
    with open_device("cpu") as device, pytest.raises(DeviceError) as caught:
        device.run(changed(residual.deployment, target="mera"))
    path = residual.deployment.path
    assert str(caught.value) == f"{path} was built for mera; the cpu device runs target 'cpu'"


def test_a_library_for_a_better_cpu(residual: Any) -> None:
    better = changed(residual.deployment, isa="avx1024", cpu_features=("avx1024", "sse2", "amx_fp4"))
    with open_device("cpu") as device, pytest.raises(DeviceError) as caught:
        device.run(better)
    assert str(caught.value) == (
        f"{residual.deployment.path} was built for avx1024, and this CPU lacks avx1024, amx_fp4. Build it again on "
        "this machine, with isa='host'"
    )


def test_a_library_for_another_machine(residual: Any) -> None:
    with open_device("cpu") as device, pytest.raises(DeviceError) as caught:
        device.run(changed(residual.deployment, host_arch="riscv64"))
    assert str(caught.value) == (
        f"{residual.deployment.path} was built for riscv64, and this machine is {platform.machine()}. Run it on such a "
        "machine, or build it for this one"
    )


def test_texts() -> None:
    result = RunResult([np.zeros((1, 3, 4, 5), np.float32), np.zeros((1, 10), np.float32)], 0.00125, "cpu")
    assert repr(result) == "RunResult(cpu, 1×3×4×5, 1×10, 1.25 ms)"
    assert str(Latency(100, 0.0015, 0.00125, 0.003)) == (
        "latency over 100 runs: mean 1.500 ms, p50 1.250 ms, p99 3.000 ms"
    )
