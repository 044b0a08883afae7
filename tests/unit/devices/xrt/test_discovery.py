"""What is said of machines with no board, half a board, or a board in the way of itself; health with holes."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

import ectoolkit as ect
from ectoolkit.devices.xrt import absence, discovery, find_boards, has_board, read_health
from ectoolkit.devices.xrt.host import VARIABLE, Host
from ectoolkit.errors import DeviceError, DeviceNotFoundError, DeviceStateError
from ectoolkit.testing.virtual_u50.facts import BDF, MANAGEMENT_BDF, NOTICE, PLATFORM
from ectoolkit.testing.virtual_u50.tree import write_tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one board that works."""
    write_tree(tmp_path / "root")
    host = tmp_path / "host.json"
    Host(str(tmp_path / "root")).save(host)
    monkeypatch.setenv(VARIABLE, str(host))
    monkeypatch.setattr(discovery, "find_library", lambda: Path("libxrt_coreutil.so.2"))
    monkeypatch.setattr(discovery, "library_version", lambda: "2.13")
    return tmp_path / "root"


def user(tree: Path) -> Path:
    return tree / "sys/bus/pci/devices" / BDF


def reason() -> str:
    [board] = find_boards()
    info = ect.open_device("xrt:0").info()
    assert (info.available, info.reason) == (False, board.reason)
    assert not has_board()
    return board.reason


def test_a_board(tree: Path) -> None:
    [board] = find_boards()
    assert (board.index, board.bdf, board.card, board.platform) == (0, BDF, "U50", PLATFORM)
    assert (board.driver, board.driver_version, board.reason, board.note) == ("xocl", "2.13.466", "", "")
    assert board.description == f"Alveo U50 at {BDF}, shell {PLATFORM}"
    assert has_board()
    listed = {info.name: info for info in ect.list_devices()}
    assert listed["xrt:0"].available
    assert ect.open_device(f"xrt:{BDF}").info().available


def test_no_card(tree: Path) -> None:
    for name in (BDF, MANAGEMENT_BDF):
        (tree / "sys/bus/pci/devices" / name / "vendor").write_text("0x8086\n")
    text = (
        "no Xilinx card on PCIe (vendor 10ee). Seat and power a card, or pass it into this virtual machine. "
        "To try without one: ectoolkit device virtual"
    )
    assert (find_boards(), str(absence()), has_board()) == ([], text, False)
    listed = {info.name: info for info in ect.list_devices()}
    assert (listed["xrt:0"].available, listed["xrt:0"].reason) == (False, text)
    # a design is asked for when there is a board that it could run on
    for use in (lambda: discovery.find_board("0"), lambda: ect.open_device("xrt:0").__enter__()):
        with pytest.raises(DeviceNotFoundError) as caught:
            use()
        assert str(caught.value) == f"there is no board 'xrt:0': {text}"


def test_only_the_management_function(tree: Path) -> None:
    (user(tree) / "vendor").write_text("0x8086\n")
    assert str(absence()) == (
        f"there is a Xilinx card at PCIe {MANAGEMENT_BDF}, but no function for programs (10ee:5021 for a U50). Flash "
        "the card's shell: sudo xbmgmt program --base, then reboot"
    )


def test_no_driver(tree: Path) -> None:
    (user(tree) / "driver").unlink()
    rest = (
        f"to {BDF}, expected xocl. Install AMD's XRT package, which builds the driver for this kernel, then: sudo "
        "modprobe xocl"
    )
    assert reason() == f"no driver is bound {rest}"
    (user(tree) / "driver").symlink_to("../../drivers/xclmgmt")
    assert reason() == f"the driver xclmgmt is bound {rest}"


def test_not_ready(tree: Path) -> None:
    (user(tree) / "ready").write_text("0\n")
    assert reason() == (
        f"the driver says that {BDF} is not ready (its file `ready` holds '0', expected '1'). Look at: dmesg | grep "
        "xocl. A shell that does not fit is flashed with xbmgmt program"
    )


def test_no_render_node(tree: Path) -> None:
    node = tree / "dev/dri/renderD128"
    node.unlink()
    assert reason() == f"{BDF} has no node {node}. In a container, pass it in: docker run --device {node}"
    (user(tree) / "drm/renderD128").rmdir()
    assert reason() == (
        f"{BDF} has no node /dev/dri/renderD*. In a container, pass it in: docker run --device /dev/dri/renderD128"
    )


def test_not_permitted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may open everything
    assert reason() == (
        f"this user may not open {tree}/dev/dri/renderD128. Join its group: sudo usermod -aG render $USER, then log in "
        "again"
    )


def test_no_xrt(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find_library", lambda: None)
    monkeypatch.setattr(discovery, "has_pyxrt", lambda: False)
    assert reason() == (
        "XRT is not installed: neither libxrt_coreutil.so.2 nor pyxrt is found. Install AMD's XRT package for your "
        "distribution (from the Alveo U50's download page), or Debian's: apt install libxrt1"
    )


def test_what_is_missing_first_is_named_first(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XRT, its driver, the board, and only then a design for it."""

    def said() -> str:
        with pytest.raises(DeviceError) as caught:
            ect.open_device("xrt:0").__enter__()
        return str(caught.value)

    assert said().startswith("xrt:0 needs an xclbin with the kernel ectoolkit_graph to run deployments: ")
    (user(tree) / "ready").write_text("0\n")
    assert said().startswith(f"xrt:0 cannot be used: the driver says that {BDF} is not ready ")
    (user(tree) / "driver").unlink()
    assert said().startswith(f"xrt:0 cannot be used: no driver is bound to {BDF}, expected xocl. ")
    monkeypatch.setattr(discovery, "find_library", lambda: None)
    monkeypatch.setattr(discovery, "has_pyxrt", lambda: False)
    missing = "XRT is not installed: neither libxrt_coreutil.so.2 nor pyxrt is found"
    remedy = (
        "Install AMD's XRT package for your distribution (from the Alveo U50's download page), or Debian's: apt "
        "install libxrt1"
    )
    assert said() == f"xrt:0 cannot be used: {missing}. {remedy}"
    for name in (BDF, MANAGEMENT_BDF):
        (tree / "sys/bus/pci/devices" / name / "vendor").write_text("0x8086\n")
    assert said() == (
        f"there is no board 'xrt:0': {missing}; and there is no Xilinx card on PCIe (vendor 10ee). {remedy}. Seat "
        "and power a card, or pass it into this virtual machine. To try without one: apt install libxrt1 libxrt-dev "
        "uuid-dev gcc, then: ectoolkit device virtual"
    )


def test_versions_that_differ(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "library_version", lambda: "2.16")
    [board] = find_boards()
    assert board.reason == ""
    assert board.note == "driver 2.13.466 and library 2.16 differ: XRT wants both from one package"


def test_names_that_are_none(tree: Path) -> None:
    for address, text in (
        ("fpga", "'xrt:fpga' names no board: expected its number, as xrt:0, or its PCIe address, as xrt:0000:17:00.1"),
        ("1", f"there is no board 'xrt:1': there is xrt:0 at {BDF}"),
        ("0000:17:00.1", f"there is no board 'xrt:0000:17:00.1': there is xrt:0 at {BDF}"),
    ):
        with pytest.raises(DeviceNotFoundError) as caught:
            discovery.find_board(address)
        assert str(caught.value) == text
        info = ect.open_device(f"xrt:{address}").info()
        assert (info.name, info.available, info.reason) == (f"xrt:{address}", False, text)


def test_a_virtual_board_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone.json"
    monkeypatch.setenv(VARIABLE, str(gone))
    text = (
        f"{VARIABLE} names {gone}, where no virtual board is ([Errno 2] No such file or directory: '{gone}'). Start "
        f"one with `ectoolkit device virtual`, or unset {VARIABLE}"
    )
    with pytest.raises(DeviceStateError) as caught:
        find_boards()
    assert str(caught.value) == text
    listed = {info.name: info for info in ect.list_devices()}
    assert listed["xrt:0"].reason == text


def test_health(tree: Path) -> None:
    health = read_health("0")
    assert (health.shell, health.driver_version, health.xclbin, health.notice) == (PLATFORM, "2.13.466", "", "")
    assert {r.name: r.value for r in health.readings} == {
        "FPGA temperature": 41,
        "board temperature": 38,
        "HBM temperature": 44,
        "power": 12,
        "12 V PEX": 12,
        "12 V PEX current": 1,
        "VCCINT": 0.851,
        "VCCINT current": 5.2,
        "PCIe lanes": 16,
        "data clock": 300,
        "kernel clock": 500,
        "memory clock": 450,
        "memory in use": None,
    }


def test_health_with_holes(tree: Path) -> None:
    sensors = user(tree) / "xmc.u.0"
    (sensors / "xmc_power").unlink()
    (sensors / "xmc_fpga_temp").write_text("hot\n")
    (sensors / "xmc_hbm_temp").write_text("")
    (user(tree) / "memstat_raw").write_text("1048576 1\n2097152 2\n")
    (user(tree) / "clock.u.0" / "clock_freqs").write_text("300\n")
    health = read_health("0")
    assert str(health["power"]) == "power: not known: xmc_power is not there or empty"
    assert health["FPGA temperature"].reason == "xmc_fpga_temp reads 'hot', which is no number"
    assert health["HBM temperature"].value is None
    assert str(health["memory in use"]) == "memory in use: 3 MiB"
    assert str(health["kernel clock"]) == "kernel clock: not known: clock_freqs does not tell"
    memory = user(tree) / "memstat_raw"
    memory.write_text("")
    assert read_health("0")["memory in use"].reason == "memstat_raw is empty: no xclbin is loaded"
    (user(tree) / "xclbinuuid").write_text(f"{UUID(int=1)}\n")
    assert read_health("0")["memory in use"].reason == "memstat_raw is empty"
    for file in sensors.iterdir():
        file.unlink()
    sensors.rmdir()
    assert read_health("0")["power"].reason == "the driver shows no such sensor"


def test_a_virtual_board_says_that_it_is_one(virtual: object) -> None:
    health = read_health("0")
    assert health.notice == NOTICE == "virtual board: sensor values are invented"
    assert "note: virtual board: sensor values are invented" in str(health).splitlines()
    assert ect.open_device("xrt:0").info().description.endswith(f" ({NOTICE})")
