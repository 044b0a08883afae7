"""What an Alveo board and EdgeCortix's compiler need; nothing here is opened or imported."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import subprocess
from pathlib import Path

from ectoolkit.cli.doctor.finding import Finding
from ectoolkit.cli.doctor.packages import version_of

XRT = Path("/opt/xilinx/xrt")
PCI_DEVICES = Path("/sys/bus/pci/devices")
_XILINX = "0x10ee"
_XRT_CURE = f"AMD's XRT package for your distribution (from the Alveo U50's download page), then: source {XRT}/setup.sh"
_SECONDS = 20
_MERA_VERSION = "import importlib.metadata as m; print(m.version('mera'))"


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
    """EdgeCortix's compiler: in this Python, or in the one that MERA_PYTHON names."""
    name, here, other = "EdgeCortix MERA", version_of("mera"), os.environ.get("MERA_PYTHON", "").strip()
    if here:
        return Finding(name, True, f"{here}")
    cure = (
        "mera 1.6 on the package index needs CPython 3.10: python3.10 -m venv ~/mera && ~/mera/bin/pip install mera "
        "mera-tvm-full, then set MERA_PYTHON=~/mera/bin/python. It also needs the libraries of glog 0.5, LLVM 14 "
        "and oneDNN 2"
    )
    if not other:
        return Finding(name, False, "not in this Python, and MERA_PYTHON is not set", cure)
    python = str(Path(other).expanduser())
    try:
        done = subprocess.run([python, "-c", _MERA_VERSION], capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, f"MERA_PYTHON names {other}, which does not run: {error}", cure)
    if done.returncode:
        return Finding(name, False, f"the Python that MERA_PYTHON names, {other}, has no mera", cure)
    return Finding(name, True, f"{done.stdout.strip()} in {other}")


def _found(name: str, place: str | None, absent: str) -> Finding:
    if place is None:
        return Finding(name, False, f"{absent}", _XRT_CURE)
    return Finding(name, True, f"{place}")
