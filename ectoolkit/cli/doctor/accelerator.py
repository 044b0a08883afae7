"""What an Alveo board and EdgeCortix's compiler need; nothing here is opened or imported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ectoolkit.cli.doctor.finding import Finding
from ectoolkit.cli.doctor.packages import version_of
from ectoolkit.errors import DeviceError

if TYPE_CHECKING:
    from ectoolkit.devices.xrt.discovery import Obstacle

_SECONDS = 20
_MERA_VERSION = "import importlib.metadata as m; print(m.version('mera'))"


def boards() -> list[Finding]:
    """Every board, with what is in its way."""
    from ectoolkit.devices.xrt import absence, find_boards
    from ectoolkit.devices.xrt.host import VARIABLE

    try:
        found = find_boards()
    except DeviceError as error:
        return [Finding("Alveo board", False, str(error), f"unset {VARIABLE}")]
    if not found:
        return [_hindered("Alveo board", absence())]
    return [
        _hindered(f"Alveo board xrt:{board.index}", board.obstacle)
        if board.obstacle
        else Finding(f"Alveo board xrt:{board.index}", True, board.description)
        for board in found
    ]


def _hindered(name: str, obstacle: Obstacle) -> Finding:
    return Finding(name, False, obstacle.problem, obstacle.remedy)


def xrt() -> list[Finding]:
    """XRT's library and its Python module."""
    from ectoolkit.devices.xrt import libraries

    library = libraries.find_library()
    if library is None:
        found = Finding("XRT", False, f"{libraries.LIBRARY} is not found", libraries.REMEDY)
    else:
        found = Finding("XRT", True, f"{libraries.library_version()}, {library}")
    cure = "AMD's XRT package brings it; XRT's C library does the same"
    return [
        found,
        Finding("pyxrt", True, "found") if libraries.has_pyxrt() else Finding("pyxrt", False, "not found", cure),
    ]


def virtual_board() -> Finding:
    """Whether the virtual U50 could start."""
    from ectoolkit.testing.virtual_u50 import missing

    lacking = missing()
    if lacking is not None:
        return _hindered("virtual U50", lacking)
    return Finding("virtual U50", True, "can be started: ectoolkit device virtual")


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
