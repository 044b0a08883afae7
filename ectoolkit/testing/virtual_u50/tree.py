"""The files under ``/sys`` and ``/dev`` by which XRT and ectoolkit see the virtual board.

Names and forms are those of the xocl driver that XRT 2.13 reads.
"""

from __future__ import annotations

from pathlib import Path

from ectoolkit.testing.virtual_u50.facts import (
    BANK_BYTES,
    BANKS,
    BDF,
    CLOCKS_MHZ,
    CORE_CELSIUS,
    HBM_CELSIUS,
    IDLE_WATTS,
    MANAGEMENT_BDF,
    NOTICE,
    PLATFORM,
    RENDER_NODE,
    XRT_VERSION,
)

_PCI = "sys/bus/pci/devices"
_IDENTITY = {"vendor": "0x10ee", "subsystem_vendor": "0x10ee", "subsystem_device": "0x000e", "class": "0x120000"}
_VOLTS, _MILLI = 12.0, 1000


def write_tree(root: Path) -> None:
    """Write the whole tree under a folder that stands for ``/``."""
    user = root / _PCI / BDF
    _write(user, {**_IDENTITY, "device": "0x5021", "ready": "1", "userbar": "0", "user_pf": "", "link_width": "16"})
    _write(user, {"link_speed": "8", "link_width_max": "16", "link_speed_max": "8", "p2p_enable": "0", "kds_mode": "1"})
    _write(user, {"kds_numcdmas": "0", "kds_custat_raw": "", "kds_scustat_raw": "", "kds_interrupt": "0", "mfg": "0"})
    _write(user, {"resource": "0x00000000f0000000 0x00000000f1ffffff 0x000000000014220c", "ectoolkit_notice": NOTICE})
    _write(user, {"xclbinuuid": "", "memstat_raw": "", "board_name": "U50", "logic_uuids": "0" * 32})
    (user / "drm" / RENDER_NODE).mkdir(parents=True, exist_ok=True)
    rom = {
        "VBNV": PLATFORM,
        "FPGA": "xcu50 (none)",
        "ddr_bank_size": str(BANK_BYTES >> 30),
        "uuid": "",
        "timestamp": "0",
    }
    _write(user / "rom.u.0", {**rom, "ddr_bank_count_max": str(BANKS)})
    clocks = {"clock_freqs": "\n".join(str(mhz) for _, _, mhz in CLOCKS_MHZ)}
    _write(user / "icap.u.0", {"xclbinuuid": "", "idcode": "0x14b77093", **clocks})
    _write(user / "clock.u.0", {**clocks})
    _write(user / "xmc.u.0", {**_sensors(), "version": "0", "status": "1"})
    _write(user / "firewall.u.0", {"detected_status": "0", "detected_level": "0", "detected_time": "0", "status": "0"})
    _write(user / "dma.xdma.u.0", {"channel_stat_raw": "0 0\n0 0"})
    management = root / _PCI / MANAGEMENT_BDF
    _write(management, {**_IDENTITY, "device": "0x5020", "ready": "1", "mgmt_pf": "", "instance": "0"})
    _write(root / "sys/bus/pci/drivers/xocl/module", {"version": XRT_VERSION})
    _write(root / "sys/bus/pci/drivers/xclmgmt/module", {"version": XRT_VERSION})
    for bdf, driver in ((BDF, "xocl"), (MANAGEMENT_BDF, "xclmgmt")):
        (root / _PCI / bdf / "driver").symlink_to(f"../../drivers/{driver}")
        (root / f"sys/bus/pci/drivers/{driver}" / bdf).symlink_to(f"../../devices/{bdf}")
    _write(root / "dev/dri", {RENDER_NODE: ""})


def write_power(root: Path, watts: float) -> None:
    """Change the power sensor, as a running kernel does."""
    folder = root / _PCI / BDF / "xmc.u.0"
    _write(folder, {"xmc_12v_pex_curr": str(round(watts / _VOLTS * _MILLI)), "xmc_power": str(round(watts * 1e6))})


def write_units(root: Path, rows: list[str], uid: str) -> None:
    """Say which compute units the loaded xclbin has."""
    user = root / _PCI / BDF
    _write(user, {"kds_custat_raw": "\n".join(rows), "xclbinuuid": uid})
    _write(user / "icap.u.0", {"xclbinuuid": uid})


def write_memory(root: Path, usage: list[tuple[int, int]]) -> None:
    """Say what the loaded xclbin's banks hold: bytes and number of buffers of each."""
    rows = [f"{used} {count}" for used, count in usage]
    _write(root / _PCI / BDF, {"memstat_raw": "\n".join(rows)})


def _sensors() -> dict[str, str]:
    return {
        "xmc_fpga_temp": str(CORE_CELSIUS),
        "xmc_se98_temp0": "38",
        "xmc_hbm_temp": str(HBM_CELSIUS),
        "xmc_12v_pex_vol": str(round(_VOLTS * _MILLI)),
        "xmc_12v_pex_curr": str(round(IDLE_WATTS / _VOLTS * _MILLI)),
        "xmc_power": str(round(IDLE_WATTS * 1e6)),
        "xmc_vccint_vol": "851",
        "xmc_vccint_curr": "5200",
        "serial_num": "VIRTUAL",
        "bd_name": "ALVEO U50 (virtual)",
    }


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        # renamed into place: a reader never sees half a value
        temporary = folder / f".{name}.new"
        temporary.write_text(f"{text}\n" if text else "")
        temporary.rename(folder / name)
