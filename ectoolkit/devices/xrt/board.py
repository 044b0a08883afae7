"""A board for programs: load an xclbin, make buffers, run kernels.

    with Board("0") as board:
        board.load("vector_add.xclbin")
        a, b, c = (board.buffer("vector_add", name, 4096) for name in "abc")
        a.write(x); a.to_device()
        ...
        board.run("vector_add", a, b, c, 1024, timeout_s=1)
        c.from_device(); y = c.read("int32", 1024)

A buffer has two halves, the host's and the device's; only `Buffer.to_device` and `Buffer.from_device` copy between
them.  All of XRT is in a child process: what hangs or crashes there ends as an exception here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ectoolkit.devices.xrt import messages as m
from ectoolkit.devices.xrt.arguments import check_arguments
from ectoolkit.devices.xrt.buffer import Buffer
from ectoolkit.devices.xrt.discovery import BoardFacts, find_board, usable_board
from ectoolkit.devices.xrt.health import Health, read_health
from ectoolkit.devices.xrt.host import current_host
from ectoolkit.devices.xrt.process import XrtProcess
from ectoolkit.devices.xrt.refusals import explain
from ectoolkit.devices.xrt.xclbin import Kernel, Memory, Xclbin, read_xclbin
from ectoolkit.devices.xrt.xrt_sensors import fill
from ectoolkit.errors import (
    BoardMemoryError,
    BoardPlatformError,
    DeviceError,
    DeviceRunError,
    DeviceStateError,
    DeviceTimeoutError,
    XclbinError,
)

_BACKENDS = ("auto", "pyxrt", "ctypes")
#: a large xclbin takes seconds to reach the FPGA
_LOAD_S, _CALL_S = 120.0, 20.0


@dataclass(frozen=True)
class RunTimes:
    """Host seconds of each run, from its start to the notice of its end, and of all together."""

    seconds: tuple[float, ...]
    elapsed_s: float


class Board:
    """One board; use it as a context manager.

    Args:
        address: its number or PCIe address: ``"0"``, ``"0000:17:00.1"``.
        backend: ``"pyxrt"``, ``"ctypes"``, or ``"auto"`` for the first that is there.
    """

    def __init__(self, address: str = "0", *, backend: str = "auto") -> None:
        if backend not in _BACKENDS:
            raise DeviceError(f"backend {backend!r} is unknown; there are {', '.join(_BACKENDS)}")
        self.address = address
        self.name = f"xrt:{address}"
        self.backend = backend
        self._wanted = backend
        self._process: XrtProcess | None = None
        self._facts: BoardFacts | None = None
        self._xclbin: Xclbin | None = None
        self._kernels: dict[tuple[str, bool], int] = {}

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the board, in a child process of its own.

        Raises:
            DeviceNotFoundError: there is none.
            DeviceStateError: it cannot be used; says why.
            BoardError: XRT refuses; a subclass says why.
        """
        if self._process is not None and self._process.alive:
            return
        host = current_host()
        self._facts = usable_board(self.address, host)
        self._xclbin, self._kernels = None, {}
        self._process = XrtProcess(host.environment)
        try:
            self.backend = self._ask(m.OpenBoard(self._facts.bdf, self._wanted), "be opened").text
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the board and all that was made on it; twice is harmless."""
        process, self._process, self._xclbin, self._kernels = self._process, None, None, {}
        if process is not None:
            process.close()

    def cancel(self) -> None:
        """End a call that waits in another thread; the board is closed with it."""
        if self._process is not None:
            self._process.cancel()

    @property
    def facts(self) -> BoardFacts:
        """What the system tells of it."""
        return self._facts or find_board(self.address)

    @property
    def xclbin(self) -> Xclbin:
        """What is loaded.

        Raises:
            DeviceStateError: nothing is.
        """
        if self._xclbin is None:
            raise DeviceStateError(f"nothing is loaded on {self.name}; call board.load(path_of_xclbin) first")
        return self._xclbin

    def health(self) -> Health:
        """Temperatures, power, clocks, memory in use; the board need not be open.

        What the driver's files do not tell is asked of XRT, where the board is open through pyxrt.
        """
        health = read_health(self.address)
        unknown = any(reading.value is None for reading in health.readings)
        if not unknown or self._process is None or not self._process.alive:
            return health
        return fill(health, self.information())

    def information(self) -> dict[str, str]:
        """What XRT itself says of the board, by topic, as JSON text; through pyxrt only, empty else."""
        topics: dict[str, str] = self._ask(m.Information(), "tell about itself").topics
        return topics

    def load(self, path: str | os.PathLike[str]) -> Xclbin:
        """Load an xclbin, checked first.

        Raises:
            XclbinError: it is damaged, or no xclbin.
            BoardPlatformError: it is for another shell.
            BoardBusyError, BoardHungError, BoardSignatureError: the board refuses it.
        """
        xclbin = read_xclbin(path)
        shell = self.facts.platform
        if shell and xclbin.platform != shell:
            raise BoardPlatformError(
                f"{xclbin.path} was linked for the shell {xclbin.platform}, and {self.name} runs {shell}. Link it for "
                f"that one (v++ --platform {shell}), or flash the other: sudo xbmgmt program --base --device "
                f"{self.facts.bdf}"
            )
        self._ask(m.LoadXclbin(str(xclbin.path)), f"load {Path(path).name}", _LOAD_S)
        self._xclbin, self._kernels = xclbin, {}
        return xclbin

    def buffer(self, kernel: str, argument: str, size_bytes: int) -> Buffer:
        """A buffer in the bank of a kernel's argument.

        Raises:
            XclbinError: there is no such kernel or argument.
            BoardMemoryError: the bank has no room.
        """
        found = self.xclbin.kernel(kernel)
        wanted = next((each for each in found.arguments if each.name == argument), None)
        if wanted is None or wanted.kind != "buffer":
            there = ", ".join(each.name for each in found.arguments if each.kind == "buffer")
            raise XclbinError(f"kernel {found.name} has no buffer argument {argument!r}; it has {there}")
        return self.buffer_in(wanted.banks[0] if wanted.banks else 0, size_bytes)

    def buffer_in(self, bank: int, size_bytes: int) -> Buffer:
        """A buffer in a bank, by its index in the xclbin's memories.

        Raises:
            BoardMemoryError: there is no such bank, it is not wired, or it has no room.
        """
        memory = self._memory(bank)
        if not 0 < size_bytes <= memory.size_bytes:
            raise BoardMemoryError(
                f"a buffer of {size_bytes} bytes does not fit {memory.name}, which has {memory.size_bytes} bytes"
            )
        reply = self._ask(m.Allocate(size_bytes, bank), f"make a buffer of {size_bytes} bytes in {memory.name}")
        return Buffer(self, reply.value, size_bytes, bank)

    def _memory(self, bank: int) -> Memory:
        memories = self.xclbin.memories
        if not (0 <= bank < len(memories) and memories[bank].used):
            used = ", ".join(f"{memory.index} ({memory.name})" for memory in memories if memory.used)
            raise BoardMemoryError(f"{self.name} has no memory bank {bank} in this xclbin; it has {used}")
        return memories[bank]

    def run(
        self, kernel: str, *arguments: Buffer | int | float, timeout_s: float = 10.0, exclusive: bool = False
    ) -> float:
        """Run a kernel once and wait for it.

        Args:
            kernel: name; ``"conv:{conv_1}"`` chooses a compute unit.
            *arguments: buffers and numbers, as the kernel takes them.
            timeout_s: how long it may take; after that the board is closed, for a command may still be in flight.
            exclusive: whether no other process may use the compute unit meanwhile, from this run on until `close`.

        Returns:
            Seconds from start to end, on the host's clock.

        Raises:
            KernelArgumentError: the arguments do not fit.
            DeviceTimeoutError: it did not end in time.
            DeviceRunError: it ended in error.
            Cancelled: `cancel` was called.
        """
        return self.run_many(kernel, arguments, 1, timeout_s=timeout_s, exclusive=exclusive).seconds[0]

    def run_many(
        self,
        kernel: str,
        arguments: tuple[Buffer | int | float, ...],
        repeats: int,
        *,
        depth: int = 1,
        timeout_s: float = 10.0,
        exclusive: bool = False,
    ) -> RunTimes:
        """Run a kernel `repeats` times with `depth` runs in flight.  Errors as for `run`."""
        if repeats < 1 or depth < 1 or timeout_s <= 0:
            raise DeviceError(
                f"repeats={repeats}, depth={depth}, timeout_s={timeout_s}: expected at least one run, one in flight "
                "and a time above 0"
            )
        found = self.xclbin.kernel(kernel)
        sent = check_arguments(self, found, arguments)
        handle = self._kernel(kernel, exclusive)
        try:
            request = m.Run(handle, sent, timeout_s, repeats, depth)
            reply = self._ask(request, f"run kernel {kernel}", timeout_s * repeats)
        except DeviceTimeoutError:
            raise self._hung(kernel, timeout_s) from None
        if reply.state == "timeout":
            raise self._hung(kernel, timeout_s)
        if reply.state != "completed":
            raise DeviceRunError(
                f"kernel {kernel} ended in state {reply.state!r} on {self.name}, expected 'completed'; its results are "
                f"not valid. Look at: dmesg | grep xocl, and at the firewall: xbutil examine --device {self.facts.bdf} "
                "--report firewall"
            )
        return RunTimes(tuple(reply.seconds), reply.elapsed_s)

    def _hung(self, kernel: str, timeout_s: float) -> DeviceTimeoutError:
        self.close()
        return DeviceTimeoutError(
            f"kernel {kernel} did not end within {timeout_s:g} s on {self.name}. The run is dropped and the board "
            "closed: open it again. If it hangs again, give it longer (timeout_s), or reset the board: sudo xbutil "
            f"reset --device {self.facts.bdf}"
        )

    def kernel(self, name: str) -> Kernel:
        """What the loaded xclbin says of a kernel.

        Raises:
            XclbinError: it has none of that name.
        """
        return self.xclbin.kernel(name)

    def _kernel(self, name: str, exclusive: bool) -> int:
        key = (name, exclusive)
        if key not in self._kernels:
            other = self._kernels.pop((name, not exclusive), None)
            if other is not None:
                self._ask(m.CloseKernel(other), f"close kernel {name}")
            mode = "exclusively" if exclusive else "shared"
            self._kernels[key] = self._ask(m.OpenKernel(name, exclusive), f"open kernel {name} {mode}").value
        return self._kernels[key]

    def _ask(self, request: m.Message, doing: str, timeout_s: float = _CALL_S) -> Any:
        """Ask the child; its refusal becomes an exception."""
        process = self._process  # another thread may close the board meanwhile
        if process is None or not process.alive:
            raise DeviceStateError(f"{self.name} is not open; use it as `with Board({self.address!r}) as board:`")
        reply = process.ask(request, doing, timeout_s)
        if isinstance(reply, m.Failure):
            raise explain(doing, self.name, self.facts.bdf, reply.raised, reply.log)
        return reply
