"""What the virtual board is in the middle of: its xclbin, who has a context on it, which faults wait."""

from __future__ import annotations

import errno
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ectoolkit.devices.xrt.container import HEAD, HEADER
from ectoolkit.testing.virtual_u50.facts import PLATFORM
from ectoolkit.testing.virtual_u50.faults import CREATE_ERRORS, LOAD_ERRORS, OPEN_ERRORS, Fault
from ectoolkit.testing.virtual_u50.kernels import KERNELS
from ectoolkit.testing.virtual_u50.memory import DeviceMemory
from ectoolkit.testing.virtual_u50.tree import write_memory, write_units

#: what xocl calls the board as a whole, in a context
_VIRTUAL_UNIT = 0xFFFFFFFF
_BANK_MASK = 0xFFFFFF
_EXCLUSIVE = 1


@dataclass
class Client:
    """A process that opened the board, as the driver sees it."""

    number: int
    contexts: Counter[int] = field(default_factory=Counter)
    exclusive: set[int] = field(default_factory=set)
    addresses: set[int] = field(default_factory=set)


class BoardState:
    """Answers requests; every refusal is an OSError with the driver's errno.  Calls hold `lock`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.memory = DeviceMemory()
        self.clients: dict[int, Client] = {}
        self.loaded: uuid.UUID | None = None
        self.units: list[str] = []
        self.runs: Counter[str] = Counter()
        self._faults: Counter[Fault] = Counter()
        self._next = 1

    # --- faults ---------------------------------------------------------------------------------------------------

    def inject(self, fault: Fault, times: int) -> None:
        """Let the next `times` requests that can fail so, fail."""
        with self.lock:
            self._faults[fault] += times

    def heal(self) -> None:
        """Forget the faults that wait."""
        with self.lock:
            self._faults.clear()

    def take(self, fault: Fault) -> bool:
        """Whether a fault waits; it is used up."""
        with self.lock:
            waits = self._faults[fault] > 0
            if waits:
                self._faults[fault] -= 1
            return waits

    def _refuse(self, errors: dict[Fault, int]) -> None:
        for fault, number in errors.items():
            if self.take(fault):
                raise OSError(number, fault.value)

    # --- requests -------------------------------------------------------------------------------------------------

    def open(self) -> Client:
        """A process opens the board."""
        with self.lock:
            self._refuse(OPEN_ERRORS)
            client = self.clients[self._next] = Client(self._next)
            self._next += 1
            return client

    def close(self, client: Client) -> None:
        """A process closed the board, or died: what it held is free again."""
        with self.lock:
            self.clients.pop(client.number, None)
            for address in client.addresses:
                self.memory.free(address)
            if client.addresses:
                self._tell_memory()

    def _tell_memory(self) -> None:
        """As the driver does: of a loaded xclbin's banks."""
        if self.loaded is not None:
            write_memory(self.root, self.memory.usage())

    def load(self, client: Client, data: bytes) -> None:
        """Load an xclbin."""
        with self.lock:
            self._refuse(LOAD_ERRORS)
            fields = HEADER.unpack_from(data, HEAD.size)
            platform, uid = fields[9].split(b"\0")[0].decode(), uuid.UUID(bytes=fields[10])
            if platform != PLATFORM:
                raise OSError(errno.EOPNOTSUPP, f"the shell is {PLATFORM}, not {platform}")
            if uid == self.loaded:
                return
            if any(other.contexts for other in self.clients.values()):
                raise OSError(errno.EBUSY, "contexts are open")
            self.loaded, self.units = uid, list(KERNELS)
            rows = [
                f"0,{index},{name}:{name}_1,{0x1400000 + index * 0x10000:#x},0x4,0"
                for index, name in enumerate(KERNELS)
            ]
            write_units(self.root, rows, str(uid))
            self._tell_memory()

    def create(self, client: Client, size_bytes: int, flags: int) -> int:
        """Allocate a buffer; returns its address."""
        with self.lock:
            self._refuse(CREATE_ERRORS)
            address = self.memory.allocate(flags & _BANK_MASK, size_bytes)
            client.addresses.add(address)
            self._tell_memory()
            return address

    def free(self, client: Client, address: int) -> None:
        """Free a buffer."""
        with self.lock:
            if address not in client.addresses:
                raise OSError(errno.ENOENT, f"no buffer at {address:#x}")
            client.addresses.remove(address)
            self.memory.free(address)
            self._tell_memory()

    def context(self, client: Client, operation: int, unit: int, flags: int, uid: bytes) -> None:
        """Open (0) or close (1) a context on a compute unit."""
        with self.lock:
            if operation == 1:
                client.contexts[unit] -= 1
                client.contexts += Counter()
                client.exclusive.discard(unit)
                return
            if self.loaded is None or uuid.UUID(bytes=uid) != self.loaded:
                raise OSError(errno.EBUSY, "another xclbin is loaded")
            if unit != _VIRTUAL_UNIT and unit >= len(self.units):
                raise OSError(errno.EINVAL, f"no compute unit {unit}")
            others = [other for other in self.clients.values() if other is not client and other.contexts[unit]]
            taken = any(unit in other.exclusive for other in others)
            if unit != _VIRTUAL_UNIT and (taken or (flags & _EXCLUSIVE and others)):
                raise OSError(errno.EBUSY, "the compute unit is taken")
            client.contexts[unit] += 1
            if flags & _EXCLUSIVE:
                client.exclusive.add(unit)

    def summary(self) -> dict[str, object]:
        """For tests: who is connected, what is allocated, which kernels ran, which faults still wait."""
        with self.lock:
            return {
                "clients": len(self.clients),
                "used_bytes": self.memory.used_bytes(),
                "runs": dict(self.runs),
                "loaded": str(self.loaded or ""),
                "faults": sorted(fault.value for fault in self._faults.elements()),
            }
