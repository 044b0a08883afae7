"""Full text of what is said when a board, XRT or a program on it fails: every row of XRT's own table that the virtual
board can inject, and what is refused before XRT sees it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit import errors
from ectoolkit.devices.xrt import Board, Buffer, measure_banks, measure_kernel, messages, run_layer
from ectoolkit.devices.xrt.refusals import explain
from ectoolkit.testing.networks import residual_graph
from ectoolkit.testing.virtual_u50 import Fault, VirtualBoard
from ectoolkit.testing.virtual_u50.facts import PLATFORM
from ectoolkit.testing.virtual_u50.kernels import KERNELS
from ectoolkit.testing.virtual_u50.xclbin_file import KernelSpec, Parameter, write_xclbin

STAND_IN = Path(__file__).parents[1] / "helpers" / "stand_in"
BDF = "0000:e0:00.1"
LOAD = "xrt:0 could not load virtual_u50.xclbin"


def message_of(action: Callable[[], Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.fixture
def board(virtual: VirtualBoard) -> Iterator[Board]:
    with Board("0", backend="ctypes") as opened:
        opened.load(virtual.xclbin)
        yield opened


@pytest.fixture
def vectors(board: Board) -> tuple[Buffer, Buffer, Buffer]:
    return tuple(board.buffer("vector_add", name, 64) for name in "abc")  # type: ignore[return-value]


# --- XRT refuses ---------------------------------------------------------------------------------------------------


def test_not_permitted(virtual: VirtualBoard) -> None:
    virtual.inject(Fault.NOT_PERMITTED)
    with pytest.raises(errors.BoardPermissionError) as caught:
        Board("0", backend="ctypes").open()
    assert str(caught.value) == (
        "xrt:0 could not be opened: this user may not open the board (XRT: Could not open device with index '0'). Join "
        "the group of /dev/dri/renderD*: sudo usermod -aG render $USER, then log in again"
    )
    assert "WARNING: dev_init failed: -13" in caught.value.log
    with Board("0", backend="ctypes"):
        pass


REFUSED = [
    (
        Fault.WRONG_SHELL,
        errors.BoardPlatformError,
        f"{LOAD}: the xclbin was linked for another shell than the board runs (XRT: failed to load xclbin: Operation "
        "not supported). Link it for the board's shell, or flash the shell it needs: sudo xbmgmt program --base "
        f"--device {BDF}",
        "Xclbin does not match shell on card.",
    ),
    (
        Fault.IN_USE,
        errors.BoardBusyError,
        f"{LOAD}: another process uses the board or this compute unit (XRT: failed to load xclbin: Device or resource "
        f"busy). Wait for it or end it; `xbutil examine --device {BDF}` shows who it is",
        "Xclbin on card is in use, can't change.",
    ),
    (
        Fault.HUNG_UNIT,
        errors.BoardHungError,
        f"{LOAD}: a compute unit hangs, and the board takes nothing new (XRT: failed to load xclbin: Resource deadlock "
        f"avoided). Reset the board: sudo xbutil reset --device {BDF}",
        "Please reset device with 'xbutil reset'",
    ),
    (
        Fault.UNSIGNED,
        errors.BoardSignatureError,
        f"{LOAD}: the board takes signed files only, and this one is not (XRT: failed to load xclbin: Key was rejected "
        "by service). Sign it with a key that the kernel knows (xclbinutil --add-signature), or ask whoever runs the "
        "machine",
        "Xclbin isn't signed properly",
    ),
    (
        Fault.NO_MANAGEMENT,
        errors.BoardError,
        f"{LOAD}: the board's management function does not answer (XRT: failed to load xclbin: Connection timed out). "
        "Load its driver on the host: sudo modprobe xclmgmt; in a virtual machine, start MSD and MPD",
        "Can't reach out to mgmt for xclbin downloading",
    ),
]


@pytest.mark.parametrize(("fault", "kind", "text", "log"), REFUSED, ids=lambda value: str(value)[:15])
def test_refused_load(virtual: VirtualBoard, fault: Fault, kind: type[Exception], text: str, log: str) -> None:
    with Board("0", backend="ctypes") as board:
        virtual.inject(fault)
        with pytest.raises(kind) as caught:
            board.load(virtual.xclbin)
        assert type(caught.value) is kind
        assert str(caught.value) == text
        assert log in caught.value.log  # type: ignore[attr-defined]
        board.load(virtual.xclbin)  # it is none the worse for it


def test_refused_load_through_pyxrt(virtual: VirtualBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exceptions are more generic still, and the cause stands in the log alone."""
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setenv("ECTOOLKIT_PYXRT_API", "2.13")
    with Board("0", backend="pyxrt") as board:
        for fault, kind, text, log in REFUSED:
            virtual.inject(fault)
            with pytest.raises(kind) as caught:
                board.load(virtual.xclbin)
            assert type(caught.value) is kind
            assert str(caught.value) == re.sub(r"XRT: failed to load xclbin: [^)]*", "XRT: failed to load xclbin", text)
            assert log in caught.value.log
        board.load(virtual.xclbin)


def test_files_as_xrt_takes_them(virtual: VirtualBoard, tmp_path: Path) -> None:
    """Past our own reader: what XRT says of files that are none; beyond the end of a truncated one it reads on."""
    whole = Path(virtual.xclbin).read_bytes()
    path = tmp_path / "x.xclbin"
    lost = died("SIGSEGV", "load it")
    for content, said in (
        (None, (f"XRT says: Failed to open file '{path}' for reading.",)),
        (b"no xclbin" * 100, ("XRT says: Invalid xclbin.",)),
        (
            whole[: len(whole) // 2],
            ("XRT says: failed to load xclbin: Invalid argument.", "(XRT: std::bad_alloc).", lost),
        ),
        (whole[:600], ("XRT says: failed to load xclbin: Invalid argument.", "(XRT: std::bad_alloc).", lost)),
    ):
        if content is not None:
            path.write_bytes(content)
        with Board("0", backend="ctypes") as board, pytest.raises(errors.BoardError) as caught:
            board._ask(messages.LoadXclbin(str(path)), "load it")
        assert any(text in str(caught.value) for text in said), str(caught.value)
    with Board("0", backend="ctypes") as board:
        board.load(virtual.xclbin)


def test_no_memory(virtual: VirtualBoard, board: Board) -> None:
    virtual.inject(Fault.NO_MEMORY)
    assert message_of(lambda: board.buffer_in(3, 4096), errors.BoardMemoryError) == (
        "xrt:0 could not make a buffer of 4096 bytes in HBM[3]: the board has no room for it (XRT: std::bad_alloc). "
        "Free buffers, use another bank or split the buffer"
    )
    board.buffer_in(3, 4096)


def test_a_full_bank(board: Board) -> None:
    first = board.buffer_in(7, 200 << 20)
    assert message_of(lambda: board.buffer_in(7, 100 << 20), errors.BoardMemoryError) == (
        "xrt:0 could not make a buffer of 104857600 bytes in HBM[7]: the board has no room for it (XRT: "
        "std::bad_alloc). Free buffers, use another bank or split the buffer"
    )
    first.free()
    board.buffer_in(7, 100 << 20)


def test_names_that_xrt_does_not_find(board: Board) -> None:
    """Ours are found before; XRT's own words are kept where its file and its metadata differ."""
    for name, said in (
        ("nothing", "No such kernel 'nothing': Invalid argument"),
        ("vector_add:{x}", "No compute units matching 'vector_add:{x}'"),
    ):
        ask = messages.OpenKernel(name, False)
        assert message_of(lambda ask=ask: board._ask(ask, "open it"), errors.BoardError) == (  # type: ignore[misc]
            f"xrt:0 could not open it: XRT says: {said}. Its log is in the exception's `log`, the driver's in dmesg"
        )


def test_a_cause_nobody_knows() -> None:
    error = explain("do it", "xrt:0", BDF, "the moon is wrong", "[XRT] ERROR: the moon is wrong")
    assert str(error) == (
        "xrt:0 could not do it: XRT says: the moon is wrong. Its log is in the exception's `log`, the driver's in dmesg"
    )
    assert (error.raised, error.log) == ("the moon is wrong", "[XRT] ERROR: the moon is wrong")


# --- kernels fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.LOST_COMPLETION])
def test_no_end(virtual: VirtualBoard, board: Board, vectors: tuple[Buffer, ...], fault: Fault) -> None:
    virtual.inject(fault)
    run = lambda: board.run("vector_add", *vectors, 4, timeout_s=0.3)  # noqa: E731
    assert message_of(run, errors.DeviceTimeoutError) == (
        "kernel vector_add did not end within 0.3 s on xrt:0. The run is dropped and the board closed: open it again. "
        f"If it hangs again, give it longer (timeout_s), or reset the board: sudo xbutil reset --device {BDF}"
    )
    assert message_of(run, errors.DeviceStateError) == (
        "nothing is loaded on xrt:0; call board.load(path_of_xclbin) first"
    )
    assert message_of(lambda: vectors[0].to_device(), errors.DeviceStateError) == (
        "xrt:0 is not open; use it as `with Board('0') as board:`"
    )
    board.open()
    board.load(virtual.xclbin)
    assert board.run("vector_add", *(board.buffer("vector_add", name, 64) for name in "abc"), 4) < 1


@pytest.mark.parametrize("count", [4, 10**6])
def test_an_end_in_error(virtual: VirtualBoard, board: Board, vectors: tuple[Buffer, ...], count: int) -> None:
    """Told to, or because the kernel reaches beyond its buffers."""
    if count == 4:
        virtual.inject(Fault.ERROR)
    assert message_of(lambda: board.run("vector_add", *vectors, count), errors.DeviceRunError) == (
        "kernel vector_add ended in state 'error' on xrt:0, expected 'completed'; its results are not valid. Look at: "
        f"dmesg | grep xocl, and at the firewall: xbutil examine --device {BDF} --report firewall"
    )
    board.run("vector_add", *vectors, 4)


# --- XRT dies ------------------------------------------------------------------------------------------------------


def died(signal: str, doing: str, printed: str = "nothing") -> str:
    return (
        f"the process that talks to XRT was ended by {signal} while it was to {doing}; this notebook is unharmed. The "
        f"last it printed: {printed}. Open the board again; if it happens again, the fault is XRT's or the driver's"
    )


def test_an_empty_xclbin_ends_xrt(board: Board, tmp_path: Path) -> None:
    """Which is why files are read here first."""
    (tmp_path / "empty.xclbin").touch()
    ask = messages.LoadXclbin(str(tmp_path / "empty.xclbin"))
    assert message_of(lambda: board._ask(ask, "load it"), errors.BoardLostError) == died("SIGSEGV", "load it")
    assert message_of(lambda: board.buffer_in(0, 64), errors.DeviceStateError) == (
        "xrt:0 is not open; use it as `with Board('0') as board:`"
    )


def test_arguments_that_xrt_does_not_check(board: Board, vectors: tuple[Buffer, ...]) -> None:
    """Which is why they are checked here: of a buffer for a scalar XRT's C library says nothing, and runs."""
    kernel = board._kernel("vector_add", False)
    buffers: list[messages.Argument] = [messages.BufferArgument(buffer.handle) for buffer in vectors]
    count = messages.ScalarArgument(4, 4)
    ask = messages.Run(kernel, [messages.ScalarArgument(5, 8), *buffers[1:], count], 1.0)
    assert message_of(lambda: board._ask(ask, "run it"), errors.BoardError) == (
        "xrt:0 could not run it: XRT says: No such handle: Invalid argument. Its log is in the exception's `log`, the "
        "driver's in dmesg"
    )


# --- refused before XRT sees it ------------------------------------------------------------------------------------


def test_files(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "design.xclbin"
    expected = [
        (None, f"{path} does not exist; expected an .xclbin file"),
        (b"", f"{path} is empty; expected an .xclbin file. Copy or link it again"),
        (b"xclbin2\0", f"{path} is truncated: 8 bytes, and the header alone has 456. Copy it again"),
    ]
    for content, text in expected:
        if content is not None:
            path.write_bytes(content)
        assert message_of(lambda: board.load(path), errors.XclbinError) == text
    write_xclbin(path, [spec for spec, _ in KERNELS.values()], platform="xilinx_u50_gen3x16_xdma_base_5")
    assert message_of(lambda: board.load(path), errors.BoardPlatformError) == (
        f"{path} was linked for the shell xilinx_u50_gen3x16_xdma_base_5, and xrt:0 runs {PLATFORM}. Link it for that "
        f"one (v++ --platform {PLATFORM}), or flash the other: sudo xbmgmt program --base --device {BDF}"
    )


def test_buffers(board: Board) -> None:
    names = ", ".join(f"{index} (HBM[{index}])" for index in range(32))
    for action, kind, text in (
        (
            lambda: board.buffer_in(32, 1),
            errors.BoardMemoryError,
            f"xrt:0 has no memory bank 32 in this xclbin; it has {names}",
        ),
        (
            lambda: board.buffer_in(2, 2**28 + 1),
            errors.BoardMemoryError,
            "a buffer of 268435457 bytes does not fit HBM[2], which has 268435456 bytes",
        ),
        (
            lambda: board.buffer("vector_add", "count", 4),
            errors.XclbinError,
            "kernel vector_add has no buffer argument 'count'; it has a, b, c",
        ),
        (
            lambda: board.buffer_in(0, 64).write(np.zeros(10), 8),
            errors.InputError,
            "80 bytes at 8 do not fit a buffer of 64 bytes",
        ),
        (
            lambda: board.buffer_in(0, 64).read("int32", (4, 5)),
            errors.InputError,
            "80 bytes at 0 do not fit a buffer of 64 bytes",
        ),
    ):
        assert message_of(action, kind) == text


def test_arguments(virtual: VirtualBoard, board: Board, vectors: tuple[Buffer, ...]) -> None:
    a, b, c = vectors
    lost = board.buffer("vector_add", "a", 64)
    lost.free()
    with Board("0", backend="ctypes") as other:
        other.load(virtual.xclbin)
        foreign = other.buffer("vector_add", "a", 64)
    whole = "argument 3 (count) of kernel vector_add"
    gone = "argument 0 (a) of kernel vector_add: the buffer was freed, or is of a board that was closed"
    for given, text in (
        ((a, b, c), "kernel vector_add takes 4 arguments (a, b, c, count), got 3"),
        (
            (a, 5, c, 4),
            "argument 1 (b) of kernel vector_add is a buffer, got 5. Make one with board.buffer('vector_add', 'b', "
            "size_bytes)",
        ),
        ((a, b, c, a), f"{whole} is a scalar (uint), got a buffer"),
        ((a, b, c, 1.5), f"{whole} is a whole number (uint), got 1.5"),
        ((a, b, c, True), f"{whole} is a whole number (uint), got True"),
        ((a, b, c, 2**32), f"{whole} has 32 bits (uint), got 4294967296"),
        ((b, b, c, 4), "argument 0 (a) of kernel vector_add must lie in HBM[0], got a buffer in HBM[1]"),
        ((lost, b, c, 4), gone),
        ((foreign, b, c, 4), gone),
    ):
        assert message_of(lambda given=given: board.run("vector_add", *given), errors.KernelArgumentError) == text  # type: ignore[misc]
    assert board.run("vector_add", a, b, c, np.int64(4)) > 0


def test_settings(board: Board, vectors: tuple[Buffer, ...]) -> None:
    for action, text in (
        (lambda: Board(backend="vitis"), "backend 'vitis' is unknown; there are auto, pyxrt, ctypes"),
        (
            lambda: board.run("vector_add", *vectors, 4, timeout_s=0),
            "repeats=1, depth=1, timeout_s=0: expected at least one run, one in flight and a time above 0",
        ),
        (
            lambda: measure_kernel(board, "vector_add", *vectors, 4, runs=0),
            "runs=0, warmup=5: expected at least one run to time, and no less than no warmup",
        ),
        (
            lambda: measure_banks(board, repeats=0),
            "size_bytes=16777216, repeats=0: expected at least one byte, copied once",
        ),
    ):
        assert message_of(action, errors.DeviceError) == text


def test_another_backend_than_there_is(virtual: VirtualBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert message_of(lambda: Board("0", backend="pyxrt").open(), errors.BoardError) == (
        "xrt:0 could not be opened: XRT says: pyxrt does not load: No module named 'pyxrt'. Its log is in the "
        "exception's `log`, the driver's in dmesg"
    )


def test_layers(board: Board) -> None:
    graph = residual_graph()
    x = np.zeros((1, 3, 6, 5), np.uint8)
    assert message_of(lambda: run_layer(board, graph, "pool", x), errors.UnsupportedOpError) == (
        "layer pool (global_avg_pool) has no kernel of its own on the board; those that have: conv2d, linear"
    )
    assert message_of(lambda: run_layer(board, graph, "stem", x[:, :2]), errors.InputError) == (
        "layer stem takes uint8 1×3×6×5 NCHW, got uint8 (1, 2, 6, 5)"
    )


def test_deployments_need_a_kernel_that_takes_them(
    virtual: VirtualBoard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    design = write_xclbin(tmp_path / "x.xclbin", [KernelSpec("add", (Parameter("x", 0),))], uid=uuid.UUID(int=9))
    device = ect.open_device("xrt:0", xclbin=design, backend="ctypes")
    assert message_of(device.__enter__, errors.XclbinError) == f"{design} has no kernel 'ectoolkit_graph'; it has add"
    monkeypatch.setattr("ectoolkit.devices.xrt.device.current_host", lambda: virtual.host.__class__())
    assert message_of(ect.open_device("xrt:0").__enter__, errors.DeviceError) == (
        "xrt:0 needs an xclbin with the kernel ectoolkit_graph to run deployments: open_device('xrt:0', "
        "xclbin='design.xclbin'). EdgeCortix's own design is opened as 'mera:IP'; for other kernels use "
        "ectoolkit.devices.xrt.Board"
    )


# --- the virtual board itself --------------------------------------------------------------------------------------


def test_virtual_board(virtual: VirtualBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    from ectoolkit.testing.virtual_u50 import board as starter
    from ectoolkit.testing.virtual_u50 import compile as compiler

    assert message_of(lambda: virtual.inject("fire"), errors.DeviceError) == (
        "the virtual board has no fault 'fire'; it has not permitted, wrong shell, in use, hung unit, unsigned, no "
        "management, no memory, hang, error, lost completion, wrong result"
    )
    remedy = "On Debian and Ubuntu: apt install libxrt1 libxrt-dev uuid-dev gcc"
    monkeypatch.setattr(compiler, "HEADERS", (Path("/nowhere/xocl_ioctl.h"), Path("/nowhere/uuid.h")))
    headers = "/nowhere/xocl_ioctl.h, /nowhere/uuid.h"
    start = starter.virtual_u50().__enter__
    assert message_of(start, errors.MissingDependencyError) == (
        f"The virtual U50 cannot start: not found: {headers}. {remedy}"
    )
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiler, "find_library", lambda: None)
    start = starter.virtual_u50().__enter__
    assert message_of(start, errors.MissingDependencyError) == (
        f"The virtual U50 cannot start: not found: libxrt_coreutil.so.2, {headers}, gcc. {remedy}"
    )
