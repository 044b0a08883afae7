"""What a session of the rpc device lets native code do, and what is ended with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rpc_server import RpcServer
from runner_changes import replace_file

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.rpc.confine import described, landlock_version
from ectoolkit.devices.rpc.sockets import can_refuse_sockets
from ectoolkit.errors import DeviceError
from ectoolkit.testing.networks import example_input, residual_graph


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    graph = residual_graph()
    return ect.build(graph, tmp_path_factory.mktemp("rpc") / "deploy", reference_input=example_input(graph))


#: in a process of its own, for it is confined for good: what it can do afterwards, a letter each
_TRY = """
import ctypes, fcntl, os, socket, stat, sys
from pathlib import Path
from ectoolkit.devices.rpc.confine import confine
inside, outside, port, victim = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
def uring():
    if libc.syscall(425, 1, bytes(120)) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
before = socket.create_connection(("127.0.0.1", port))  # as a session's own is
assert confine(inside, 1000)
def may(what):
    try:
        what()
        return "y"
    except OSError:
        return "n"
def grow(size):
    with open(inside / "large", "wb", buffering=0) as file:
        if file.write(bytes(size)) < size:
            raise OSError
def unix(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
inside.joinpath("link").symlink_to(outside / "there")
print("".join(map(may, [
    lambda: (inside / "new").write_bytes(b"x"),
    lambda: grow(1000),
    lambda: grow(1001),
    lambda: (outside / "there").write_bytes(b"x"),
    lambda: (inside / "link").write_bytes(b"x"),
    lambda: (outside / "new").write_bytes(b"x"),
    lambda: (outside / "there").unlink(),
    lambda: (inside / "new").rename(outside / "moved"),
    lambda: os.truncate(outside / "there", 0),
    lambda: socket.create_connection(("127.0.0.1", port), timeout=5),
    lambda: os.kill(victim, 0),
    lambda: unix("\\0ectoolkit test " + sys.argv[4]),
    lambda: fcntl.ioctl(os.open("/dev/urandom", os.O_RDONLY), 0x80045200, bytes(4)),  # RNDGETENTCNT
    lambda: os.mknod(inside / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    lambda: unix(str(outside / "socket")),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    lambda: socket.socket().sendto(b"x", 0x20000000, ("127.0.0.1", port)),  # MSG_FASTOPEN, which Landlock lets pass
    lambda: socket.socketpair(),
    lambda: before.connect(("127.0.0.1", port)),
    lambda: before.sendto(b"x", 0x20000000, ("127.0.0.1", port)),
    lambda: uring(),
    lambda: (outside / "there").read_bytes(),
    lambda: (outside / "there").chmod(0o640),
])))
"""


@pytest.mark.skipif(
    landlock_version() < 6 or not can_refuse_sockets(), reason="this kernel holds neither signals nor sockets"
)
def test_native_code_is_held_by_the_kernel(tmp_path: Path) -> None:
    """And what `described` says that it is not held from, it is not."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "there").write_bytes(b"unchanged")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        for listener, address in (
            (named, str(outside / "socket")),
            (abstract, f"\0ectoolkit test {os.getpid()}"),
        ):
            listener.bind(address)
            listener.listen()
        command = [
            sys.executable,
            "-c",
            _TRY,
            str(inside),
            str(outside),
            str(server.getsockname()[1]),
            str(os.getpid()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "yy" + "n" * 19 + "yy\n", done.stderr
    assert sorted(path.name for path in outside.iterdir()) == ["socket", "there"]
    assert (outside / "there").read_bytes() == b"unchanged"


def test_sessions_are_held(rpc: RpcServer) -> None:
    with ect.open_device(rpc.name) as device:
        assert device.identity()["native code there"] == described(landlock_version(), can_refuse_sockets())


FILES = "writing, making and removing files outside its folder"


@pytest.mark.parametrize(
    ("version", "sockets", "text"),
    [
        (0, False, "neither Landlock nor seccomp in this kernel, so native code may do all that its user may"),
        (
            0,
            True,
            f"native code is kept from sockets of any kind (seccomp); not from {FILES}, emptying files there, commands "
            "to devices, signals to other processes, modes, owners and times of files, reading",
        ),
        (
            4,
            False,
            f"native code is kept from {FILES}, emptying files there (Landlock 4); not from commands to devices, "
            "signals to other processes, sockets of any kind, modes, owners and times of files, reading",
        ),
        (
            7,
            True,
            f"native code is kept from {FILES}, emptying files there, commands to devices, signals to other processes, "
            "sockets of any kind (Landlock 7, seccomp); not from modes, owners and times of files, reading",
        ),
    ],
)
def test_what_a_kernel_holds_is_said(version: int, sockets: bool, text: str) -> None:
    assert described(version, sockets) == text


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")
def test_no_session_that_the_kernel_does_not_hold(tmp_path: Path) -> None:
    """Landlock takes 16 layers of rules, and then refuses."""
    program = (
        "from ectoolkit.devices.rpc.confine import confine\nfor _ in range(17): print(confine('.', 1000), flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{described(landlock_version(), can_refuse_sockets())}\n" * 16
    assert done.stderr.splitlines()[-1] == (
        "ectoolkit.errors.DeviceError: a session cannot be held: the kernel could, and did not restrict it (Argument "
        "list too long). No session is opened; look at what else restricts the server"
    )


#: run when it is loaded: three processes, of the session, of a session of their own, and without a parent there
_STARTS = """
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void start(void) {
  for (int hidden = 0; hidden < 3; ++hidden) {
    if (fork() != 0) continue;
    if (hidden > 0) setsid();
    if (hidden > 1 && fork() != 0) _exit(0);
    char name[] = "started-0";
    name[8] += hidden;
    FILE* file = fopen(name, "w");
    fprintf(file, "%d\\n", getpid());
    fclose(file);
    for (;;) pause();
  }
}
"""


@pytest.fixture(scope="module")
def starting(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deploy directory whose library starts processes, and is none of TVM's."""
    folder = tmp_path_factory.mktemp("starting") / "deploy"
    shutil.copytree(deployment.path, folder)
    (folder.parent / "code.c").write_text(_STARTS)
    command = ["gcc", "-shared", "-fPIC", "-o", "code.so", "code.c"]
    subprocess.run(command, cwd=folder.parent, check=True, timeout=60)
    replace_file(folder, "deploy.so", (folder.parent / "code.so").read_bytes())
    return ect.load_deployment(folder)


def test_what_a_session_started_ends_with_it(rpc: RpcServer, deployment: Deployment, starting: Deployment) -> None:
    with ect.open_device(rpc.name) as other, ect.open_device(rpc.name) as device:
        other.load(deployment)
        with pytest.raises(DeviceError):
            device.load(starting)
        started = wait_for(lambda: [int(file.read_text() or 0) for file in rpc.folder.glob("*/started-*")], 3)
        for pid in started:
            os.kill(pid, 0)
        device.close()
        for pid in started:
            wait_for(lambda pid=pid: [1] * (not Path(f"/proc/{pid}").exists()), 1)  # type: ignore[misc]
        # of another client nothing was ended
        assert other.run(deployment).outputs


def wait_for(look: Callable[[], list[int]], count: int) -> list[int]:
    """What is found, once it is so many; not for ever."""
    deadline = time.monotonic() + 10
    while True:
        found = look()
        if len(found) == count and all(found):
            return found
        assert time.monotonic() < deadline, f"{found} after 10 s"
        time.sleep(0.05)


def test_a_session_has_no_terminal(rpc: RpcServer) -> None:
    """Neither the server's streams nor its terminal; but a descriptor of its connection."""
    with ect.open_device(rpc.name):
        [session] = rpc.sessions()
        handles = Path(f"/proc/{session}/fd")
        assert [os.readlink(handles / str(stream)) for stream in range(3)] == [os.devnull] * 3
        fields = Path(f"/proc/{session}/stat").read_text().rpartition(")")[2].split()
        assert (int(fields[3]), int(fields[4])) == (session, 0)  # of its own session, which has no terminal
        sockets = [handle for handle in handles.iterdir() if os.readlink(handle).startswith("socket:")]
        assert len(sockets) == 1
