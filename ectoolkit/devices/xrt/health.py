"""A board's health from the driver's files: cheap enough to refresh a panel, and no program is disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ectoolkit.devices.sensors import Reading
from ectoolkit.devices.xrt.discovery import find_board
from ectoolkit.devices.xrt.host import Host, current_host
from ectoolkit.devices.xrt.libraries import library_version
from ectoolkit.devices.xrt.sysfs import read_number, read_text, subdevice

_MICRO, _MILLI = 1e-6, 1e-3
#: shown name, subdevice, file, factor, unit
_SENSORS = (
    ("FPGA temperature", "xmc", "xmc_fpga_temp", 1.0, "°C"),
    ("board temperature", "xmc", "xmc_se98_temp0", 1.0, "°C"),
    ("HBM temperature", "xmc", "xmc_hbm_temp", 1.0, "°C"),
    ("power", "xmc", "xmc_power", _MICRO, "W"),
    ("12 V PEX", "xmc", "xmc_12v_pex_vol", _MILLI, "V"),
    ("12 V PEX current", "xmc", "xmc_12v_pex_curr", _MILLI, "A"),
    ("VCCINT", "xmc", "xmc_vccint_vol", _MILLI, "V"),
    ("VCCINT current", "xmc", "xmc_vccint_curr", _MILLI, "A"),
    ("PCIe lanes", "", "link_width", 1.0, ""),
)
_CLOCKS = ("data clock", "kernel clock", "memory clock")


@dataclass(frozen=True)
class Health:
    """How a board is.

    Attributes:
        bdf: its PCIe address.
        readings: temperatures, power, voltages, clocks, memory in use.
        shell: VBNV; empty where unknown.
        driver_version, library_version: of XRT; empty where unknown.
        xclbin: uuid of what is loaded; empty where nothing is.
        notice: what to know before believing the values; empty where nothing.
    """

    bdf: str
    readings: tuple[Reading, ...]
    shell: str
    driver_version: str
    library_version: str
    xclbin: str
    notice: str

    def __getitem__(self, name: str) -> Reading:
        return next(reading for reading in self.readings if reading.name == name)

    def __str__(self) -> str:
        head = f"{self.bdf}: shell {self.shell or 'not known'}, driver {self.driver_version or 'not known'}"
        notice = [f"note: {self.notice}"] if self.notice else []
        return "\n".join([head, *notice, *(f"  {reading}" for reading in self.readings)])


def read_health(address: str, host: Host | None = None) -> Health:
    """Read all sensors of a board once.

    Raises:
        DeviceNotFoundError: there is no such board.
    """
    host = host or current_host()
    board = find_board(address, host)
    function = host.path(f"/sys/bus/pci/devices/{board.bdf}")
    readings = []
    for name, part, file, factor, unit in _SENSORS:
        folder = subdevice(function, part) if part else function
        value, reason = read_number(folder, file, factor)
        readings.append(Reading(name, value, unit, reason))
    clocks = subdevice(function, "clock") or subdevice(function, "icap")
    readings.extend(_clock_readings(clocks))
    readings.append(_memory_in_use(function))
    loaded = read_text(function / "xclbinuuid") or ""
    return Health(
        board.bdf, tuple(readings), board.platform, board.driver_version, library_version(), loaded, host.notice
    )


def read_sensors(address: str, host: Host | None = None) -> tuple[Reading, ...]:
    """Power and temperatures alone, for sampling during a run and for a panel.

    Raises:
        DeviceNotFoundError: there is no such board.
    """
    host = host or current_host()
    folder = subdevice(host.path(f"/sys/bus/pci/devices/{find_board(address, host).bdf}"), "xmc")
    found = []
    for name, part, file, factor, unit in _SENSORS:
        if part == "xmc" and unit in ("W", "°C"):
            value, reason = read_number(folder, file, factor)
            found.append(Reading(name, value, unit, reason))
    return tuple(found)


def read_power_w(bdf: str, host: Host) -> float | None:
    """The power sensor alone, for sampling during a run."""
    folder = subdevice(host.path(f"/sys/bus/pci/devices/{bdf}"), "xmc")
    return read_number(folder, "xmc_power", _MICRO)[0]


def _clock_readings(folder: Path | None) -> list[Reading]:
    try:
        lines = (folder / "clock_freqs").read_text().split() if folder else []
    except OSError:
        lines = []
    found = []
    for position, name in enumerate(_CLOCKS):
        known = position < len(lines) and lines[position].isdecimal()
        value = float(lines[position]) if known else None
        found.append(Reading(name, value, "MHz", "" if known else "clock_freqs does not tell"))
    return found


def _memory_in_use(function: Path) -> Reading:
    """Sum over the banks, from lines of ``bytes buffers``."""
    try:
        rows = [line.split() for line in (function / "memstat_raw").read_text().splitlines()]
        used = sum(int(row[0]) for row in rows if row)
    except (OSError, ValueError) as error:
        return Reading("memory in use", None, "MiB", f"memstat_raw: {error}")
    if not rows:
        why = "" if read_text(function / "xclbinuuid") else ": no xclbin is loaded"
        return Reading("memory in use", None, "MiB", f"memstat_raw is empty{why}")
    return Reading("memory in use", used / 2**20, "MiB")
