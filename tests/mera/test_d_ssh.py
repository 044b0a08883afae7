"""Through ssh, to this machine's own sshd on a port of its own: the same numbers, and a lost connection."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit.errors import WorkerError
from ectoolkit.mera.place import launcher, parse_place
from ectoolkit.mera.session import Worker

pytestmark = [pytest.mark.mera, pytest.mark.timeout(300)]

CASE = Path(__file__).parents[1] / "golden" / "cases" / "add_lhs_relu"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A client configuration for the host ``loopback``."""
    sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("no sshd here (apt install openssh-server)")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)  # where it goes to when run by root
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        f"StrictModes no\nPidFile {folder / 'pid'}\nUsePAM no\nPermitRootLogin yes\n"
    )
    (folder / "config").write_text(
        f"Host loopback\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {folder / 'user'}\n UserKnownHostsFile {folder / 'known'}\n"
        " StrictHostKeyChecking no\n LogLevel ERROR\n"
    )
    with subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL) as process:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield folder / "config"
        process.terminate()


def test_same_results(server: Path, mera: Any, table: list[str], tmp_path: Path) -> None:
    place = f"ssh=loopback//python={launcher(mera.folder)}//ssh_config={server}"
    x = np.load(CASE / "input.npy")
    graph = ect.import_torchscript(CASE / "model.pt", x.shape)
    found = []
    for environment in (place, None):
        out = tmp_path / str(len(found))
        deployment = ect.build(graph, out, "mera:InterpreterHw", reference_input=x, environment=environment)
        with ect.open_device("mera:InterpreterHw", environment=environment) as device:
            found.append(device.run(deployment).outputs[0])
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], ect.interpret(graph, x)[0])
    table.append("ssh: a loopback sshd gives the same results")


def test_a_lost_connection(server: Path, mera: Any) -> None:
    place = parse_place(f"ssh=loopback//python={launcher(mera.folder)}//ssh_config={server}")
    worker = Worker(place)
    worker._process._process.terminate()  # the ssh client, as a network that is gone ends it
    with pytest.raises(WorkerError) as caught:
        worker.call("hello", timeout_s=30)
    assert "the connection to loopback failed or was lost" in str(caught.value)


def test_nobody_there(mera: Any) -> None:
    with pytest.raises(WorkerError) as caught:
        Worker(parse_place(f"ssh=-p 1 127.0.0.1//python={launcher(mera.folder)}"))
    assert "the connection to -p 1 127.0.0.1 failed or was lost" in str(caught.value)
    assert "Connection refused" in str(caught.value)
