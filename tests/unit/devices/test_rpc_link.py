"""The near side of a session by itself: when it is taken for lost, where its second connection goes."""

from __future__ import annotations

import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ectoolkit.devices.rpc import door
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import watch as watch_module
from ectoolkit.devices.rpc.watch import Watch


def test_who_did_not_listen_does_not_call_the_server_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process was stopped (Ctrl-Z, a notebook's machine that is busy), and beats wait to be read."""
    monkeypatch.setattr(hs, "SILENCE_S", 0.2)
    control, server = socket.socketpair()
    data, session = socket.socketpair()

    class Stopped:
        """The first look takes long, and what comes meanwhile it does not see."""

        def __init__(self) -> None:
            self._real, self._before = real(), True
            self.register = self._real.register

        def poll(self, ms: float) -> Any:
            if self._before:
                self._before = False
                time.sleep(0.3)
                server.sendall(hs.BEAT)
                return []
            return self._real.poll(ms)

    real = select.poll
    monkeypatch.setattr(watch_module.select, "poll", Stopped)
    with server, session, data:
        watch = Watch(control, data)
        assert not watch.over.wait(0.4)
        assert watch.over.wait(5)  # then it says nothing more
        assert watch.reason == "silent"
        watch.close()


def link_local() -> str:
    """An address of this machine that means nothing without its interface; empty where it has none."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        number, _, _, _, _, interface = line.split()
        if number.startswith("fe80"):
            return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(number))}%{interface}"
    return ""


@pytest.mark.skipif(not link_local(), reason="no interface has a link-local IPv6 address")
def test_the_second_connection_goes_through_the_same_interface() -> None:
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6) as server,
        socket.create_connection((link_local(), server.getsockname()[1]), timeout=5) as control,
        server.accept()[0],
        ThreadPoolExecutor(1) as pool,
    ):
        server.settimeout(5)
        answering = pool.submit(answer, server)
        door._open("rpc", control, bytes(hs.TICKET_BYTES)).close()
        answering.result(5)


def answer(server: socket.socket) -> None:
    with server.accept()[0] as data:
        data.sendall(hs.OPENED)
        assert data.recv(100) == hs.DATA_GREETING + bytes(hs.TICKET_BYTES)
