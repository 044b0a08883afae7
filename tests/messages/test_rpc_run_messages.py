"""Full text of what is said when a remote device refuses a deployment, or is lost in the middle of a run."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from messages import message_of
from remote_runs import AGAIN, LOOK, WHAT, equal, reference
from rpc_server import RpcServer, rpc_server

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc.device import RpcDevice
from ectoolkit.errors import (
    Cancelled,
    DeviceError,
    DeviceTimeoutError,
    RemoteLostError,
    RemoteRefusedError,
    RemoteTransferError,
    RemoteUnreachableError,
)

# --- refused by the server -------------------------------------------------------------------------------------------


def test_too_large(rpc: RpcServer, deployment: Deployment, tmp_path: Path) -> None:
    from runner_changes import replace_file

    folder = tmp_path / "large"
    folder.mkdir()
    for file in deployment.path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    replace_file(folder, "deploy.params", bytes(20_000_001))
    large = ect.load_deployment(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    with ect.open_device(rpc.name) as device:
        assert message_of(lambda: device.run(large), RemoteRefusedError) == (
            f"{rpc.name} says: {folder} has {size} bytes, and the server takes 20000000. Start it with a larger "
            "--limit-mb"
        )
        assert device.run(deployment).outputs


def test_another_target(rpc: RpcServer, deployment: Deployment) -> None:
    other = Deployment(deployment.path, msgspec.structs.replace(deployment.manifest, target="mera:IP"))
    with ect.open_device(rpc.name) as device:
        assert message_of(lambda: device.run(other), DeviceError) == (
            f"{deployment.path} was built for mera:IP; {rpc.name} runs target 'cpu'"
        )


class Corrupting:
    """Stands between: passes everything on, but alters one byte of the first large piece that a client sends."""

    def __init__(self, port: int) -> None:
        self._port, self._left = port, 1
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who accepts
        self._accepting.join()
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                threading.Thread(target=self._both_ways, args=(near, far), daemon=True).start()

    def _both_ways(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            back = threading.Thread(target=self._pump, args=(far, near, False), daemon=True)
            back.start()
            self._pump(near, far, True)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, alter: bool) -> None:
        with suppress(OSError):
            while data := bytearray(source.recv(1 << 20)):
                if alter and self._left and len(data) > 10_000:
                    self._left = 0
                    data[len(data) // 2] ^= 1
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_altered_on_the_way(rpc: RpcServer, deployment: Deployment) -> None:
    between = Corrupting(rpc.port)
    name = f"rpc://127.0.0.1:{between.port}"
    try:
        with ect.open_device(name) as device:
            said = message_of(lambda: device.run(deployment), RemoteTransferError)
            [digest] = re.findall(r"its sha256 is ([0-9a-f]{12})…", said)
            expected = deployment.manifest.files["deploy.so"].sha256[:12]
            assert digest != expected
            path = deployment.path
            assert said == (
                f"{path} did not arrive whole. {name} says: {path}/deploy.so was altered: its sha256 is {digest}…, "
                f"expected {expected}…. Build it again; the copy here is intact, so something on the way changed it. "
                "Try again; where it happens again, use a tunnel: ssh -L PORT:127.0.0.1:PORT HOST"
            )
            # what is between altered one byte only
            assert ect.compare(device.run(deployment).outputs, reference(deployment))
    finally:
        between.close()


# --- lost in the middle of a run -------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RpcServer]:
    """A server of this test's, which may be killed."""
    with rpc_server(tmp_path / "own") as server:
        monkeypatch.setenv("ECTOOLKIT_RPC_KEY", server.key)
        yield server


@contextmanager
def in_the_middle(device: RpcDevice, deployment: Deployment, server: RpcServer) -> Iterator[Any]:
    """A run that does not come back, for its session is stopped; gives what it ends with."""
    device.load(deployment)
    [session] = server.sessions()
    os.kill(session, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(device.run, deployment)
        time.sleep(0.3)
        assert not running.done()
        yield running


def ended(pid: int) -> bool:
    """Within a moment: gone, or waiting for its new parent to notice."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return True
    return False


def test_server_killed(own: RpcServer, deployment: Deployment) -> None:
    """The session dies with its server; where another is started, the same device goes on."""
    device = ect.open_device(own.name)
    with device:
        with in_the_middle(device, deployment, own) as running:
            [session] = own.sessions()
            own.process.kill()
            said = message_of(lambda: running.result(20), RemoteLostError)
        assert said == (
            f"{own.name} is lost: the server went away while it was to {WHAT}; nothing here is harmed. {AGAIN}; {LOOK}"
        )
        own.process.wait()
        assert ended(session)
        closed = message_of(lambda: device.run(deployment), RemoteUnreachableError)
        assert closed.startswith(f"{own.name}: nothing listens at 127.0.0.1:{own.port} (Connection refused). ")
        with rpc_server(own.folder.parent, port=own.port) as again:
            assert equal(device, deployment)
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants a server to outlive its terminal
                again.process.send_signal(signal.SIGHUP)
                assert again.process.wait(10) == 0
                assert again.log.read_text().endswith("stopped\n")
                assert len(list(own.folder.iterdir())) == 1  # of the one that was killed; its own it removed


def test_session_killed(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        with in_the_middle(device, deployment, rpc) as running:
            [session] = rpc.sessions()
            os.kill(session, signal.SIGKILL)
            assert message_of(lambda: running.result(20), RemoteLostError) == (
                f"{rpc.name} is lost: its session there was ended by SIGKILL while it was to {WHAT}; nothing here is "
                f"harmed. {AGAIN}; {LOOK}"
            )
        assert equal(device, deployment)


def test_too_slow(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name, timeout_s=2) as device:
        with in_the_middle(device, deployment, rpc) as running:
            started = time.monotonic()
            assert message_of(lambda: running.result(20), DeviceTimeoutError) == (
                f"{rpc.name} did not {WHAT} within 2 s, and its session there was ended. {AGAIN}; where it needs "
                "longer, open the device with timeout_s=..."
            )
            assert time.monotonic() - started < 2 + 1
        assert equal(device, deployment)
    deadline = time.monotonic() + 10
    while rpc.sessions() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rpc.sessions() == []


def test_cancelled(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        with in_the_middle(device, deployment, rpc) as running:
            device.cancel()
            assert message_of(lambda: running.result(20), Cancelled) == (
                f"cancelled while {rpc.name} was to {WHAT}; its session there was ended. {AGAIN}"
            )
        assert equal(device, deployment)


def test_ctrl_c(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        device.load(deployment)
        os.kill(rpc.sessions()[0], signal.SIGSTOP)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        try:
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                device.run(deployment)
        finally:
            signal.signal(signal.SIGINT, before)
        assert equal(device, deployment)


def test_no_sign_of_life(rpc: RpcServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that hangs closes no connection."""
    monkeypatch.setattr(hs, "SILENCE_S", 1.5)
    with ect.open_device(rpc.name) as device:
        device.load(deployment)
        os.kill(rpc.process.pid, signal.SIGSTOP)
        os.kill(rpc.sessions()[0], signal.SIGSTOP)
        try:
            assert message_of(lambda: device.run(deployment), RemoteLostError) == (
                f"{rpc.name} is lost: it gave no sign of life for 1.5 s while it was to {WHAT}; nothing here is "
                f"harmed. {AGAIN}; {LOOK}"
            )
        finally:
            os.kill(rpc.process.pid, signal.SIGCONT)
        assert equal(device, deployment)
