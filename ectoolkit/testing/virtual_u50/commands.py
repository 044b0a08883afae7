"""Runs the commands that arrive: one compute unit after another, in a thread of its own."""

from __future__ import annotations

import queue
import socket
import struct
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ectoolkit.testing.virtual_u50.faults import Fault
from ectoolkit.testing.virtual_u50.kernels import KERNELS
from ectoolkit.testing.virtual_u50.meter import PowerMeter
from ectoolkit.testing.virtual_u50.state import BoardState
from ectoolkit.testing.virtual_u50.wire import COMPLETION, CommandState
from ectoolkit.testing.virtual_u50.xclbin_file import KernelSpec

_START_UNIT = 0


@dataclass
class Command:
    """A command buffer's content, where to say that it ended, and the handle to say it of."""

    data: bytes
    handle: int
    events: socket.socket


class CommandQueue:
    """The board's scheduler."""

    def __init__(self, state: BoardState) -> None:
        self._state = state
        self._waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.delay_s = 0.0
        self.meter = PowerMeter(state.root)
        threading.Thread(target=self._work, name="compute units", daemon=True).start()

    def put(self, command: Command) -> None:
        """Run a command when those before it have ended."""
        self._waiting.put(command)

    def _work(self) -> None:
        while True:
            command = self._waiting.get()
            if self._state.take(Fault.HANG):
                continue  # it never ends; the client gives up, and the driver drops its commands with it
            self.meter.start()
            if self.delay_s:
                time.sleep(self.delay_s)
            try:
                end = self._run(command.data)
            except Exception:  # a kernel's model failed, as a kernel fails: the command ends in error
                traceback.print_exc(file=sys.stderr)
                end = CommandState.ERROR
            self.meter.stop()
            if not self._state.take(Fault.LOST_COMPLETION):
                _send(command, end)

    def _run(self, data: bytes) -> CommandState:
        words = struct.unpack(f"<{len(data) // 4}I", data)
        if (words[0] >> 23) & 0x1F != _START_UNIT:
            return CommandState.COMPLETED
        extra_masks = (words[0] >> 10) & 0x3
        unit = next(
            32 * index + bit for index in range(1 + extra_masks) for bit in range(32) if words[1 + index] >> bit & 1
        )
        name = self._state.units[unit]
        spec, model = KERNELS[name]
        registers = struct.pack(f"<{len(words) - 2 - extra_masks}I", *words[2 + extra_masks :])
        if self._state.take(Fault.ERROR):
            return CommandState.ERROR
        arguments = read_arguments(spec, registers)
        model(self._state.memory, *arguments)
        self._state.runs[name] += 1
        if self._state.take(Fault.WRONG_RESULT):
            last = max(i for i, parameter in enumerate(spec.parameters) if parameter.name in ("y", "c"))
            self._state.memory.view(arguments[last], 1, "u1")[0] ^= 1
        return CommandState.COMPLETED


def read_arguments(spec: KernelSpec, registers: bytes) -> list[Any]:
    """A compute unit's arguments from its registers: 64-bit addresses, and scalars of 32 bits."""
    places = zip(spec.parameters, spec.registers(), strict=True)
    return [struct.unpack_from(parameter.form, registers, at)[0] for parameter, at in places]


def _send(command: Command, end: CommandState) -> None:
    with suppress(OSError):  # the process that asked may be gone
        command.events.sendall(COMPLETION.pack(command.handle, end))
