"""Requests to the worker: answers, timeouts, cancelling, and what is left when it dies.

A worker is used by one caller at a time.  It is kept for the next where all went well; after a failure of the process
the next call gets a fresh one.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.errors import WorkerError
from ectoolkit.mera.place import Place
from ectoolkit.mera.process import PythonProcess

#: called again and again while the worker works, with seconds so far and the last line it printed; may raise to cancel
Waiting = Callable[[float, str], None]
#: how often that is, and how soon a cancel is noticed
_POLL_S = 0.1
#: files travel in pieces of this size
_PIECE_BYTES = 8 << 20
#: for one of them, through a slow network too
PIECE_TIMEOUT_S = 300


class Worker:
    """One process with MERA, answering one request at a time.

    Attributes:
        place: where it runs.
        facts: what it said of itself: ``python``, ``host``, ``pid``, ``versions``, ``cpu_flags``.
        start_s: seconds that starting it took.
    """

    def __init__(self, place: Place, *, timeout_s: float = 60.0) -> None:
        """Start it; errors as for `PythonProcess`."""
        from ectoolkit.mera import worker

        start = time.perf_counter()
        self.place = place
        self._process = PythonProcess(place, timeout_s=timeout_s)
        self._timeout_error = require("execnet", feature="Talking to MERA").TimeoutError
        self._channel = self._process.gateway.remote_exec(worker)
        self._last_start = 0
        self.facts: dict[str, Any] = self.call("hello", timeout_s=timeout_s)
        self.start_s = time.perf_counter() - start

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.alive and not self._channel.isclosed()

    @property
    def pid(self) -> int:
        """Process number on its own machine."""
        return int(self.facts["pid"])

    def call(
        self,
        command: str,
        *,
        timeout_s: float | None,
        doing: str = "",
        waiting: Waiting | None = None,
        **arguments: Any,
    ) -> Any:
        """Ask for something and wait.

        Args:
            command: a method of `ectoolkit.mera.worker.Worker`.
            timeout_s: when to give up; None for never.
            doing: what it is doing, for errors: ``"compiling resnet18 for Simulator"``.
            waiting: called meanwhile; where it raises, the worker is killed and the exception goes on.
            **arguments: built-in types.

        Raises:
            WorkerError: it died, hung, lost its connection, or the command failed there; with what it printed.
        """
        doing = doing or command
        start, self._last_start = time.monotonic(), self._process.log_size
        try:
            self._channel.send((command, arguments))
            answer = self._receive(start, timeout_s, doing, waiting)
        except (EOFError, OSError) as error:  # the channel's two ways to say that nobody is there
            raise self._died(doing) from error
        except self._channel.RemoteError as error:
            self.kill()
            raise self._failed(doing, "error", str(error), "") from error
        except BaseException:
            self.kill()
            raise
        if answer[0] == "failed":
            raise self._failed(doing, *answer[1:])
        return answer[1]

    def _receive(self, start: float, timeout_s: float | None, doing: str, waiting: Waiting | None) -> Any:
        while True:
            left = _POLL_S if timeout_s is None else min(_POLL_S, start + timeout_s - time.monotonic())
            if left <= 0:
                self.kill()
                raise WorkerError(
                    f"{self.place}: {doing} did not end within {timeout_s:g} s, so its process was killed. Give it "
                    f"more time with timeout_s=…, or a smaller model{self._process.shown_tail(self._last_start)}",
                    output=self.printed,
                    timed_out=True,
                )
            try:
                return self._channel.receive(left)
            except self._timeout_error:
                if waiting is not None:
                    waiting(time.monotonic() - start, self._process.tail(self._last_start).rpartition("\n")[2])

    def _died(self, doing: str) -> WorkerError:
        end = self._process.describe_end()
        return WorkerError(
            f"{self.place}: {doing} ended its process: {end}. The next call starts a fresh one"
            f"{self._process.shown_tail(self._last_start)}",
            output=self.printed,
        )

    def _failed(self, doing: str, kind: str, message: str, trace: str) -> WorkerError:
        output = "\n".join(filter(None, [self.printed, trace]))
        return WorkerError(f"{self.place}: {doing} failed: {kind}: {message.strip()}", output=output)

    @property
    def printed(self) -> str:
        """What it printed since the last request began."""
        return self._process.log_since(self._last_start)

    # --- files and arrays ----------------------------------------------------------------------------------------

    def send_files(self, area: str, files: Mapping[str, bytes], *, timeout_s: float = PIECE_TIMEOUT_S) -> None:
        """Put files into an emptied area of the worker's folder; `timeout_s` is for each piece."""
        self.call("begin", timeout_s=timeout_s, doing=f"sending {', '.join(files)}", area=area)
        for name, data in files.items():
            for start in range(0, max(len(data), 1), _PIECE_BYTES):
                piece = data[start : start + _PIECE_BYTES]
                self.call("put", timeout_s=timeout_s, doing=f"sending {name}", area=area, name=name, data=piece)

    def fetch_file(self, area: str, name: str, size: int, *, timeout_s: float = PIECE_TIMEOUT_S) -> bytes:
        """A file of an area; `timeout_s` is for each piece."""
        pieces = []
        for offset in range(0, size, _PIECE_BYTES):
            arguments: dict[str, Any] = {"area": area, "name": name, "offset": offset, "size": _PIECE_BYTES}
            pieces.append(self.call("get", timeout_s=timeout_s, doing=f"fetching {name}", **arguments))
        return b"".join(pieces)

    def run(
        self, arrays: Sequence[np.ndarray], *, timeout_s: float | None, waiting: Waiting | None = None
    ) -> tuple[list[np.ndarray], list[dict[str, float]]]:
        """Run what is loaded.

        Args:
            arrays: in the deployment's layouts.
            timeout_s, waiting: as for `call`.

        Returns:
            The outputs, and what MERA's runtime measured for each of its subgraphs.
        """
        given = [{"dtype": a.dtype.str, "shape": list(a.shape), "data": a.tobytes()} for a in arrays]
        answer = self.call("run", timeout_s=timeout_s, doing="running", waiting=waiting, arrays=given)
        outputs = [np.frombuffer(p["data"], p["dtype"]).reshape(p["shape"]).copy() for p in answer["outputs"]]
        return outputs, list(answer["metrics"] or [])

    # --- its end -------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Let it end."""
        self._process.close()


class _Pool:
    """At most one idle worker for each place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Place, Worker] = {}
        self._owner = os.getpid()
        atexit.register(self.close)

    def take(self, place: Place) -> Worker:
        with self._lock:
            if self._owner != os.getpid():  # forked: these processes are the parent's
                self._idle, self._owner = {}, os.getpid()
            worker = self._idle.pop(place, None)
        return worker if worker is not None and worker.alive else Worker(place)

    def give(self, worker: Worker) -> None:
        with self._lock:
            if worker.alive and worker.place not in self._idle:
                self._idle[worker.place] = worker
                return
        worker.close()

    def close(self) -> None:
        with self._lock:
            workers, self._idle = list(self._idle.values()), {}
        if self._owner == os.getpid():
            for worker in workers:
                worker.kill()


_pool = _Pool()


def take_worker(place: Place) -> Worker:
    """A worker for oneself: an idle one, or a new one.  Give it back with `give_worker`."""
    return _pool.take(place)


def give_worker(worker: Worker) -> None:
    """Keep a worker for the next caller, where it is alive."""
    _pool.give(worker)


@contextmanager
def borrowed_worker(place: Place) -> Iterator[Worker]:
    """A worker while the context lasts."""
    worker = take_worker(place)
    try:
        yield worker
    finally:
        give_worker(worker)


def close_idle_workers() -> None:
    """End the processes that wait for a next caller."""
    _pool.close()
