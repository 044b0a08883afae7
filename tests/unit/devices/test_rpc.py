"""The rpc device on a real server: results, times, verdicts, what is left after a hundred cycles; a tracker."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rpc_server import RpcServer, rpc_server

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment, from_layout
from ectoolkit.devices import DeviceInfo
from ectoolkit.devices.parameters import graph_of
from ectoolkit.devices.rpc.device import OWN_TIME, RpcDevice
from ectoolkit.errors import DeployFormatError
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.workflow.verdicts import judge_devices

GRAPH = residual_graph()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return ect.build(GRAPH, tmp_path_factory.mktemp("rpc") / "deploy", reference_input=example_input(GRAPH))


def test_facts_come_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **options: Any) -> Any:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "create_connection", refuse)
    device = ect.open_device("rpc://board.example:9190", key="not a short one")
    what = "compiled library on another machine's CPU"
    assert device.info() == DeviceInfo("rpc://board.example:9190", what, True)
    listed = {info.name: info for info in ect.list_devices()}
    assert listed["rpc://HOST:PORT"] == DeviceInfo(
        "rpc://HOST:PORT",
        what,
        False,
        "servers are not looked for: name one as rpc://HOST:PORT. Start it on the other machine with `ectoolkit device "
        "serve`, and give its key in ECTOOLKIT_RPC_KEY or with open_device(..., key=...)",
    )


def test_what_the_server_tells_and_measures(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name, threads=1) as device:
        result = device.run(deployment)
        found = device.benchmark(deployment, runs=5, warmup=1)
        profile = device.profile(deployment, runs=3)
        facts = device.identity()
    # its own time lies within the host's, which holds the way too
    assert 0 < result.metrics[OWN_TIME] < result.latency_s * 1e3
    own = np.asarray(found.loads[0].own[OWN_TIME])
    assert (own < 1e3 * np.asarray(found.latency.seconds)).all()
    assert (profile.device, profile.threads, profile.runs) == (rpc.name, 1, 3)
    assert [name for layer in profile.layers for name in layer.layers] == [node.name for node in GRAPH.nodes]
    cpus = len(os.sched_getaffinity(0))
    assert facts["device"].startswith(f"compiled library on {os.uname().nodename}, {os.uname().machine}, {cpus} CPUs, ")
    assert facts["ectoolkit there"] == ect.__version__


def test_two_devices_opened_at_once(rpc: RpcServer, deployment: Deployment) -> None:
    """Each has a session of its own."""
    devices = [ect.open_device(rpc.name), ect.open_device(rpc.name)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda device: device.__enter__(), devices))
    assert len(rpc.sessions()) == 2
    for device in devices:
        assert device.run(deployment).outputs
        device.close()


def test_cancel_between_runs(rpc: RpcServer, deployment: Deployment) -> None:
    """What was not running is not harmed; there, a new session is opened."""
    with ect.open_device(rpc.name) as device:
        assert isinstance(device, RpcDevice)
        device.run(deployment)
        before = device._link
        device.cancel()
        assert device.run(deployment).outputs
        assert device._link is not before


def test_another_session_gets_what_was_opened(rpc: RpcServer, deployment: Deployment, tmp_path: Path) -> None:
    """After a session was lost the directory is sent again, which may be another one by then: it is not run unseen."""
    folder = tmp_path / "deploy"
    shutil.copytree(deployment.path, folder)
    opened = ect.load_deployment(folder)
    with ect.open_device(rpc.name) as device:
        device.run(opened)
        device.cancel()
        library = (folder / "deploy.so").read_bytes()
        (folder / "deploy.so").write_bytes(bytes(reversed(library)))
        with pytest.raises(DeployFormatError, match=r"deploy\.so was altered"):
            device.run(opened)
        with pytest.raises(DeployFormatError, match=r"deploy\.so was altered"):  # and no half of it is used
            device.profile(opened)
        (folder / "deploy.so").write_bytes(library)
        assert device.profile(opened, runs=1).layers
        assert device.run(opened).outputs


class FaultyRpc(RpcDevice):
    """Sends libraries of networks whose layer ``block`` has one wrong weight, where they have that layer."""

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        graph = graph_of(deployment)
        if any(node.name == "block" for node in graph.nodes):
            weight = graph.node("block").inputs[1]
            codes = graph.constants[weight].copy()
            codes[0] ^= 64
            graph = graph.replace(constants={**graph.constants, weight: codes})
        manifest = deployment.manifest
        pairs = zip(deployment.inputs(), manifest.inputs, strict=True)
        example = {tensor.name: from_layout(array, tensor.layout) for array, tensor in pairs}
        layout = str(manifest.inputs[0].layout)
        with tempfile.TemporaryDirectory() as folder:
            return super()._load(ect.build(graph, Path(folder) / "deploy", reference_input=example, layout=layout))


def test_verdicts(rpc: RpcServer, deployment: Deployment) -> None:
    """A sound device is equal in every element; a fault is found at its layer by libraries that end earlier."""
    images = example_input(GRAPH, batch=2, seed=3)
    with ect.open_device(rpc.name) as device:
        sound = judge_devices(GRAPH, images, [(device, deployment)])
    assert sound
    with FaultyRpc(f"//127.0.0.1:{rpc.port}") as faulty:
        found = judge_devices(GRAPH, images, [(faulty, deployment)])
    assert found.broken is not None
    assert found.broken.name == f"interpreter → {rpc.name}"
    assert found.location is not None
    assert found.location.layer == "block"


def test_a_hundred_cycles_leave_nothing(rpc: RpcServer, deployment: Deployment) -> None:
    device = ect.open_device(rpc.name, threads=1)

    def cycles(count: int) -> None:
        for _ in range(count):
            with device:
                device.run(deployment)

    def state() -> tuple[int, int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(os.listdir(rpc.folder))

    def memory_kb(pid: int | str) -> int:
        text = Path(f"/proc/{pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])

    def handles() -> int:
        return len(os.listdir(f"/proc/{rpc.process.pid}/fd"))

    def settled() -> bool:
        deadline = time.monotonic() + 10
        while rpc.sessions() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not rpc.sessions()

    cycles(10)
    assert settled()
    before, there, here_kb, there_kb = state(), handles(), memory_kb("self"), memory_kb(rpc.process.pid)
    cycles(100)
    assert settled()
    assert state() == before
    assert handles() == there
    # what 100 leaked uploads of 60 kB, or sessions' objects, would exceed
    assert memory_kb("self") - here_kb < 5_000
    assert memory_kb(rpc.process.pid) - there_kb < 5_000


#: TVM's own tracker; its command line would start a second process for it
_TRACKER = (
    "import sys; from tvm.rpc.tracker import PopenTrackerServerState as T; T('127.0.0.1', *map(int, sys.argv[1:]))"
)


@pytest.fixture
def tracker() -> Iterator[int]:
    """A tracker in a process of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _TRACKER, str(port), str(port + 1)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait(10)


def test_through_a_tracker(
    tracker: int, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server registers when the tracker is there, and again for each session; the tracker needs no key."""
    options = ["--tracker", f"127.0.0.1:{tracker}", "--name", "board", "--sessions", "1"]
    with rpc_server(tmp_path / "rpc", *options) as server:
        monkeypatch.setenv("ECTOOLKIT_RPC_KEY", server.key)
        name = f"rpc://127.0.0.1:{tracker}/board"
        deadline = time.monotonic() + 60
        while "tracker: registered" not in server.log.read_text():
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.05)
        for _ in range(2):
            with ect.open_device(name, waiting_s=30) as device:
                assert device.run(deployment).device == name
