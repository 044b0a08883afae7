"""What an ``.xclbin`` holds: kernels with their arguments, memories, clocks; read before XRT sees the file.

XRT dies of an empty file and says ``std::bad_alloc`` of a truncated one, so a file is checked here first.
"""

from __future__ import annotations

import os
import struct
import uuid
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from ectoolkit.devices.xrt.container import Container, SectionKind, read_container
from ectoolkit.errors import XclbinError

MEMORY = struct.Struct("<BB6xQQ16s")
CONNECTION = struct.Struct("<iii")
COMPUTE_UNIT = struct.Struct("<IIQ64s")
CLOCK = struct.Struct("<HB5x128s")
#: what ``MEM_TYPE`` of xclbin.h calls them
MEMORY_KINDS = ("DDR3", "DDR4", "DRAM", "STREAMING", "PREALLOCATED", "ARE", "HBM", "BRAM", "URAM", "STREAM", "HOST")
CLOCK_KINDS = ("unused", "data", "kernel", "system")
#: IP_TYPE of a compute unit
IP_KERNEL = 1
#: the metadata's addressQualifier
ARGUMENT_KINDS = {0: "scalar", 1: "buffer", 2: "buffer", 4: "stream"}
_KIB = 1024


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel.

    Attributes:
        index: its position in a call.
        name: in the kernel's source.
        kind: ``"buffer"``, ``"scalar"`` or ``"stream"``.
        type: as in the kernel's source: ``"int*"``.
        size_bytes: in the kernel's registers.
        banks: indices into `Xclbin.memories` where a buffer for it may lie; none for a scalar.
    """

    index: int
    name: str
    kind: str
    type: str
    size_bytes: int
    banks: tuple[int, ...]


@dataclass(frozen=True)
class Kernel:
    """A kernel: its arguments in the order of a call, and its compute units' names (``"conv:conv_1"``)."""

    name: str
    arguments: tuple[Argument, ...]
    compute_units: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """A memory bank of the board: index in the file, its name (``"HBM[0]"``), kind, bytes, whether a kernel uses it."""

    index: int
    name: str
    kind: str
    size_bytes: int
    address: int
    used: bool


@dataclass(frozen=True)
class Clock:
    """A clock that the file asks for; `kind` is ``"data"``, ``"kernel"`` or ``"system"``."""

    name: str
    kind: str
    frequency_mhz: int


@dataclass(frozen=True)
class Xclbin:
    """A file that was checked; the frame's facts are in `container`."""

    path: Path
    uuid: uuid.UUID
    platform: str
    version: str
    signed: bool
    kernels: tuple[Kernel, ...]
    memories: tuple[Memory, ...]
    clocks: tuple[Clock, ...]

    def kernel(self, name: str) -> Kernel:
        """A kernel by name; ``"conv:{conv_1}"`` names a compute unit of it, which must be there too.

        Raises:
            XclbinError: there is none.
        """
        plain, _, unit = name.partition(":")
        found = next((kernel for kernel in self.kernels if kernel.name == plain), None)
        if found is None:
            there = ", ".join(kernel.name for kernel in self.kernels) or "none"
            raise XclbinError(f"{self.path} has no kernel {plain!r}; it has {there}")
        for wanted in filter(None, unit.strip("{}").split(",")):
            if f"{plain}:{wanted}" not in found.compute_units:
                there = ", ".join(full.partition(":")[2] for full in found.compute_units)
                raise XclbinError(f"{self.path} has no compute unit {wanted!r} of kernel {plain}; it has {there}")
        return found


def read_xclbin(path: str | os.PathLike[str]) -> Xclbin:
    """Read and check an xclbin.

    Raises:
        XclbinError: it is not a whole xclbin with kernels; says what is wrong.
    """
    container = read_container(Path(path).expanduser().absolute())
    try:
        memories = _memories(container.section(SectionKind.MEM_TOPOLOGY))
        units = _compute_units(container.section(SectionKind.IP_LAYOUT))
        banks = _banks(container.sections.get(SectionKind.CONNECTIVITY, bytes(4)), units)
        clocks = _clocks(container.sections.get(SectionKind.CLOCK_FREQ_TOPOLOGY, bytes(2)))
    except struct.error as error:
        raise XclbinError(f"{container.path} is damaged: a table ends early ({error}). Link it again") from error
    kernels = _kernels(container, [name for _, name in units], banks)
    return Xclbin(
        container.path,
        container.uuid,
        container.platform,
        container.version,
        container.signed,
        kernels,
        memories,
        clocks,
    )


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("ascii", "replace")


def _memories(section: bytes) -> tuple[Memory, ...]:
    (count,) = struct.unpack_from("<i", section)
    found = []
    for index in range(count):
        kind, used, size_kib, address, tag = MEMORY.unpack_from(section, 8 + index * MEMORY.size)
        word = MEMORY_KINDS[kind] if kind < len(MEMORY_KINDS) else f"kind {kind}"
        found.append(Memory(index, _text(tag), word, size_kib * _KIB, address, bool(used)))
    return tuple(found)


def _compute_units(section: bytes) -> list[tuple[int, str]]:
    """Position in IP_LAYOUT and full name of each compute unit."""
    (count,) = struct.unpack_from("<i", section)
    entries = [COMPUTE_UNIT.unpack_from(section, 8 + index * COMPUTE_UNIT.size) for index in range(count)]
    return [(index, _text(name)) for index, (kind, _, _, name) in enumerate(entries) if kind == IP_KERNEL]


def _banks(section: bytes, units: list[tuple[int, str]]) -> dict[tuple[str, int], tuple[int, ...]]:
    """Banks by kernel name and argument index."""
    (count,) = struct.unpack_from("<i", section)
    kernel_of = {index: name.partition(":")[0] for index, name in units}
    found: dict[tuple[str, int], set[int]] = {}
    for index in range(count):
        argument, unit, bank = CONNECTION.unpack_from(section, 4 + index * CONNECTION.size)
        if unit in kernel_of:
            found.setdefault((kernel_of[unit], argument), set()).add(bank)
    return {key: tuple(sorted(banks)) for key, banks in found.items()}


def _clocks(section: bytes) -> tuple[Clock, ...]:
    (count,) = struct.unpack_from("<h", section)
    found = []
    for index in range(count):
        frequency, kind, name = CLOCK.unpack_from(section, 2 + index * CLOCK.size)
        found.append(Clock(_text(name), CLOCK_KINDS[kind] if kind < len(CLOCK_KINDS) else f"kind {kind}", frequency))
    return tuple(found)


def _kernels(
    container: Container, units: list[str], banks: dict[tuple[str, int], tuple[int, ...]]
) -> tuple[Kernel, ...]:
    try:
        root = ElementTree.fromstring(container.section(SectionKind.EMBEDDED_METADATA).rstrip(b"\0"))
    except ElementTree.ParseError as error:
        raise XclbinError(
            f"{container.path} is damaged: its kernel description is not XML ({error}). Link it again"
        ) from error
    found = []
    for element in root.iter("kernel"):
        name = element.get("name", "")
        try:
            arguments = [_argument(name, entry, banks) for entry in element.findall("arg") if entry.get("id")]
        except ValueError as error:
            raise XclbinError(
                f"{container.path} is damaged: an argument of kernel {name} has no number where one belongs ({error}). "
                "Link it again"
            ) from error
        mine = tuple(unit for unit in units if unit.partition(":")[0] == name)
        found.append(Kernel(name, tuple(sorted(arguments, key=lambda argument: argument.index)), mine))
    return tuple(found)


def _argument(kernel: str, entry: ElementTree.Element, banks: dict[tuple[str, int], tuple[int, ...]]) -> Argument:
    index = int(entry.get("id", "0"), 0)
    kind = ARGUMENT_KINDS.get(int(entry.get("addressQualifier", "0"), 0), "scalar")
    size = int(entry.get("size", "0"), 0)
    mine = banks.get((kernel, index), ()) if kind == "buffer" else ()
    return Argument(index, entry.get("name", ""), kind, entry.get("type", ""), size, mine)
