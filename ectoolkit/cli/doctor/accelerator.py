"""What an Alveo board and EdgeCortix's compiler need; nothing here is opened or imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ectoolkit.cli.doctor.finding import Finding
from ectoolkit.errors import DeviceError

if TYPE_CHECKING:
    from ectoolkit.devices.xrt.discovery import Obstacle

_SECONDS = 20


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
    cure = "install AMD's XRT package; not needed where XRT's C library is there, which does the same"
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
    """EdgeCortix's compiler, wherever it is; asks that Python for its version."""
    from ectoolkit.errors import EctoolkitError, MissingDependencyError
    from ectoolkit.mera.place import find_place
    from ectoolkit.mera.session import Worker

    name, cure = "EdgeCortix MERA", "ectoolkit mera install"
    try:
        place = find_place()
    except MissingDependencyError:
        return Finding(name, False, "not installed, and no other place is named", cure)
    except EctoolkitError as error:  # what names it is damaged, or not understood
        return Finding(name, False, str(error), "ectoolkit mera use PLACE")
    try:
        worker = Worker(place, timeout_s=_SECONDS)
    except EctoolkitError as error:
        return Finding(name, False, str(error).splitlines()[0], "ectoolkit mera status")
    version = worker.facts["versions"]["mera"]
    worker.close()
    if not version:
        return Finding(name, False, f"{place} has no mera", cure)
    return Finding(name, True, f"{version} in {place}")
