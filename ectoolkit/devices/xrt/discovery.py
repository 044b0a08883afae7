"""Which boards are there, and why one cannot be used; nothing is opened.

XRT numbers boards in an order of its own, so they are numbered here by PCIe address and opened by it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ectoolkit.devices.xrt.host import Host, current_host
from ectoolkit.devices.xrt.libraries import (
    LIBRARY,
    REMEDY,
    VIRTUAL_PACKAGES,
    find_library,
    has_pyxrt,
    library_version,
)
from ectoolkit.devices.xrt.sysfs import read_text, subdevice
from ectoolkit.errors import DeviceNotFoundError, DeviceStateError

_DEVICES = "/sys/bus/pci/devices"
_XILINX = "0x10ee"
#: Alveo cards by the PCIe device id of their user function; the management function's is one less
USER_FUNCTIONS = {0x5021: "U50", 0x5001: "U200", 0x5005: "U250", 0x500D: "U280", 0x505D: "U55C"}
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)


@dataclass(frozen=True)
class Obstacle:
    """Why a board cannot be used, and what to do about it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}"


@dataclass(frozen=True)
class BoardFacts:
    """What the system tells of a board.

    Attributes:
        index: position by PCIe address: the number in ``xrt:0``.
        bdf: PCIe address of the function that programs use: ``"0000:17:00.1"``.
        card: ``"U50"``, empty where only the management function is there.
        platform: VBNV of the shell, empty where the driver does not say.
        driver: bound to the function, empty where none.
        driver_version: empty where the driver does not say.
        render_node: what programs open, None where there is none.
        obstacle: why it cannot be used; None where it can.
        note: what may matter though it can be used.
    """

    index: int
    bdf: str
    card: str
    platform: str
    driver: str
    driver_version: str
    render_node: Path | None
    obstacle: Obstacle | None
    note: str

    @property
    def reason(self) -> str:
        """Why it cannot be used, with the remedy; empty where it can."""
        return str(self.obstacle or "")

    @property
    def description(self) -> str:
        """One line for people."""
        shell = f", shell {self.platform}" if self.platform else ""
        note = f" ({self.note})" if self.note else ""
        return f"Alveo {self.card} at {self.bdf}{shell}{note}"


def find_boards(host: Host | None = None) -> list[BoardFacts]:
    """Every board, by PCIe address."""
    host = host or current_host()
    functions = [folder for folder in sorted(host.path(_DEVICES).glob("*")) if _is_user_function(folder)]
    return [_board(host, index, folder) for index, folder in enumerate(functions)]


def find_board(address: str, host: Host | None = None) -> BoardFacts:
    """The board at an address: its number, or its PCIe address.

    Raises:
        DeviceNotFoundError: there is none, or the address is neither.
    """
    boards = find_boards(host)
    if not (address.isdecimal() or _ADDRESS.fullmatch(address)):
        raise DeviceNotFoundError(
            f"'xrt:{address}' names no board: expected its number, as xrt:0, or its PCIe address, as xrt:0000:17:00.1"
        )
    for board in boards:
        if address.lower() == board.bdf or address == str(board.index):
            return board
    there = ", ".join(f"xrt:{board.index} at {board.bdf}" for board in boards)
    raise DeviceNotFoundError(f"there is no board 'xrt:{address}': {f'there is {there}' if there else absence(host)}")


def usable_board(address: str, host: Host | None = None) -> BoardFacts:
    """As `find_board`, of a board that can be used.

    Raises:
        DeviceNotFoundError: there is none.
        DeviceStateError: it cannot be used; says why, and what to do.
    """
    board = find_board(address, host)
    if board.obstacle is not None:
        raise DeviceStateError(f"xrt:{address} cannot be used: {board.obstacle}")
    return board


def absence(host: Host | None = None) -> Obstacle:
    """Why there is no board."""
    host = host or current_host()
    cards = [folder.name for folder in sorted(host.path(_DEVICES).glob("*")) if read_text(folder / "vendor") == _XILINX]
    if cards:
        return Obstacle(
            f"there is a Xilinx card at PCIe {', '.join(cards)}, but no function for programs (10ee:5021 for a U50)",
            "Flash the card's shell: sudo xbmgmt program --base, then reboot",
        )
    card = "no Xilinx card on PCIe (vendor 10ee)"
    look = "Seat and power a card, or pass it into this virtual machine. To try without one: "
    missing = _missing_library()
    if missing is not None:  # without it not even a virtual board can be tried
        virtual = f"apt install {VIRTUAL_PACKAGES}, then: ectoolkit device virtual"
        return Obstacle(f"{missing.problem}; and there is {card}", f"{missing.remedy}. {look}{virtual}")
    return Obstacle(card, f"{look}ectoolkit device virtual")


def has_board(host: Host | None = None) -> bool:
    """Whether a board is there that can be used."""
    return any(board.obstacle is None for board in find_boards(host))


def _is_user_function(folder: Path) -> bool:
    if read_text(folder / "vendor") != _XILINX:
        return False
    return int(read_text(folder / "device") or "0", 0) in USER_FUNCTIONS


def _board(host: Host, index: int, folder: Path) -> BoardFacts:
    driver = (folder / "driver").resolve().name if (folder / "driver").exists() else ""
    version = read_text(folder / "driver" / "module" / "version") or ""
    node = next((entry.name for entry in sorted((folder / "drm").glob("renderD*"))), None)
    render_node = host.path(f"/dev/dri/{node}") if node else None
    rom = subdevice(folder, "rom")
    platform = read_text(rom / "VBNV") if rom else None
    card = USER_FUNCTIONS[int(read_text(folder / "device") or "0", 0)]
    obstacle = _obstacle(folder, driver, render_node)
    note = host.notice or _version_note(version)
    return BoardFacts(index, folder.name, card, platform or "", driver, version, render_node, obstacle, note)


def _obstacle(folder: Path, driver: str, node: Path | None) -> Obstacle | None:
    """The first thing in the way: XRT, whose package brings the driver too; then from the card up."""
    bdf = folder.name
    missing = _missing_library()
    if missing is not None:
        return missing
    if driver != "xocl":
        found = f"the driver {driver} is bound" if driver else "no driver is bound"
        return Obstacle(
            f"{found} to {bdf}, expected xocl",
            "Install AMD's XRT package, which builds the driver for this kernel, then: sudo modprobe xocl",
        )
    ready = read_text(folder / "ready")
    if ready != "1":
        return Obstacle(
            f"the driver says that {bdf} is not ready (its file `ready` holds {ready!r}, expected '1')",
            "Look at: dmesg | grep xocl. A shell that does not fit is flashed with xbmgmt program",
        )
    if node is None or not node.exists():
        return Obstacle(
            f"{bdf} has no node {node or '/dev/dri/renderD*'}",
            f"In a container, pass it in: docker run --device {node or '/dev/dri/renderD128'}",
        )
    if not os.access(node, os.R_OK | os.W_OK):
        return Obstacle(
            f"this user may not open {node}", "Join its group: sudo usermod -aG render $USER, then log in again"
        )
    return None


def _missing_library() -> Obstacle | None:
    if find_library() is None and not has_pyxrt():
        return Obstacle(f"XRT is not installed: neither {LIBRARY} nor pyxrt is found", REMEDY)
    return None


def _version_note(driver: str) -> str:
    library = library_version()
    if driver and library and driver.split(".")[:2] != library.split(".")[:2]:
        return f"driver {driver} and library {library} differ: XRT wants both from one package"
    return ""
