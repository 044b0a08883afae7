"""``ectoolkit device serve``: the key, the address, and what it says of them before it listens."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ectoolkit.cli.main import app
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc.confine import described
from ectoolkit.devices.rpc.own_folder import PREFIX, own_folder


class Recorded:
    """In place of a server: only keeps what it was asked for."""

    asked: dict[str, Any]

    def __init__(self, key: str, **asked: Any) -> None:
        type(self).asked = {"key": key, **asked}
        self.port = asked["port"]

    def serve(self) -> None:
        """Over at once."""


RISK = "Whoever knows the key can run any program here as this user.\n"
HELD = f"{described(6, True)}.\n"


def serve(monkeypatch: pytest.MonkeyPatch, *options: str, version: int = 6) -> tuple[str, str]:
    """What the command prints, on both streams."""
    import signal

    monkeypatch.setattr("ectoolkit.devices.rpc.server.Server", Recorded)
    monkeypatch.setattr("ectoolkit.devices.rpc.confine.landlock_version", lambda: version)
    monkeypatch.setattr("ectoolkit.devices.rpc.sockets.can_refuse_sockets", lambda: version > 0)
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    done = CliRunner().invoke(app, ["device", "serve", *options])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_by_default_the_loopback_and_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (hs.KEY_VARIABLE, hs.KEY_FILE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    keys = set()
    for _ in range(2):
        out, err = serve(monkeypatch)
        key = Recorded.asked["key"]
        assert out == f"key: {key}\nlistening at 127.0.0.1:9190, process {os.getpid()}\nstopped\n"
        assert err == RISK + HELD
        assert Recorded.asked["host"] == "127.0.0.1"
        assert len(key) == 32
        keys.add(key)
    assert len(keys) == 2


def test_a_given_key_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hs.KEY_VARIABLE, "of the environment")
    out, err = serve(monkeypatch, "--limit-mb", "7")
    assert (Recorded.asked["key"], Recorded.asked["limit_bytes"]) == ("of the environment", 7_000_000)
    assert out == f"listening at 127.0.0.1:9190, process {os.getpid()}\nstopped\n"
    assert "of the environment" not in err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_a_public_address_is_said(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    _, err = serve(monkeypatch, "--host", host, "--key", "a key of this test")
    assert (
        err
        == RISK
        + (
            f"warning: {host} can be reached from other machines, and what is sent is not encrypted. Listen at "
            "127.0.0.1 and come through ssh instead, unless everybody on this network is trusted.\n"
        )
        + HELD
    )


def test_a_kernel_that_cannot_hold_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = serve(monkeypatch, "--key", "a key of this test", version=0)
    assert (
        err
        == RISK + "warning: neither Landlock nor seccomp in this kernel, so native code may do all that its user may.\n"
    )


def test_a_killed_server_leaves_nothing_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one removes its folder, and none of a server that lives."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import tempfile, time, sys; from ectoolkit.devices.rpc.own_folder import own_folder\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "with own_folder() as own:\n    (own / 'session-1').mkdir(); print(own, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        left = Path(server.stdout.readline().strip())
        strange = tmp_path / f"{PREFIX}somebody's"
        strange.mkdir()
        with own_folder() as own:
            assert own.is_dir()
            assert (left / "session-1").is_dir()
        assert not own.exists()
        server.kill()
        server.wait()
        assert left.is_dir()
        with own_folder() as own:
            assert sorted(tmp_path.iterdir()) == sorted([own, strange])


def test_what_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ectoolkit.devices.rpc.server.Server", Recorded)
    for options, said in (
        (
            ["--key", "a key of this test", "--key-file", "key.txt"],
            "a key and a key file, key.txt, are both given. Give one of them",
        ),
        (
            ["--tracker", "192.0.2.1:9191"],
            "the tracker at 192.0.2.1:9191 would send clients to 127.0.0.1, which is their own machine. Add --host "
            "ADDRESS, one of this machine's that they reach, or leave out --tracker",
        ),
    ):
        done = CliRunner().invoke(app, ["device", "serve", *options])
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {said}\n")
