"""A real server of the rpc device, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: ends with this process, however that ends
_SERVE = (
    "from ectoolkit.devices.rpc.confine import end_with_parent; end_with_parent(); "
    "from ectoolkit.cli.main import app; app()"
)


@dataclass
class RpcServer:
    """A server that listens.

    Attributes:
        process: its process.
        port: that it listens at.
        key: that it knows.
        folder: where it keeps what is sent.
        log: what it prints.
    """

    process: subprocess.Popen[bytes]
    port: int
    key: str
    folder: Path
    log: Path

    @property
    def name(self) -> str:
        """What `open_device` takes."""
        return f"rpc://127.0.0.1:{self.port}"

    def sessions(self) -> list[int]:
        """Processes of its sessions."""
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def rpc_server(folder: Path, *options: str, port: int = 0) -> Iterator[RpcServer]:
    """Start one, with a key in a file; it is ended afterwards, if it still runs."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(os.urandom(16).hex())
    command = ["device", "serve", "--port", str(port), "--key-file", str(key), "--folder", str(folder / "kept")]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", _SERVE, *command, *options],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        yield RpcServer(process, _port(process, log), key.read_text(), folder / "kept", log)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """That it listens at, once it does."""
    while process.poll() is None:
        found = re.search(r"^listening at .*:(\d+), process", log.read_text(), re.MULTILINE)
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text()}")
