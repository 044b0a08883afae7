"""What an Alveo board and EdgeCortix's compiler need; nothing here is opened or imported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ectoolkit.cli.doctor.finding import Finding
from ectoolkit.cli.doctor.packages import version_of
from ectoolkit.errors import DeviceError

_SECONDS = 20
_MERA_VERSION = "import importlib.metadata as m; print(m.version('mera'))"


def boards() -> list[Finding]:
    """Every board, with what is in its way."""
    from ectoolkit.devices.xrt import absence, find_boards

    try:
        found = find_boards()
    except DeviceError as error:
        return [Finding("Alveo board", False, str(error))]
    if not found:
        return [Finding("Alveo board", False, absence())]
    return [
        Finding(f"Alveo board xrt:{board.index}", not board.reason, board.reason or board.description)
        for board in found
    ]


def xrt() -> list[Finding]:
    """XRT's library and its Python module."""
    from ectoolkit.devices.xrt import libraries

    library = libraries.find_library()
    where = f"{libraries.library_version()}, {library}" if library else ""
    cure = "" if library else libraries.REMEDY
    module = libraries.has_pyxrt()
    return [
        Finding("XRT", library is not None, where or f"{libraries.LIBRARY} is not found", cure),
        Finding("pyxrt", module, "found" if module else "not found; XRT's C library does the same", ""),
    ]


def virtual_board() -> Finding:
    """Whether the virtual U50 could start."""
    from ectoolkit.testing.virtual_u50 import missing

    lacking = missing()
    return Finding("virtual U50", not lacking, lacking or "can be started: ectoolkit device virtual")


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
