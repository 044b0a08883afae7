"""Reading xclbins, and what is said of files that are none."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest

from ectoolkit.devices.xrt import read_xclbin
from ectoolkit.devices.xrt.container import HEAD, HEADER, SECTION, SectionKind
from ectoolkit.errors import XclbinError
from ectoolkit.testing.virtual_u50.facts import PLATFORM
from ectoolkit.testing.virtual_u50.xclbin_file import KernelSpec, Parameter, write_xclbin

KERNELS = [
    KernelSpec("scale", (Parameter("x", 3), Parameter("factor"), Parameter("y", 4))),
    KernelSpec("clear", (Parameter("x", 0),)),
]
TABLE = HEAD.size + HEADER.size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_xclbin(tmp_path / "design.xclbin", KERNELS, uid=uuid.UUID(int=7))


def refused(path: Path) -> str:
    with pytest.raises(XclbinError) as caught:
        read_xclbin(path).kernel("scale")
    return str(caught.value)


def test_sizes_of_xclbin_h() -> None:
    assert (HEAD.size, HEADER.size, SECTION.size) == (304, 152, 40)


def test_reading(path: Path) -> None:
    found = read_xclbin(path)
    assert (found.uuid, found.platform, found.version, found.signed) == (uuid.UUID(int=7), PLATFORM, "2.13.466", False)
    assert [kernel.name for kernel in found.kernels] == ["scale", "clear"]
    scale = found.kernel("scale:{scale_1}")
    assert scale.compute_units == ("scale:scale_1",)
    assert [(a.index, a.name, a.kind, a.size_bytes, a.banks) for a in scale.arguments] == [
        (0, "x", "buffer", 8, (3,)),
        (1, "factor", "scalar", 4, ()),
        (2, "y", "buffer", 8, (4,)),
    ]
    assert [clock.name for clock in found.clocks] == ["DATA_CLK", "KERNEL_CLK", "hbm_aclk"]
    assert [clock.frequency_mhz for clock in found.clocks] == [300, 500, 450]
    assert len(found.memories) == 32
    bank = found.memories[31]
    assert (bank.name, bank.kind, bank.used, bank.size_bytes, bank.address) == (
        "HBM[31]",
        "HBM",
        True,
        2**28,
        31 * 2**28,
    )


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.xclbin"
    assert refused(path) == f"{path} does not exist; expected an .xclbin file"
    assert refused(tmp_path) == f"{tmp_path} is not a file; expected an .xclbin file"


def test_empty(path: Path) -> None:
    path.write_bytes(b"")
    assert refused(path) == f"{path} is empty; expected an .xclbin file. Copy or link it again"


def test_another_kind(path: Path) -> None:
    path.write_bytes(b"\x7fELF" + bytes(1000))
    assert refused(path) == (
        f"{path} is not an xclbin: it begins with b'\\x7fELF\\x00\\x00\\x00\\x00', expected b'xclbin2\\x00'. Give the "
        ".xclbin that v++ made"
    )


def test_truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert refused(path) == f"{path} is truncated: {len(data) - 1} bytes, expected {len(data)}. Copy it again"
    path.write_bytes(data[:100])
    assert refused(path) == f"{path} is truncated: 100 bytes, and the header alone has 456. Copy it again"


def change(path: Path, offset: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


def test_damaged_tables(path: Path) -> None:
    size = path.stat().st_size
    change(path, TABLE + 32, struct.pack("<Q", size))
    offset = struct.unpack_from("<Q", path.read_bytes(), TABLE + 24)[0]
    assert refused(path) == (
        f"{path} is damaged: section 0 (kind 0) ends at byte {offset + size} of {size}. Link it again"
    )
    change(path, TABLE - 8, struct.pack("<I", 70000))
    assert refused(path) == f"{path} is damaged: it says that it has 70000 sections, in {size} bytes. Link it again"


def section(path: Path, kind: SectionKind) -> tuple[int, int]:
    """Where a section's header is, and where its data."""
    data = path.read_bytes()
    for index in range(9):
        found, _, offset, _ = SECTION.unpack_from(data, TABLE + index * SECTION.size)
        if found == kind:
            return TABLE + index * SECTION.size, offset
    raise AssertionError(kind)


def test_damaged_content(path: Path) -> None:
    at, data = section(path, SectionKind.EMBEDDED_METADATA)
    whole = path.read_bytes()
    change(path, whole.index(b'size="0x8"', data), b'size="abc"')
    assert refused(path) == (
        f"{path} is damaged: an argument of kernel scale has no number where one belongs (invalid literal for int() "
        "with base 0: 'abc'). Link it again"
    )
    change(path, data, b"<<")
    assert refused(path) == (
        f"{path} is damaged: its kernel description is not XML (not well-formed (invalid token): line 1, column 1). "
        "Link it again"
    )
    change(path, at, struct.pack("<I", 99))
    assert refused(path) == (
        f"{path} has no EMBEDDED_METADATA section, so it holds no kernels to run. Link it with v++ for hardware "
        "(-t hw), and give the .xclbin that comes out"
    )
    _, data = section(path, SectionKind.MEM_TOPOLOGY)
    change(path, data, struct.pack("<i", 10**6))
    assert refused(path).startswith(f"{path} is damaged: a table ends early (unpack_from requires a buffer of ")


def test_no_such_kernel_or_unit(path: Path) -> None:
    found = read_xclbin(path)
    for name, text in (
        ("add", f"{path} has no kernel 'add'; it has scale, clear"),
        ("scale:{scale_2}", f"{path} has no compute unit 'scale_2' of kernel scale; it has scale_1"),
    ):
        with pytest.raises(XclbinError) as caught:
            found.kernel(name)
        assert str(caught.value) == text
