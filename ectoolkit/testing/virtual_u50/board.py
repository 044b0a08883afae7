"""Starts and stops the virtual board, and breaks it on request."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ectoolkit.devices.xrt.host import VARIABLE, Host
from ectoolkit.errors import DeviceError, MissingDependencyError
from ectoolkit.testing.virtual_u50 import compile as compiler
from ectoolkit.testing.virtual_u50.facts import NOTICE
from ectoolkit.testing.virtual_u50.faults import Fault
from ectoolkit.testing.virtual_u50.kernels import KERNELS
from ectoolkit.testing.virtual_u50.server import SOCKET
from ectoolkit.testing.virtual_u50.tree import write_tree
from ectoolkit.testing.virtual_u50.wire import ANSWER, REQUEST, RequestKind, receive
from ectoolkit.testing.virtual_u50.xclbin_file import write_xclbin

_SECONDS = 30.0


class VirtualBoard:
    """A running virtual board.

    Attributes:
        folder: its files; ``root`` in it stands for ``/``.
        xclbin: the file with its kernels: ``vector_add``, ``scale``, ``conv_i8``, ``gemm_i8``, ``ectoolkit_graph``.
        host: how programs find it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        library = compiler.driver_library()
        write_tree(self.root)
        self.xclbin = write_xclbin(folder / "virtual_u50.xclbin", [spec for spec, _ in KERNELS.values()])
        environment = {
            "LD_PRELOAD": str(library),
            "ECTOOLKIT_U50_ROOT": str(self.root),
            "ECTOOLKIT_U50_SOCKET": str(folder / SOCKET),
        }
        self.host = Host(str(self.root), environment, str(self.xclbin), NOTICE)
        self.host_file = folder / "host.json"
        self.host.save(self.host_file)
        self._process = _start(folder)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.settimeout(_SECONDS)
        self._control.connect(str(folder / SOCKET))

    def inject(self, fault: Fault | str, times: int = 1) -> None:
        """Let the next `times` requests that can fail so, fail.

        Raises:
            DeviceError: there is no such fault.
        """
        if fault not in list(Fault):
            raise DeviceError(f"the virtual board has no fault {str(fault)!r}; it has {', '.join(Fault)}")
        self._ask({"do": "inject", "fault": str(fault), "times": times})

    def heal(self) -> None:
        """Forget the faults that wait."""
        self._ask({"do": "heal"})

    def delay(self, seconds: float) -> None:
        """Let each kernel take that much longer."""
        self._ask({"do": "delay", "seconds": seconds})

    def summary(self) -> dict[str, Any]:
        """Who is connected (``clients``), what is allocated (``used_bytes``), how often each kernel ran (``runs``)."""
        return self._ask({"do": "tell"})

    def settle(self, clients: int = 0) -> dict[str, Any]:
        """The summary when no more than that many processes are connected: the driver notices an end a moment later.

        Raises:
            DeviceError: more stay connected.
        """
        end = time.monotonic() + _SECONDS
        while (found := self.summary())["clients"] > clients:
            if time.monotonic() > end:
                raise DeviceError(f"{found['clients']} processes stay connected to the virtual board, not {clients}")
            time.sleep(0.005)
        return found

    def _ask(self, what: dict[str, object]) -> dict[str, Any]:
        data = json.dumps(what).encode()
        self._control.sendall(REQUEST.pack(RequestKind.CONTROL, len(data), 0, 0, 0) + data)
        _, _, length = ANSWER.unpack(receive(self._control, ANSWER.size))
        answer: dict[str, Any] = json.loads(receive(self._control, length))
        return answer

    def close(self) -> None:
        """Stop the board's process."""
        self._control.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the board's process and wait until it listens."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ectoolkit.testing.virtual_u50.server", str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            process_group=0,
        )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.kill()
        process.wait()
        text = (folder / "server.log").read_text(errors="replace").strip()
        raise DeviceError(f"the virtual board's process did not start: {text}")
    return process


@contextmanager
def virtual_u50() -> Iterator[VirtualBoard]:
    """A virtual board for this process and those it starts, until the block ends.

        with virtual_u50() as board, ect.open_device("xrt:0") as device:
            device.run(deployment)

    Raises:
        MissingDependencyError: XRT's library, its headers or gcc are not installed.
    """
    lacking = compiler.missing()
    if lacking is not None:
        raise MissingDependencyError(f"The virtual U50 cannot start: {lacking}")
    before = os.environ.get(VARIABLE)
    # sockets have short paths only
    folder = Path(tempfile.mkdtemp(prefix="ect-u50-"))
    try:
        board = VirtualBoard(folder)
        os.environ[VARIABLE] = str(board.host_file)
        try:
            yield board
        finally:
            os.environ.pop(VARIABLE, None)
            if before is not None:
                os.environ[VARIABLE] = before
            board.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
