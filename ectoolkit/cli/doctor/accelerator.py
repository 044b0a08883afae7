"""What an Alveo board and EdgeCortix's compiler need; nothing here is opened or imported."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
from pathlib import Path

from ectoolkit.cli.doctor.finding import Finding

XRT = Path("/opt/xilinx/xrt")
PCI_DEVICES = Path("/sys/bus/pci/devices")
_XILINX = "0x10ee"
_XRT_CURE = f"AMD's XRT package for your distribution (from the Alveo U50's download page), then: source {XRT}/setup.sh"
_SECONDS = 20


def board() -> Finding:
    """PCIe cards of Xilinx, as the kernel lists them."""
    cards = []
    for device in sorted(PCI_DEVICES.glob("*")):
        vendor = device / "vendor"
        if vendor.is_file() and vendor.read_text().strip() == _XILINX:
            cards.append(device.name)
    if cards:
        return Finding("Alveo board", True, f"PCIe {', '.join(cards)}")
    return Finding("Alveo board", False, "no Xilinx card on PCIe", "an Alveo U50 in this machine")


def xrt() -> list[Finding]:
    """XRT's folder, its library and its Python module."""
    root = Path(os.environ.get("XILINX_XRT") or XRT)
    library = ctypes.util.find_library("xrt_coreutil") or next(
        (str(path) for path in sorted(root.glob("lib/libxrt_coreutil.so*"))), None
    )
    module = importlib.util.find_spec("pyxrt")
    return [
        _found("XRT", str(root) if root.is_dir() else None, f"no {root}"),
        _found("libxrt_coreutil", library, "not in the linker's path"),
        _found("pyxrt", module.origin if module else None, "this Python does not find it"),
    ]


def mera() -> Finding:
    """EdgeCortix's compiler, wherever it is; asks that Python for its version."""
    from ectoolkit.errors import EctoolkitError
    from ectoolkit.mera.place import find_place
    from ectoolkit.mera.session import Worker

    name, cure = "EdgeCortix MERA", "ectoolkit mera install"
    try:
        place = find_place()
    except EctoolkitError:
        return Finding(name, False, "not installed, and no other place is named", cure)
    try:
        worker = Worker(place, timeout_s=_SECONDS)
    except EctoolkitError as error:
        return Finding(name, False, str(error).splitlines()[0], "ectoolkit mera status")
    version = worker.facts["versions"]["mera"]
    worker.close()
    if not version:
        return Finding(name, False, f"{place} has no mera", cure)
    return Finding(name, True, f"{version} in {place}")


def _found(name: str, place: str | None, absent: str) -> Finding:
    if place is None:
        return Finding(name, False, f"{absent}", _XRT_CURE)
    return Finding(name, True, f"{place}")
