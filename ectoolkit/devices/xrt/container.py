"""The axlf container that an ``.xclbin`` file is: header, section table, sections.

Numbers are little-endian; the structures are those of XRT's ``xclbin.h``.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from ectoolkit.errors import XclbinError

MAGIC = b"xclbin2\0"
#: magic, signature length, reserved, key block, unique id; then axlf_header without its trailing padding
HEAD = struct.Struct("<8si28s256sQ")
HEADER = struct.Struct("<QQQHBBHH16s64s16s16sI4x")
SECTION = struct.Struct("<I16s4xQQ")
#: a file that says it has more is damaged; XRT's own bound
MOST_SECTIONS = 0x10000


class SectionKind(IntEnum):
    """The sections that are read or written here (``axlf_section_kind``)."""

    BITSTREAM = 0
    EMBEDDED_METADATA = 2
    MEM_TOPOLOGY = 6
    CONNECTIVITY = 7
    IP_LAYOUT = 8
    CLOCK_FREQ_TOPOLOGY = 11
    BUILD_METADATA = 14
    ASK_GROUP_TOPOLOGY = 26
    ASK_GROUP_CONNECTIVITY = 27


@dataclass(frozen=True)
class Container:
    """A file whose frame was checked: what it says of itself, and its sections' bytes.

    Attributes:
        path: where it was read.
        length: bytes that it says it has.
        uuid: of this xclbin.
        platform: VBNV of the shell that it was linked for (vendor, board, name, version).
        version: of the tool's format, ``"2.13.466"``.
        signed: whether a signature was appended.
        sections: bytes by kind; of a kind that comes more than once, the first.
    """

    path: Path
    length: int
    uuid: uuid.UUID
    platform: str
    version: str
    signed: bool
    sections: dict[int, bytes]

    def section(self, kind: SectionKind) -> bytes:
        """One section.

        Raises:
            XclbinError: it is not there.
        """
        if kind not in self.sections:
            raise XclbinError(
                f"{self.path} has no {kind.name} section, so it holds no kernels to run. Link it with v++ for "
                "hardware (-t hw), and give the .xclbin that comes out"
            )
        return self.sections[kind]


def read_container(path: Path) -> Container:
    """Read a file's frame and check that all it lists is there.

    Raises:
        XclbinError: missing, empty, of another kind, truncated, or with a section outside the file.
    """
    if not path.is_file():
        state = "is not a file" if path.exists() else "does not exist"
        raise XclbinError(f"{path} {state}; expected an .xclbin file")
    data = path.read_bytes()
    if not data:
        raise XclbinError(f"{path} is empty; expected an .xclbin file. Copy or link it again")
    if data[: len(MAGIC)] != MAGIC:
        raise XclbinError(
            f"{path} is not an xclbin: it begins with {data[:8]!r}, expected {MAGIC!r}. Give the .xclbin that v++ made"
        )
    smallest = HEAD.size + HEADER.size
    if len(data) < smallest:
        raise XclbinError(f"{path} is truncated: {len(data)} bytes, and the header alone has {smallest}. Copy it again")
    signature_length = HEAD.unpack_from(data)[1]
    length, _, _, patch, major, minor, _, _, _, vbnv, uid, _, count = HEADER.unpack_from(data, HEAD.size)
    if len(data) < length:
        raise XclbinError(f"{path} is truncated: {len(data)} bytes, expected {length}. Copy it again")
    return Container(
        path,
        length,
        uuid.UUID(bytes=uid),
        vbnv.split(b"\0")[0].decode("ascii", "replace"),
        f"{major}.{minor}.{patch}",
        signature_length > 0,
        _sections(path, data, length, count),
    )


def _sections(path: Path, data: bytes, length: int, count: int) -> dict[int, bytes]:
    table = HEAD.size + HEADER.size
    if not 0 < count <= MOST_SECTIONS or table + count * SECTION.size > length:
        raise XclbinError(f"{path} is damaged: it says that it has {count} sections, in {length} bytes. Link it again")
    found: dict[int, bytes] = {}
    for index in range(count):
        kind, _, offset, size = SECTION.unpack_from(data, table + index * SECTION.size)
        if offset + size > length:
            raise XclbinError(
                f"{path} is damaged: section {index} (kind {kind}) ends at byte {offset + size} of {length}. "
                "Link it again"
            )
        found.setdefault(kind, data[offset : offset + size])
    return found
