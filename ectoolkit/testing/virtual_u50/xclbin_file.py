"""Writes the virtual board's xclbin: nine sections, of which the bitstream is a dummy."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from ectoolkit.devices.xrt.container import HEAD, HEADER, MAGIC, SECTION, SectionKind
from ectoolkit.devices.xrt.xclbin import CLOCK, COMPUTE_UNIT, CONNECTION, IP_KERNEL, MEMORY
from ectoolkit.testing.virtual_u50.facts import BANK_BYTES, BANKS, CLOCKS_MHZ, PLATFORM

_HBM = 6
#: registers begin here: control, interrupt and status lie below
_FIRST_REGISTER = 0x10
_UNIT_BASE, _UNIT_RANGE = 0x1400000, 0x10000
_GLOBAL, _SCALAR = 1, 0


@dataclass(frozen=True)
class Parameter:
    """An argument of a kernel: a buffer in a bank, or a 32-bit scalar of that type where `bank` is None."""

    name: str
    bank: int | None = None
    type: str = "uint"

    @property
    def form(self) -> str:
        """Of its register, for `struct`."""
        if self.bank is not None:
            return "<Q"
        return "<f" if self.type == "float" else "<I"


@dataclass(frozen=True)
class KernelSpec:
    """A kernel of one compute unit."""

    name: str
    parameters: tuple[Parameter, ...]

    def registers(self) -> list[int]:
        """Offset of each argument in the compute unit's registers, as Vitis lays them out."""
        offsets, offset = [], _FIRST_REGISTER
        for parameter in self.parameters:
            offsets.append(offset)
            offset += 8 if parameter.bank is None else 12
        return offsets


def write_xclbin(
    path: Path, kernels: Sequence[KernelSpec], *, platform: str = PLATFORM, uid: uuid.UUID | None = None
) -> Path:
    """Write a file that XRT loads on the virtual board.

    Args:
        path: of the file.
        kernels: what it says it holds.
        platform: VBNV of the shell it is for.
        uid: its uuid; from its content where None.
    """
    sections = {
        SectionKind.BITSTREAM: b"ectoolkit virtual U50: no bitstream",
        SectionKind.EMBEDDED_METADATA: _metadata(kernels).encode(),
        SectionKind.MEM_TOPOLOGY: _memories(),
        SectionKind.CONNECTIVITY: _connections(kernels),
        SectionKind.IP_LAYOUT: _units(kernels),
        SectionKind.CLOCK_FREQ_TOPOLOGY: _clocks(),
        SectionKind.BUILD_METADATA: json.dumps(
            {"build_metadata": {"xclbin": {"generated_by": {"name": "ectoolkit"}}}}
        ).encode(),
        SectionKind.ASK_GROUP_TOPOLOGY: _memories(),
        SectionKind.ASK_GROUP_CONNECTIVITY: _connections(kernels),
    }
    content = b"".join(sections.values()) + platform.encode()
    path.write_bytes(_pack(sections, platform, uid or uuid.uuid5(uuid.NAMESPACE_OID, content.hex())))
    return path


def _pack(sections: dict[SectionKind, bytes], platform: str, uid: uuid.UUID) -> bytes:
    offset = HEAD.size + HEADER.size + len(sections) * SECTION.size
    table, body = b"", b""
    for kind, data in sections.items():
        table += SECTION.pack(kind, kind.name[:15].lower().encode(), offset + len(body), len(data))
        body += data + bytes(-len(data) % 8)
    head = HEAD.pack(MAGIC, -1, b"\xff" * 28, bytes(256), 0)
    header = HEADER.pack(
        offset + len(body), 0, 0, 466, 2, 13, 1, 0, bytes(16), platform.encode(), uid.bytes, b"", len(sections)
    )
    return head + header + table + body


def _memories() -> bytes:
    banks = [MEMORY.pack(_HBM, 1, BANK_BYTES // 1024, i * BANK_BYTES, f"HBM[{i}]".encode()) for i in range(BANKS)]
    return struct.pack("<i4x", BANKS) + b"".join(banks)


def _connections(kernels: Sequence[KernelSpec]) -> bytes:
    found = [
        CONNECTION.pack(index, unit, parameter.bank)
        for unit, kernel in enumerate(kernels)
        for index, parameter in enumerate(kernel.parameters)
        if parameter.bank is not None
    ]
    return struct.pack("<i", len(found)) + b"".join(found)


def _units(kernels: Sequence[KernelSpec]) -> bytes:
    found = [
        COMPUTE_UNIT.pack(IP_KERNEL, 1, _UNIT_BASE + i * _UNIT_RANGE, f"{kernel.name}:{kernel.name}_1".encode())
        for i, kernel in enumerate(kernels)
    ]
    return struct.pack("<i4x", len(found)) + b"".join(found)


def _clocks() -> bytes:
    kinds = {"data": 1, "kernel": 2, "system": 3}
    found = [CLOCK.pack(mhz, kinds[kind], name.encode()) for name, kind, mhz in CLOCKS_MHZ]
    return struct.pack("<h", len(found)) + b"".join(found)


def _metadata(kernels: Sequence[KernelSpec]) -> str:
    body = "\n".join(_kernel_xml(kernel, _UNIT_BASE + i * _UNIT_RANGE) for i, kernel in enumerate(kernels))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<project name="ectoolkit">
 <platform vendor="ectoolkit" boardid="u50" name="virtual" featureRomTime="0">
  <version major="1" minor="0"/>
  <device name="fpga0" fpgaDevice="none" addrWidth="0">
   <core name="OCL_REGION_0" target="hw_em" type="clc_region" clockFreq="0MHz" numComputeUnits="{len(kernels)}">
{body}
   </core>
  </device>
 </platform>
</project>
"""


def _kernel_xml(kernel: KernelSpec, base: int) -> str:
    rows = []
    for index, (parameter, offset) in enumerate(zip(kernel.parameters, kernel.registers(), strict=True)):
        buffer = parameter.bank is not None
        port, size, kind = ("M_AXI_GMEM", 8, "void*") if buffer else ("S_AXI_CONTROL", 4, parameter.type)
        rows.append(
            f'     <arg name={quoteattr(parameter.name)} addressQualifier="{_GLOBAL if buffer else _SCALAR}" '
            f'id="{index}" port="{port}" size="{size:#x}" offset="{offset:#x}" hostOffset="0x0" '
            f'hostSize="{size:#x}" type="{kind}"/>'
        )
    arguments = "\n".join(rows)
    return f"""    <kernel name={quoteattr(kernel.name)} language="c" hwControlProtocol="ap_ctrl_hs">
     <port name="M_AXI_GMEM" mode="master" range="0xFFFFFFFF" dataWidth="512" portType="addressable" base="0x0"/>
     <port name="S_AXI_CONTROL" mode="slave" range="0x1000" dataWidth="32" portType="addressable" base="0x0"/>
{arguments}
     <instance name="{kernel.name}_1">
      <addrRemap base="{base:#x}" range="{_UNIT_RANGE:#x}" port="S_AXI_CONTROL"/>
     </instance>
    </kernel>"""
