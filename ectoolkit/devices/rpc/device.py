"""A deployment's library on another machine's CPU."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.base import Device, DeviceInfo
from ectoolkit.devices.profile import Profile
from ectoolkit.devices.rpc import handshake as hs
from ectoolkit.devices.rpc import messages as m
from ectoolkit.devices.rpc.address import parse_address
from ectoolkit.devices.rpc.link import Link
from ectoolkit.devices.rpc.tracker import find_server
from ectoolkit.errors import DeviceError, RemoteError, RemoteRefusedError, RemoteTransferError

#: in `RunResult.metrics` and `Load.own`: milliseconds of the last run, on the server's clock
OWN_TIME = "server_ms"
_WHAT = "compiled library on another machine's CPU"


class RpcDevice(Device):
    """Runs ``deploy.so`` where `ectoolkit device serve` was started.

    Args:
        address: ``//HOST:PORT``, or ``//HOST:PORT/NAME`` for a tracker and the name that servers have there.
        key: the server's; that of the variable ``ECTOOLKIT_RPC_KEY``, or of the file that ``ECTOOLKIT_RPC_KEY_FILE``
            names, where None.
        key_file: a file with it, which nobody else may read.
        threads: worker threads there; one for each CPU where None.
        timeout_s: for one run, or one piece of an upload.
        waiting_s: how long a tracker may look for a free server.

    The device's own time of a run, `OWN_TIME`, is taken there; host times hold the way to it and back.

    Where the session is lost the error says so, and the next call opens another and sends the deployment again.
    """

    takes_address = True
    name = "rpc"

    def __init__(
        self,
        address: str = "",
        *,
        key: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        timeout_s: float = 600.0,
        waiting_s: float = 10.0,
    ) -> None:
        if threads is not None and threads < 1:
            raise DeviceError(f"threads is {threads}, expected at least 1")
        super().__init__(address)
        self.address = parse_address(address)
        self._key, self._key_file = key, key_file
        self._threads, self._timeout_s, self._waiting_s = threads, timeout_s, waiting_s
        self._link: Link | None = None
        #: the session that has what is loaded
        self._holder: Link | None = None
        self._facts: m.Facts | None = None

    @classmethod
    def discover(cls) -> list[DeviceInfo]:
        reason = (
            "servers are not looked for: name one as rpc://HOST:PORT. Start it on the other machine with `ectoolkit "
            "device serve`, and give its key in ECTOOLKIT_RPC_KEY or with open_device(..., key=...)"
        )
        return [DeviceInfo("rpc://HOST:PORT", _WHAT, False, reason)]

    def info(self) -> DeviceInfo:
        """Facts, without touching the network; what the far side said of itself where it was open."""
        if self._facts is None:
            return DeviceInfo(self.name, _WHAT, True)
        far = self._facts
        what = f"compiled library on {far.host}, {far.machine}, {far.cpus} CPUs, TVM {far.tvm}"
        return DeviceInfo(self.name, what, True)

    def cancel(self) -> None:
        """Let the call that waits, in another thread, end now, with `Cancelled`."""
        link = self._link
        if link is not None:
            link.cancel()

    _interrupt = cancel

    def identity(self) -> Mapping[str, str]:
        """See `Device.identity`; as the server tells it."""
        far = self._facts
        if far is None:
            return super().identity()
        return {**super().identity(), "ectoolkit there": far.ectoolkit, "native code there": far.held}

    def _open(self) -> None:
        self._connected()

    def _connected(self) -> Link:
        """The session; a new one where there is none."""
        if self._link is not None and self._link.alive:
            return self._link
        self._close()
        key = hs.find_key(self._key, self._key_file)
        if key is None:
            raise RemoteRefusedError(
                f"{self.name} needs the key that `ectoolkit device serve` printed there: open_device({self.name!r}, "
                f"key=...), or the variable {hs.KEY_VARIABLE} or {hs.KEY_FILE_VARIABLE}"
            )
        server = find_server(self.address, self._waiting_s) if self.address.name else self.address
        self._link = link = Link(self.name, server, key)
        self._facts = link.facts
        return link

    def _close(self) -> None:
        link, self._link, self._holder = self._link, None, None
        if link is not None:
            link.close()

    def _check(self, deployment: Deployment) -> None:
        if deployment.manifest.target != "cpu":
            raise DeviceError(
                f"{deployment.path} was built for {deployment.manifest.target}; {self.name} runs target 'cpu'"
            )

    def _load(self, deployment: Deployment) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        self._send(deployment)
        shapes = [tensor.shape for tensor in deployment.manifest.outputs]
        sizes = [4 * math.prod(shape) for shape in shapes]
        doing = f"run {deployment.manifest.name}"

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            link = self._ready(deployment)
            request = m.Run([m.view_of(array) for array in arrays])
            ran = self._ask(link, deployment, request, doing, most_bytes=sum(sizes))
            found = [len(data) for data in ran.arrays]
            if found != sizes:
                raise RemoteError(f"{self.name} answered outputs of {found} bytes, expected {sizes}; do not trust it")
            self._metrics = {OWN_TIME: ran.seconds * 1e3}
            return [np.frombuffer(a, "<f4").reshape(s).copy() for a, s in zip(ran.arrays, shapes, strict=True)]

        return run

    def _ready(self, deployment: Deployment) -> Link:
        """A session that has the deployment loaded."""
        link = self._connected()
        return link if link is self._holder else self._send(deployment)

    def _send(self, deployment: Deployment) -> Link:
        """Upload a deploy directory, let it be checked there, and load it; what was loaded there is gone.

        After a session was lost that may be long after the directory was opened: sent is what was opened, or nothing.
        """
        link, self._holder = self._connected(), None
        self._ask(link, deployment, m.Begin(deployment.manifest.to_json()), "take a manifest")
        for name in deployment.manifest.files:
            for data in _pieces(memoryview(deployment.read_file(name))):
                self._ask(link, deployment, m.Put(name, data), f"take {name}")
        try:
            self._ask(link, deployment, m.Load(self._threads), f"load {deployment.manifest.name}")
        except RemoteTransferError as error:
            raise RemoteTransferError(
                f"{deployment.path} did not arrive whole. {error}; the copy here is intact, so something on the way "
                "changed it. Try again; where it happens again, use a tunnel: ssh -L PORT:127.0.0.1:PORT HOST"
            ) from error
        self._holder = link
        return link

    def _ask(self, link: Link, deployment: Deployment, request: m.Message, doing: str, **limits: int) -> Any:
        try:
            return link.ask(request, doing, self._timeout_s, **limits)
        except DeviceError as error:
            text = str(error).replace(m.HERE, str(deployment.path))
            raise (error if text == str(error) else type(error)(text)) from error.__cause__

    def profile(self, deployment: Deployment, *, runs: int = 20) -> Profile:
        """See `Device.profile`; all of it is measured there."""
        with self._one_at_a_time:
            self.load(deployment)
            link = self._ready(deployment)
            doing = f"time the layers of {deployment.manifest.name}"
            found = self._ask(link, deployment, m.Layers(runs), doing)
            return replace(found.profile, device=self.name)


def _pieces(data: memoryview) -> Iterator[memoryview]:
    """Of a file, the first one though it be empty."""
    for start in range(0, max(len(data), 1), m.CHUNK_BYTES):
        yield data[start : start + m.CHUNK_BYTES]
