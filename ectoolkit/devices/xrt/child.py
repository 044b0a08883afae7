"""The process that talks to XRT: ``python -m ectoolkit.devices.xrt.child DESCRIPTOR LOG``.

XRT can end its process or never come back; here it takes nothing with it.  One request at a time, until the other side
closes.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ectoolkit.devices.xrt import messages as m
from ectoolkit.devices.xrt.backend import PENDING, Backend, XrtRefused
from ectoolkit.devices.xrt.c_backend import CBackend
from ectoolkit.devices.xrt.pyxrt_backend import PyxrtBackend

#: a wait is cut into these, so that a timeout is kept whatever XRT makes of it
_SLICE_MS = 100
_LIBRARY = "ECTOOLKIT_XRT_LIBRARY"


class Worker:
    """Answers requests; handles are numbers that it gives out."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._seen = 0
        self._backend: Backend | None = None
        self._kernels: dict[int, Any] = {}
        self._buffers: dict[int, Any] = {}
        self._next = 1
        self._actions: dict[type, Callable[[Any], m.Message]] = {
            m.OpenBoard: self._open_board,
            m.LoadXclbin: self._load_xclbin,
            m.OpenKernel: self._open_kernel,
            m.CloseKernel: self._close_kernel,
            m.Allocate: self._allocate,
            m.Free: self._free,
            m.Write: self._write,
            m.Read: self._read,
            m.Sync: self._sync,
            m.Information: self._information,
            m.Run: self._run,
            m.MeasureBank: self._measure_bank,
        }

    def answer(self, request: Any) -> m.Message:
        """Do what is asked."""
        self._new_log()
        try:
            return self._actions[type(request)](request)
        except XrtRefused as refusal:
            log = self._new_log()
            return m.Failure(str(refusal) or last_error(log), log)

    def _new_log(self) -> str:
        """What XRT logged since the last look."""
        try:
            with self._log.open(errors="replace") as file:
                file.seek(self._seen)
                text = file.read()
                self._seen = file.tell()
        except OSError:
            return ""
        # the first lines of a log tell of XRT's build and of this process
        return text[text.rfind("\n", 0, text.find("[XRT]")) + 1 :] if "[XRT]" in text else ""

    @property
    def _board(self) -> Backend:
        if self._backend is None:
            raise XrtRefused("no board is open")
        return self._backend

    def _keep(self, table: dict[int, Any], thing: Any) -> m.Done:
        number = self._next
        self._next += 1
        table[number] = thing
        return m.Done(number)

    def _open_board(self, request: m.OpenBoard) -> m.Message:
        self._backend = choose_backend(request.backend)
        self._backend.open(request.bdf)
        return m.Done(text=self._backend.name)

    def _load_xclbin(self, request: m.LoadXclbin) -> m.Message:
        self._board.load(request.path)
        return m.Done()

    def _open_kernel(self, request: m.OpenKernel) -> m.Message:
        return self._keep(self._kernels, self._board.open_kernel(request.name, request.exclusive))

    def _close_kernel(self, request: m.CloseKernel) -> m.Message:
        self._board.close_kernel(self._kernels.pop(request.kernel))
        return m.Done()

    def _allocate(self, request: m.Allocate) -> m.Message:
        return self._keep(self._buffers, self._board.allocate(request.size_bytes, request.bank))

    def _free(self, request: m.Free) -> m.Message:
        self._board.free(self._buffers.pop(request.buffer))
        return m.Done()

    def _write(self, request: m.Write) -> m.Message:
        self._board.write(self._buffers[request.buffer], request.data, request.offset)
        return m.Done()

    def _read(self, request: m.Read) -> m.Message:
        return m.Bytes(self._board.read(self._buffers[request.buffer], request.size_bytes, request.offset))

    def _sync(self, request: m.Sync) -> m.Message:
        self._board.sync(self._buffers[request.buffer], request.to_device, request.size_bytes, request.offset)
        return m.Done()

    def _information(self, request: m.Information) -> m.Message:
        return m.Facts(self._board.information())

    def _run(self, request: m.Run) -> m.Message:
        arguments = [
            self._buffers[a.buffer] if isinstance(a, m.BufferArgument) else (a.value, a.size_bytes)
            for a in request.arguments
        ]
        kernel = self._kernels[request.kernel]
        runs = [self._board.prepare(kernel, arguments) for _ in range(min(request.depth, request.repeats))]
        started = [0.0] * len(runs)
        seconds: list[float] = []
        begin = time.perf_counter()
        for index in range(request.repeats + len(runs)):
            slot = index % len(runs)
            if index >= len(runs):
                state = self._wait(runs[slot], request.timeout_s)
                seconds.append(time.perf_counter() - started[slot])
                if state != "completed":
                    return m.Ran(state, seconds, time.perf_counter() - begin)
            if index < request.repeats:
                started[slot] = time.perf_counter()
                self._board.start(runs[slot])
        elapsed_s = time.perf_counter() - begin
        for run in runs:
            self._board.drop(run)
        return m.Ran("completed", seconds, elapsed_s)

    def _wait(self, run: Any, timeout_s: float) -> str:
        end = time.monotonic() + timeout_s
        while True:
            left_ms = (end - time.monotonic()) * 1e3
            # 0 would mean for ever
            state = self._board.wait(run, max(1, min(_SLICE_MS, round(left_ms))))
            if state not in PENDING:
                return state
            if left_ms <= _SLICE_MS:
                return "timeout"

    def _measure_bank(self, request: m.MeasureBank) -> m.Message:
        board = self._board
        buffer = board.allocate(request.size_bytes, request.bank)
        times: dict[bool, list[float]] = {True: [], False: []}
        try:
            board.write(buffer, bytes(request.size_bytes), 0)
            for _ in range(request.repeats):
                for to_device, found in times.items():
                    start = time.perf_counter()
                    board.sync(buffer, to_device, request.size_bytes, 0)
                    found.append(time.perf_counter() - start)
        finally:
            board.free(buffer)
        return m.Rates(times[True], times[False])


def last_error(log: str) -> str:
    """The text of the last error that XRT logged."""
    lines = [line for line in log.splitlines() if "ERROR: " in line]
    return lines[-1].partition("ERROR: ")[2].strip() if lines else "XRT gave no reason"


def choose_backend(wanted: str) -> Backend:
    """pyxrt where it is installed, else the C library."""
    if wanted in ("auto", "pyxrt"):
        try:
            return PyxrtBackend(importlib.import_module("pyxrt"))
        except ImportError as error:
            if wanted == "pyxrt":
                raise XrtRefused(f"pyxrt does not load: {error}") from error
    try:
        return CBackend(os.environ.get(_LIBRARY) or "libxrt_coreutil.so.2")
    except (OSError, AttributeError) as error:
        raise XrtRefused(f"the C library of XRT does not load: {error}") from error


def serve(connection: socket.socket, worker: Worker) -> None:
    """Answer until the other side is gone, however it went."""
    with suppress(EOFError, ConnectionError):
        while True:
            m.send(connection, worker.answer(m.receive_request(connection)))


def main(descriptor: int, log: Path) -> None:
    """Serve one connection; never returns."""
    # Ctrl-C reaches every process of a terminal: the other side decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = 1
    try:
        with socket.socket(fileno=descriptor) as connection:
            serve(connection, Worker(log))
        status = 0
        _remove(log.parent)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        # XRT's own clean-up at exit may hang with a command in flight; the driver cleans up after a process
        os._exit(status)


def _remove(folder: Path) -> None:
    """What the other side does too, unless it was killed."""
    with suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(folder / name)
        os.rmdir(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
