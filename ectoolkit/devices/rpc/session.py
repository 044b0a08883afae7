"""The far side of one client: takes a deploy directory, checks every byte, runs it on the cpu device.

It is a process of its own, whose folder is removed when it ends.  It can be asked for `messages` alone.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.deployment import Deployment, load_deployment
from ectoolkit.core.manifest import MANIFEST, Manifest, read_manifest
from ectoolkit.devices.cpu import CpuDevice
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import messages as m
from ectoolkit.devices.rpc.channel import OVERHEAD_BYTES, Channel
from ectoolkit.devices.rpc.confine import confine, end_with_parent
from ectoolkit.errors import (
    DeployFormatError,
    DeviceStateError,
    EctoolkitError,
    RemoteRefusedError,
    RemoteTransferError,
)

#: beside a deployment's files, TVM's are copied once to be loaded
_COPIES = 2


class Session:
    """Answers one client.

    Args:
        folder: empty, and removed afterwards by somebody else.
        limit_bytes: of a deploy directory.
        held: what the kernel keeps this process from, in words.
    """

    def __init__(self, folder: Path, limit_bytes: int, held: str) -> None:
        self._folder, self._limit, self._held = folder, limit_bytes, held
        self._deploy = folder / "deploy"
        self._manifest: Manifest | None = None
        self._deployment: Deployment | None = None
        self._device: CpuDevice | None = None
        self._actions: dict[type, Callable[[Any], m.Message]] = {
            m.Describe: self._describe,
            m.Begin: self._begin,
            m.Put: self._put,
            m.Load: self._load,
            m.Run: self._run,
            m.Layers: self._layers,
        }

    def answer(self, data: bytes | memoryview) -> m.Message:
        """A request's reply; never raises."""
        try:
            request = m.decode_request(data)
            return self._actions[type(request)](request)
        except Exception as error:  # whatever it is, the other side must hear of it
            known = isinstance(error, EctoolkitError)
            text = (str(error) if known else f"{type(error).__name__}: {error}").replace(str(self._deploy), m.HERE)
            # a name of a file may be no text
            text = text.encode(errors="backslashreplace").decode()
            return m.Failure(type(error).__name__ if known else "RemoteError", text)

    def _describe(self, request: m.Describe) -> m.Message:
        return m.Facts(
            platform.node(),
            platform.machine(),
            len(os.sched_getaffinity(0)),
            importlib.metadata.version("ectoolkit"),
            require("tvm", feature="The session").__version__,
            self._limit,
            self._held,
        )

    def _begin(self, request: m.Begin) -> m.Message:
        self._close()
        self._deploy.mkdir(mode=0o700)
        self._write(MANIFEST, request.manifest)
        manifest = read_manifest(self._deploy)  # refuses names that are no plain file names
        size = sum(record.size_bytes for record in manifest.files.values()) + len(request.manifest)
        if size > self._limit or min((r.size_bytes for r in manifest.files.values()), default=0) < 0:
            raise RemoteRefusedError(
                f"{m.HERE} has {size} bytes, and the server takes {self._limit}. Start it with a larger --limit-mb"
            )
        self._manifest = manifest
        return m.Done()

    def _close(self) -> None:
        """Forget what was there."""
        if self._device is not None:
            self._device.close()
        self._manifest = self._deployment = self._device = None
        if self._deploy.is_symlink() or self._deploy.is_file():
            self._deploy.unlink()
        elif self._deploy.is_dir():
            for path in self._deploy.iterdir():
                path.unlink()
            self._deploy.rmdir()

    def _put(self, request: m.Put) -> m.Message:
        record = None if self._manifest is None else self._manifest.files.get(request.name)
        if record is None:
            raise RemoteRefusedError(f"{request.name!r} is not in the manifest that was sent, so it is not taken")
        self._write(request.name, request.data, record.size_bytes)
        return m.Done()

    def _write(self, name: str, data: bytes | memoryview, most: int | None = None) -> None:
        """Append to a file of the directory, following no link."""
        folder = os.open(self._deploy, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "ab") as file:
                if most is not None and os.fstat(file.fileno()).st_size + len(data) > most:
                    raise RemoteRefusedError(f"{name} is longer than the {most} bytes that its manifest states")
                file.write(data)
        finally:
            os.close(folder)

    def _load(self, request: m.Load) -> m.Message:
        if self._manifest is None:
            raise DeviceStateError("nothing was sent to be loaded")
        try:
            deployment = load_deployment(self._deploy)
        except DeployFormatError as error:
            raise RemoteTransferError(str(error)) from error
        # who knows the key may run code here, and what was sent is what they have
        deployment.let_run(remember=False)
        cpus = len(os.sched_getaffinity(0))
        device = CpuDevice(None if request.threads is None else min(request.threads, cpus)).__enter__()
        device.load(deployment)
        self._deployment, self._device = deployment, device
        return m.Done()

    def _loaded(self) -> tuple[CpuDevice, Deployment]:
        if self._device is None or self._deployment is None:
            raise DeviceStateError("nothing is loaded")
        return self._device, self._deployment

    def _run(self, request: m.Run) -> m.Message:
        device, deployment = self._loaded()
        arrays = [
            np.frombuffer(data, "<f4").reshape(tensor.shape)
            for data, tensor in zip(request.arrays, deployment.manifest.inputs, strict=True)
        ]
        start = time.perf_counter()
        outputs = device.run_arrays(arrays)
        seconds = time.perf_counter() - start
        return m.Ran([m.view_of(output) for output in outputs], seconds)

    def _layers(self, request: m.Layers) -> m.Message:
        device, deployment = self._loaded()
        return m.Profiled(device.profile(deployment, runs=request.runs))


def serve(connection: socket.socket, folder: Path, limit_bytes: int) -> None:
    """Answer one client until it closes; the caller ends the process.

    Raises:
        DeviceError: the kernel has Landlock, and yet does not hold the session.
        OSError: the connection broke.
    """
    end_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the server's own handlers
        signal.signal(number, signal.SIG_DFL)
    os.chdir(folder)
    tempfile.tempdir = str(folder)  # where the cpu device copies a library to
    nothing = os.open(os.devnull, os.O_RDWR)  # while it may be
    held = confine(folder, _COPIES * limit_bytes)
    session = Session(folder, limit_bytes, held)
    # from here on native code may come, which has no part in the server's terminal or its input
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)
    connection.sendall(hs.OPENED)
    converse(Channel(connection), session.answer, limit_bytes)


def converse(channel: Channel, answer: Callable[[memoryview], m.Message], limit_bytes: int) -> None:
    """Answer until the client closes, or sends a request that is larger than a deploy directory may be."""
    most = limit_bytes + OVERHEAD_BYTES
    while (size := channel.coming()) is not None:
        if size <= most:
            reply = answer(channel.receive(size))
        else:
            reply = m.Failure(
                "RemoteRefusedError",
                f"a request has {size} bytes, and the server takes {most}. Start it with a larger --limit-mb",
            )
        channel.send(m.encode(reply))
        if size > most:
            return  # it is not read, so there is no way to the next
