"""What a server of the rpc device lets in, takes, and lets native code do."""

from __future__ import annotations

import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rpc_server import RpcServer

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.manifest import FileRecord
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import messages as m
from ectoolkit.devices.rpc.channel import OVERHEAD_BYTES, Channel
from ectoolkit.devices.rpc.link import Link
from ectoolkit.devices.rpc.server import Server
from ectoolkit.devices.rpc.session import Session
from ectoolkit.errors import DeviceError
from ectoolkit.testing.networks import example_input, residual_graph


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    graph = residual_graph()
    return ect.build(graph, tmp_path_factory.mktemp("rpc") / "deploy", reference_input=example_input(graph))


@pytest.fixture(scope="module", autouse=True)
def silent(rpc_session: RpcServer) -> Iterator[socket.socket]:
    """A client that connects and says nothing, through all of these tests."""
    with socket.create_connection(("127.0.0.1", rpc_session.port), timeout=hs.STEP_S + 5) as connection:
        yield connection


# --- who is let in -------------------------------------------------------------------------------------------------


def answer_to(port: int, *pieces: bytes) -> bytes:
    """What the server says to a client that sends this, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        found = b""
        while data := connection.recv(100):
            found += data
    return found


@contextmanager
def let_in(port: int, key: str) -> Iterator[bytes]:
    """A client that has proven its key and opens no session; its ticket."""
    mine = bytes(hs.NONCE_BYTES)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(hs.GREETING + mine)
        theirs = client.recv(hs.NONCE_BYTES)
        client.sendall(hs.proof(key, b"client", mine, theirs))
        assert client.recv(1) == hs.WELCOME
        yield hs.ticket(key, mine, theirs)


def test_no_session_without_a_ticket(rpc: RpcServer) -> None:
    """The key itself is none, nor another ticket, whoever else holds one; nor does it help to speak TVM's protocol."""
    key = f"client:{rpc.key}".encode()
    tvm = struct.pack("<ii", 0xFF271, len(key)) + key
    assert answer_to(rpc.port, tvm) == b""
    for held in (False, True):
        with let_in(rpc.port, rpc.key) if held else nullcontext(b"") as ticket:
            for given in (bytes(32), rpc.key.encode(), b"\xff" * 32, "ü".encode() * 16, ticket[:-1] + b"\0" * 2):
                assert answer_to(rpc.port, hs.DATA_GREETING + given.ljust(32, b"0")) == hs.NO_TICKET
    assert rpc.sessions() == []


def test_a_ticket_is_good_once_and_alone(rpc: RpcServer) -> None:
    """Nothing is read for a session before it is there."""
    with let_in(rpc.port, rpc.key) as ticket:
        assert answer_to(rpc.port, hs.DATA_GREETING + ticket + b"x") == hs.NO_TICKET
        with socket.create_connection(("127.0.0.1", rpc.port), timeout=10) as data:
            for byte in hs.DATA_GREETING + ticket:  # in whatever pieces it comes
                data.sendall(bytes([byte]))
            assert data.recv(10) == hs.OPENED
            assert len(rpc.sessions()) == 1
            assert answer_to(rpc.port, hs.DATA_GREETING + ticket) == hs.NO_TICKET


def test_a_mistake_of_the_server_costs_one_client_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Server, "_read_proof", fail)
    with in_process(tmp_path) as (server, lines):
        assert answer_to(server.port, hs.GREETING + bytes(hs.NONCE_BYTES)) == b""
        assert answer_to(server.port, hs.DATA_GREETING + bytes(hs.TICKET_BYTES)) == hs.NO_TICKET
    [dropped, _] = lines
    assert re.fullmatch(r"dropped: 127\.0\.0\.1:\d+, for RuntimeError: a mistake", dropped)


def test_without_descriptors_it_waits(rpc: RpcServer) -> None:
    """A connection that cannot be taken stays ready: the server says so once, leaves the CPU alone, and goes on.  So
    it does with what a session left behind."""
    device = ect.open_device(rpc.name).__enter__()
    pid = rpc.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def cpu_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with socket.socket() as client:
        client.settimeout(10)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            client.connect(("127.0.0.1", rpc.port))
            client.sendall(hs.GREETING + bytes(hs.NONCE_BYTES))
            device.close()
            used = cpu_s()
            time.sleep(1.2)  # twice it is tried
            used = cpu_s() - used
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert len(client.recv(100)) == hs.NONCE_BYTES
    assert used < 0.12
    assert rpc.log.read_text().count("warning: no connection") == 1
    assert (
        "warning: no connection can be taken (Too many open files); trying again each 1 s. Close sessions, or start "
        "the server with a larger `ulimit -n`\n"
    ) in rpc.log.read_text()
    assert list(rpc.folder.iterdir()) == []


def test_no_folder_for_a_session(tmp_path: Path) -> None:
    """The server says why, and has no less room afterwards."""
    with in_process(tmp_path / "kept") as (server, lines):
        (tmp_path / "kept").rmdir()
        with let_in(server.port, "a key of this test") as ticket:
            assert answer_to(server.port, hs.DATA_GREETING + ticket) == b""
        assert server._free() == 4
    [said] = lines
    reason = rf"\[Errno 2\] No such file or directory: '{tmp_path}/kept/session-\w+'"
    assert re.fullmatch(rf"warning: no session for 127\.0\.0\.1:\d+: {reason}", said)


def test_a_ticket_that_is_not_used_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a client whose machine is gone takes no beat: the kernel then closes its connection."""
    monkeypatch.setattr(hs, "SILENCE_S", 1.5)
    with (
        in_process(tmp_path) as (server, lines),
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        mine = bytes(hs.NONCE_BYTES)
        client.sendall(hs.GREETING + mine)
        theirs = client.recv(hs.NONCE_BYTES)
        client.sendall(hs.proof("a key of this test", b"client", mine, theirs))
        assert client.recv(1) == hs.WELCOME
        [peer] = server._peers.values()
        assert peer.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500
        assert server._free() == 3
        while client.recv(100):
            """The proof; then it is closed."""
        assert server._free() == 4
    [dropped] = lines
    assert re.fullmatch(r"dropped: 127\.0\.0\.1:\d+ was let in and opened no session", dropped)


@contextmanager
def in_process(folder: Path) -> Iterator[tuple[Server, list[str]]]:
    """A server in a thread, which opens no session; what it says."""
    lines: list[str] = []
    server = Server("a key of this test", folder=folder, say=lines.append)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server, lines
    finally:
        server.stop()
        thread.join(10)


def test_strange_clients_are_closed(rpc: RpcServer) -> None:
    assert answer_to(rpc.port, b"GET / HTTP/1.1\r\n\r\n") == b""
    # no proof: a nonce, and the door
    said = answer_to(rpc.port, hs.GREETING + bytes(hs.NONCE_BYTES), bytes(hs.PROOF_BYTES))
    assert (len(said), said[-1:]) == (hs.NONCE_BYTES + 1, hs.WRONG_KEY)


def test_a_proof_is_good_once(rpc: RpcServer) -> None:
    """Who has listened to a handshake cannot repeat it: the server's part is another one each time."""
    mine = bytes(range(hs.NONCE_BYTES))
    seen = []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", rpc.port), timeout=10) as connection:
            connection.sendall(hs.GREETING + mine)
            theirs = connection.recv(hs.NONCE_BYTES)
            connection.sendall(seen[0] if seen else hs.proof(rpc.key, b"client", mine, theirs))
            seen.append(hs.proof(rpc.key, b"client", mine, theirs))
            answer = connection.recv(1)
        assert answer == (hs.WELCOME if len(seen) == 1 else hs.WRONG_KEY)


# --- what is taken -------------------------------------------------------------------------------------------------


def forged(deployment: Deployment, name: str) -> bytes:
    """A whole, sealed manifest that lists another file."""
    manifest = deployment.manifest
    files = {**manifest.files, name: FileRecord("0" * 64, 1)}
    return msgspec.structs.replace(manifest, files=files).sealed().to_json()


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", "", "deploy/../../x"])
def test_no_file_outside_the_folder(name: str, rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        link: Link = device._link  # type: ignore[attr-defined]
        with pytest.raises(DeviceError) as caught:
            link.ask(m.Begin(forged(deployment, name)), "take it", 10)
        assert str(caught.value) == (
            f"{rpc.name} says: {m.HERE}/manifest.json lists {name!r}, which is not a plain file name; do not trust it"
        )
        link.ask(m.Begin((deployment.path / "manifest.json").read_bytes()), "take it", 10)
        with pytest.raises(DeviceError) as caught:
            link.ask(piece(name, b"x"), "take it", 10)
        assert str(caught.value) == (
            f"{rpc.name} says: {name!r} is not in the manifest that was sent, so it is not taken"
        )
        folders = list(rpc.folder.iterdir())
        assert [[path.name for path in folder.rglob("*")] for folder in folders] == [["deploy", "manifest.json"]]


def reply_of(session: Session, request: m.Message) -> Any:
    return m.decode_reply(m.encode(session.answer(m.encode(request))), type(request))


def piece(name: str, data: bytes) -> m.Put:
    return m.Put(name, memoryview(data))


def test_no_link_is_followed(deployment: Deployment, tmp_path: Path) -> None:
    """Whoever had placed it: of a file, or of the folder itself."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    (tmp_path / "session").mkdir()
    session = Session(tmp_path / "session", 1 << 20, "")
    manifest = (deployment.path / "manifest.json").read_bytes()
    assert reply_of(session, m.Begin(manifest)) == m.Done()
    placed = tmp_path / "session" / "deploy" / "deploy.so"
    placed.symlink_to(outside)
    reply = reply_of(session, piece("deploy.so", b"x"))
    assert reply == m.Failure("RemoteError", "OSError: [Errno 40] Too many levels of symbolic links: 'deploy.so'")
    assert outside.read_bytes() == b""
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "session" / "deploy").rename(elsewhere)
    (elsewhere / "deploy.so").unlink()
    (tmp_path / "session" / "deploy").symlink_to(elsewhere)
    reply = reply_of(session, piece("deploy.so", b"x"))
    assert reply == m.Failure("RemoteError", f"NotADirectoryError: [Errno 20] Not a directory: '{m.HERE}'")
    assert [path.name for path in elsewhere.iterdir()] == ["manifest.json"]
    # where all begins anew the link goes, and not what it leads to
    assert reply_of(session, m.Begin(manifest)) == m.Done()
    assert not (tmp_path / "session" / "deploy").is_symlink()
    assert (elsewhere / "manifest.json").read_bytes() == manifest


def test_no_more_than_was_stated(rpc: RpcServer, deployment: Deployment) -> None:
    size = deployment.manifest.files["deploy.json"].size_bytes
    with ect.open_device(rpc.name) as device:
        link: Link = device._link  # type: ignore[attr-defined]
        link.ask(m.Begin((deployment.path / "manifest.json").read_bytes()), "take it", 10)
        link.ask(piece("deploy.json", bytes(size - 1)), "take it", 10)
        with pytest.raises(DeviceError) as caught:
            link.ask(piece("deploy.json", bytes(2)), "take it", 10)
        assert str(caught.value) == (
            f"{rpc.name} says: deploy.json is longer than the {size} bytes that its manifest states"
        )
        [kept] = rpc.folder.glob("session-*/deploy/deploy.json")
        assert kept.stat().st_size == size - 1


def test_a_session_takes_our_messages_alone(rpc: RpcServer) -> None:
    """Nothing of TVM's can be asked for by name, and what is no request harms nobody."""
    with let_in(rpc.port, rpc.key) as ticket:
        data = socket.create_connection(("127.0.0.1", rpc.port), timeout=10)
        with data:
            data.sendall(hs.DATA_GREETING + ticket)
            assert data.recv(10) == hs.OPENED
            channel = Channel(data)
            for request, said in (
                (b"", "MsgspecError: Input data was truncated"),
                (b"\xc1", "DecodeError: MessagePack data is malformed: invalid opcode '\\xc1' (byte 0)"),
                (msgspec.msgpack.encode({"type": "tvm.rpc.server.upload"}), "Invalid value 'tvm.rpc.server.upload'"),
                (msgspec.msgpack.encode({"type": "Layers", "runs": 1, "path": "/"}), "unknown field `path`"),
                (m.encode(m.Run([])), "nothing is loaded"),
            ):
                channel.send(request)
                reply = m.decode_reply(channel.receive(channel.coming() or 0), m.Run)
                assert isinstance(reply, m.Failure)
                assert said.partition(": ")[2] in reply.text
            # a request larger than the server takes: refused before it comes, and over
            data.sendall(struct.pack("<Q", 1 << 40))
            reply = m.decode_reply(channel.receive(channel.coming() or 0), m.Run)
            limit = 20_000_000 + OVERHEAD_BYTES
            assert reply == m.Failure(
                "RemoteRefusedError",
                f"a request has {1 << 40} bytes, and the server takes {limit}. Start it with a larger --limit-mb",
            )
            assert channel.coming() is None


def test_a_client_that_says_nothing_is_closed(rpc: RpcServer, silent: socket.socket) -> None:
    """It held nobody up: the tests above met the same server."""
    assert silent.recv(1) == b""
