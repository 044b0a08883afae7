"""Full text of what is said when a remote device cannot be reached, or somebody else answers."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from messages import message_of
from remote_runs import AGAIN, LOOK, WHAT, equal
from rpc_server import RpcServer

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.exit_status import described_status
from ectoolkit.devices.rpc import door
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import link as link_module
from ectoolkit.devices.rpc import messages as m
from ectoolkit.devices.rpc import tracker as tracker_module
from ectoolkit.devices.rpc.address import Address, parse_endpoint
from ectoolkit.devices.rpc.channel import OVERHEAD_BYTES, Channel
from ectoolkit.devices.rpc.server import Server
from ectoolkit.devices.rpc.tracker import Registration
from ectoolkit.errors import (
    DeviceError,
    DeviceNotFoundError,
    DeviceRunError,
    InputError,
    RemoteError,
    RemoteLostError,
    RemoteRefusedError,
    RemoteUnreachableError,
)

KEY = "a key of this test"


def opening(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: ect.open_device(name, **{"key": KEY, **options}).__enter__()


# --- names and keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["", "host:1", "//", "//:9190", "//host:x", "//host:1/a/b", "//key@host:1", "//h?x", "//a..b:1"]
)
def test_no_address(address: str) -> None:
    assert message_of(lambda: ect.open_device(f"rpc:{address}"), DeviceNotFoundError) == (
        f"'rpc:{address}' is no address; expected rpc://HOST:PORT of an `ectoolkit device serve`, or "
        "rpc://HOST:PORT/NAME of a tracker and the name that servers have there"
    )


def test_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (hs.KEY_VARIABLE, hs.KEY_FILE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    name = "rpc://127.0.0.1:1"
    assert message_of(opening(name, key=None), RemoteRefusedError) == (
        f"{name} needs the key that `ectoolkit device serve` printed there: open_device('{name}', key=...), or the "
        "variable ECTOOLKIT_RPC_KEY or ECTOOLKIT_RPC_KEY_FILE"
    )
    assert message_of(opening(name, key="short"), InputError) == (
        "the key has 5 characters, expected at least 16 that nobody guesses: whoever has it can run any program there. "
        "Without one, `ectoolkit device serve` makes a good one"
    )
    assert message_of(opening(name, key=KEY, key_file="key.txt"), InputError) == (
        "a key and a key file, key.txt, are both given. Give one of them"
    )
    monkeypatch.setenv(hs.KEY_VARIABLE, KEY)
    monkeypatch.setenv(hs.KEY_FILE_VARIABLE, "key.txt")
    assert message_of(opening(name, key=None), InputError) == (
        "ECTOOLKIT_RPC_KEY and ECTOOLKIT_RPC_KEY_FILE, key.txt, are both given. Give one of them"
    )
    monkeypatch.delenv(hs.KEY_VARIABLE)
    monkeypatch.delenv(hs.KEY_FILE_VARIABLE)
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    assert message_of(opening(name, key=None, key_file=file), InputError) == (
        f"the key file {file} can be read by others. Make it yours alone: chmod 600 {file}"
    )
    assert message_of(opening(name, key=None, key_file=tmp_path / "none"), InputError) == (
        f"the key file {tmp_path / 'none'} cannot be read: [Errno 2] No such file or directory: '{tmp_path / 'none'}'"
    )


def test_no_threads() -> None:
    assert message_of(opening("rpc://h:1", threads=0), DeviceError) == "threads is 0, expected at least 1"


# --- nobody there, or somebody else ----------------------------------------------------------------------------------


#: in place of the listening socket itself
LISTENING = object()


@contextmanager
def listener(answer: Callable[..., None], *more: Any) -> Iterator[int]:
    """Another program: answers one client, with what `answer` is given more; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    answer(connection, *(server if each is LISTENING else each for each in more))

        serving = pool.submit(serve)
        yield server.getsockname()[1]
        server.close()
        serving.result(10)


def test_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert message_of(opening(f"rpc://127.0.0.1:{port}"), RemoteUnreachableError) == (
        f"rpc://127.0.0.1:{port}: nothing listens at 127.0.0.1:{port} (Connection refused). Start `ectoolkit device "
        "serve` on that machine, or a tunnel to it: ssh -L PORT:127.0.0.1:PORT HOST"
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        # what TVM's own server does with what is not its protocol
        (lambda connection: connection.recv(4), "Connection reset by peer"),
        (lambda connection: connection.recv(100), "it closed the connection"),
        (lambda connection: time.sleep(1), "timed out"),
    ],
)
def test_another_program(answer: Callable[[socket.socket], None], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hs, "STEP_S", 0.3)
    with listener(answer) as port:
        assert message_of(opening(f"rpc://127.0.0.1:{port}"), RemoteUnreachableError) == (
            f"rpc://127.0.0.1:{port}: what answers at 127.0.0.1:{port} is no `ectoolkit device serve` ({reason}). A "
            "plain RPC server of TVM does not check what it is sent; start ectoolkit's there"
        )


def test_a_server_that_does_not_know_the_key() -> None:
    def pose(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(bytes(hs.NONCE_BYTES))
        connection.recv(100)
        connection.sendall(hs.WELCOME + bytes(hs.PROOF_BYTES))

    with listener(pose) as port:
        assert message_of(opening(f"rpc://127.0.0.1:{port}"), RemoteUnreachableError) == (
            f"rpc://127.0.0.1:{port}: what answers at 127.0.0.1:{port} does not know the key itself, so it is not your "
            "server. Look which program listens there"
        )


def test_another_protocol(rpc: RpcServer) -> None:
    """Told by both sides, before any key."""

    def later(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"ECT9" + bytes(28))

    with listener(later) as port:
        assert message_of(opening(f"rpc://127.0.0.1:{port}"), RemoteRefusedError) == (
            f"rpc://127.0.0.1:{port} speaks protocol 9, and ectoolkit {ect.__version__} here speaks 3. Install the "
            "same version on both machines"
        )
    with socket.create_connection(("127.0.0.1", rpc.port), timeout=10) as client:
        client.sendall(b"ECT9" + os.urandom(hs.NONCE_BYTES))
        near = client.getsockname()
        assert client.recv(100) == b"ECT3" + bytes(28)
        assert client.recv(100) == b""
    assert f"refused: {near[0]}:{near[1]} speaks another version of ectoolkit's protocol\n" in rpc.log.read_text()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\xc1", "MessagePack data is malformed: invalid opcode '\\xc1' (byte 0)"),
        (m.encode(m.Done()), "Done, expected Ran"),
        # a map within a map, a thousand deep, where its kind should stand
        (b"\x82\xa1a" + b"\x91" * 1000, "maximum recursion depth exceeded while deserializing an object"),
        # an empty array takes two bytes of a message, and 160 times as many in memory
        (
            b"\x82\xa4type\xa3Ran\xa6arrays\xdd" + struct.pack(">I", 1 << 20) + b"\xc4\x00" * (1 << 20),
            "Expected `array` of length <= 4096 - at `$.arrays`",
        ),
    ],
)
def test_an_answer_of_another_kind(answer: bytes, reason: str, rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        device.load(deployment)
        device._link._exchange = lambda *given: answer  # type: ignore[attr-defined]
        assert message_of(lambda: device.run(deployment), RemoteError) == (
            f"what {rpc.name} answers when it is to {WHAT} is not understood ({reason}). Install the same version of "
            f"ectoolkit there as here, {ect.__version__}"
        )


def test_a_profile_of_another_kind(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        device.load(deployment)
        answer = msgspec.msgpack.encode({"type": "Profiled", "profile": {"layers": 3}})
        device._link._exchange = lambda *given: answer  # type: ignore[attr-defined]
        assert message_of(lambda: device.profile(deployment), RemoteError) == (
            f"what {rpc.name} answers when it is to time the layers of residual is not understood (Expected `array`, "
            f"got `int` - at `$.profile.layers`). Install the same version of ectoolkit there as here, "
            f"{ect.__version__}"
        )


def test_what_a_server_says_does_not_reach_the_terminal_as_it_is(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        device.load(deployment)
        answer = m.encode(m.Failure("DeviceRunError", "\x1b]0;yours\x07 no\n" + "é" * 20_000))
        device._link._exchange = lambda *given: answer  # type: ignore[attr-defined]
        said = message_of(lambda: device.run(deployment), DeviceRunError)
        assert said == f"{rpc.name} says: \\x1b]0;yours\\x07 no\n{'é' * 9986}…"
    facts = m.encode(m.Facts("\x9b2J", "x86_64", 2, "1", "1", 1, "held"))
    assert m.decode_reply(facts, m.Describe).host == "\\x9b2J"


def test_outputs_of_another_size(rpc: RpcServer, deployment: Deployment) -> None:
    with ect.open_device(rpc.name) as device:
        sizes = [output.nbytes for output in device.run(deployment).outputs]
        few = m.encode(m.Ran([memoryview(b"1234")] * 2, 0.0))
        device._link._exchange = lambda *given: few  # type: ignore[attr-defined]
        assert message_of(lambda: device.run(deployment), RemoteError) == (
            f"{rpc.name} answered outputs of [4, 4] bytes, expected {sizes}; do not trust it"
        )


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (b"", "it closed the connection"),
        (b"\1\0", "it ended in the middle of a message"),
        (struct.pack("<Q", 9), "it ended in the middle of a message"),
        (struct.pack("<Q", 9) + b"12345678", "it ended in the middle of a message"),
    ],
)
def test_an_answer_that_ends_early(
    came: bytes, reason: str, rpc: RpcServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server still lives, and says nothing of an end."""
    monkeypatch.setattr(link_module, "_REASON_S", 0.1)
    near, far = socket.socketpair()
    with near, far, ect.open_device(rpc.name) as device:
        device.load(deployment)
        far.sendall(came)
        far.shutdown(socket.SHUT_WR)
        device._link._channel = Channel(near)  # type: ignore[attr-defined]
        assert message_of(lambda: device.run(deployment), RemoteLostError) == (
            f"{rpc.name} is lost: the connection broke ({reason}) while it was to {WHAT}; nothing here is harmed. "
            f"{AGAIN}; {LOOK}"
        )
        assert equal(device, deployment)


def test_how_a_process_ended() -> None:
    assert [described_status(status) for status in (0, 3, -9, -35)] == [
        "ended with status 0",
        "ended with status 3",
        "was ended by SIGKILL",
        "was ended by signal 35",  # a real-time signal has no name
    ]


def test_too_large_to_send_or_to_believe(rpc: RpcServer, deployment: Deployment) -> None:
    """What is larger than the server takes is not sent; an answer that would fill the memory ends the session."""
    with ect.open_device(rpc.name) as device:
        device.load(deployment)
        link = device._link  # type: ignore[attr-defined]
        most = 20_000_000 + OVERHEAD_BYTES
        request = m.Put("deploy.so", memoryview(bytes(most)))
        assert message_of(lambda: link.ask(request, "take it", 10), RemoteRefusedError) == (
            f"{rpc.name} takes {most} bytes at once, and a request to take it has {len(m.encode(request))}. Start "
            "`ectoolkit device serve` there with a larger --limit-mb"
        )
        assert link.alive
        link._channel.coming = lambda: 1 << 40
        sizes = [4 * int(np.prod(tensor.shape)) for tensor in deployment.manifest.outputs]
        assert message_of(lambda: device.run(deployment), RemoteError) == (
            f"{rpc.name} answers with {1 << 40} bytes when it is to {WHAT}, expected {sum(sizes) + OVERHEAD_BYTES} at "
            "most; do not trust it"
        )
        assert not link.alive
        assert equal(device, deployment)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "timed out"),
        (hs.NO_TICKET, "it does not know the ticket"),
        (b"?", "it says b'?'"),
        (b"", "it closed the connection"),
    ],
)
def test_no_session_behind_the_door(answer: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the key, and opens no session."""
    monkeypatch.setattr(door, "_OPEN_S", 0.3)

    def let_in(connection: socket.socket, server: socket.socket) -> None:
        mine = connection.recv(100)[len(hs.GREETING) :]
        theirs = bytes(hs.NONCE_BYTES)
        connection.sendall(theirs)
        connection.recv(100)
        connection.sendall(hs.WELCOME + hs.proof(KEY, b"server", mine, theirs))
        data, _ = server.accept()
        with data:
            assert data.recv(100) == hs.DATA_GREETING + hs.ticket(KEY, mine, theirs)
            if answer is None:
                connection.recv(100)  # until the client gives up
            else:
                data.sendall(answer)

    with listener(let_in, LISTENING) as port:
        assert message_of(opening(f"rpc://127.0.0.1:{port}"), RemoteLostError) == (
            f"rpc://127.0.0.1:{port} is lost: it let this client in, and then opened no session ({reason}). See what "
            "`ectoolkit device serve` printed there"
        )


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert message_of(lambda: Server(KEY, port=port, folder=tmp_path), DeviceError) == (
            f"no server can listen at 127.0.0.1:{port} with folder {tmp_path}: [Errno 98] Address already in use "
            f"(while attempting to bind on address ('127.0.0.1', {port}))"
        )


def test_no_endpoint() -> None:
    for text in ("board", "board:x", "board:1/pi", "", f"{'x' * 64}:1"):
        assert message_of(lambda text=text: parse_endpoint(text, "--tracker"), DeviceNotFoundError) == (  # type: ignore[misc]
            f"--tracker is {text!r}, expected HOST:PORT"
        )


def test_wrong_key(rpc: RpcServer) -> None:
    assert message_of(opening(rpc.name, key=rpc.key + "x"), RemoteRefusedError) == (
        f"{rpc.name} knows another key. Give the one that `ectoolkit device serve` printed there: "
        f"open_device('{rpc.name}', key=...), or the variable ECTOOLKIT_RPC_KEY"
    )
    assert rpc.sessions() == []


def test_full(rpc: RpcServer) -> None:
    with ect.open_device(rpc.name), ect.open_device(rpc.name), ect.open_device(rpc.name):
        assert message_of(opening(rpc.name, key=rpc.key), RemoteRefusedError) == (
            f"{rpc.name} has no room for one more session. Close a device that is open there, or start `ectoolkit "
            "device serve` with a larger --sessions"
        )
    with ect.open_device(rpc.name):
        pass


def test_no_tracker_and_no_server_at_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert message_of(opening(f"rpc://127.0.0.1:{port}/pi"), RemoteUnreachableError) == (
        f"rpc://127.0.0.1:{port}/pi: no tracker answers at 127.0.0.1:{port} ([Errno 111] Connection refused). Start "
        "one there with `python -m tvm.exec.rpc_tracker --host HOST --port PORT`, or name a server itself: rpc://HOST:PORT"
    )

    def silent(connection: socket.socket) -> None:
        connection.sendall(connection.recv(4))
        connection.recv(1000)
        time.sleep(0.5)

    with listener(silent) as port:
        assert message_of(opening(f"rpc://127.0.0.1:{port}/pi", waiting_s=0.2), RemoteUnreachableError) == (
            f"rpc://127.0.0.1:{port}/pi: the tracker gave no free server of the name 'pi' (no server in 0.2 s). Start "
            f"one with `ectoolkit device serve --tracker 127.0.0.1:{port} --name pi`, or wait for one"
        )


def tracker_frame(data: bytes) -> bytes:
    return struct.pack("<i", len(data)) + data


DRIPPING = b'["' + b"x" * 35


def a_tracker(*answers: bytes) -> Callable[[socket.socket], None]:
    """Greets as one, then answers so; `DRIPPING` byte by byte."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(connection.recv(4))
        for data in answers[:-1]:
            connection.recv(1000)
            connection.sendall(tracker_frame(data))
        connection.recv(1000)
        frame = tracker_frame(answers[-1])
        if answers[-1] != DRIPPING:
            connection.sendall(frame)
        else:
            for byte in frame:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)  # 2 s in all, and never long without one
        connection.recv(1000)

    return answer


MALFORMED = [
    (b"5", "it answers '5': Expected `array`, got `int`"),
    (b"[[1]]", "it answers '[[1]]': Expected `str`, got `array` - at `$[0]`"),
    (b"[NaN]", "it answers '[NaN]': JSON is malformed: invalid character (byte 1)"),
    (b"[" * 100_000, f"it answers {'[' * 80!r}: Expected `str`, got `array` - at `$[0]`"),
    (DRIPPING, "timed out"),
]


@pytest.mark.parametrize(("answer", "reason"), MALFORMED)
def test_a_tracker_does_not_end_or_hold_up_a_server(
    answer: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it answers: the server says so, and goes on with its clients."""
    if answer == DRIPPING:
        monkeypatch.setattr(tracker_module, "_TEND_S", 0.5)
    lines: list[str] = []
    with listener(a_tracker(b"0", answer)) as port:
        registration = Registration(Address("127.0.0.1", port, "pi"), "", lines.append)
        registration.tend(1)
    assert lines == [
        f"tracker: registered at 127.0.0.1:{port} as pi",
        f"tracker: 127.0.0.1:{port} cannot be used ({reason}); trying again every 5 s",
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"[1]", "it answers '[1]': Invalid enum value 1 - at `$[0]`"),
        (b'[0, ["h", "x", ""]]', """it answers '[0, ["h", "x", ""]]': Expected `int`, got `str` - at `$[1][1]`"""),
        (b'[0, ["a..b", 9190, ""]]', "it names the server 'a..b', port 9190"),
        (b'[0, ["\\u001b[2J", 9190, ""]]', "it names the server '\\x1b[2J', port 9190"),
        (b'[0, ["h", 70000, ""]]', "it names the server 'h', port 70000"),
        (DRIPPING, "no server in 0.5 s"),
    ],
)
def test_a_tracker_that_answers_a_client_with_something_else(answer: bytes, reason: str) -> None:
    with listener(a_tracker(answer)) as port:
        waiting_s = 0.5 if answer == DRIPPING else 10
        assert message_of(opening(f"rpc://127.0.0.1:{port}/pi", waiting_s=waiting_s), RemoteUnreachableError) == (
            f"rpc://127.0.0.1:{port}/pi: the tracker gave no free server of the name 'pi' ({reason}). Start one with "
            f"`ectoolkit device serve --tracker 127.0.0.1:{port} --name pi`, or wait for one"
        )
