"""What hangs, dies or is cancelled in the child leaves the notebook alone; and nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.xrt import Board, Buffer, messages
from ectoolkit.devices.xrt.discovery import find_board
from ectoolkit.devices.xrt.host import current_host
from ectoolkit.devices.xrt.process import XrtProcess
from ectoolkit.errors import BoardLostError, Cancelled, DeviceStateError, DeviceTimeoutError
from ectoolkit.testing.virtual_u50 import Fault, VirtualBoard

COUNT = 256


def vectors(board: Board) -> tuple[Buffer, Buffer, Buffer]:
    a, b, c = (board.buffer("vector_add", name, 4 * COUNT) for name in "abc")
    for buffer in (a, b):
        buffer.write(np.arange(COUNT, dtype=np.int32))
        buffer.to_device()
    return a, b, c


def ticks_during(action: Callable[[], object]) -> int:
    """How often another thread of this process came to its turn, at 10 ms."""
    count, over = 0, threading.Event()

    def tick() -> None:
        nonlocal count
        while not over.wait(0.01):
            count += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        action()
    finally:
        over.set()
        thread.join()
    return count


@pytest.mark.alone
def test_a_hung_kernel(virtual: VirtualBoard, backend: str) -> None:
    """It ends within its timeout and a second, while this process keeps running: pyxrt alone would hold it up."""
    with Board("0", backend=backend) as board:
        board.load(virtual.xclbin)
        buffers = vectors(board)
        virtual.inject(Fault.HANG)
        took = 0.0

        def hang() -> None:
            nonlocal took
            start = time.perf_counter()
            with pytest.raises(DeviceTimeoutError):
                board.run("vector_add", *buffers, COUNT, timeout_s=1)
            took = time.perf_counter() - start

        ticks = ticks_during(hang)
        usual = ticks_during(lambda: time.sleep(took))
        assert 1 <= took < 2
        assert ticks >= 0.8 * usual
        assert not any(buffer.alive for buffer in buffers)


@pytest.mark.alone
@pytest.mark.parametrize("doing", ["copy a buffer to the device", "fill a buffer"])
def test_xrt_itself_hangs(virtual: VirtualBoard, monkeypatch: pytest.MonkeyPatch, doing: str) -> None:
    """A call that never comes back, not even to look at the clock or to read what is sent: the child is ended."""
    with Board("0", backend="ctypes") as board:
        board.load(virtual.xclbin)
        buffer = board.buffer_in(0, 8 << 20)
        pid = board._process.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(Board._ask, "__defaults__", (0.2,))
        start = time.perf_counter()
        with pytest.raises(DeviceTimeoutError) as caught:
            buffer.to_device() if doing.startswith("copy") else buffer.write(np.zeros(8 << 20, np.uint8))
        assert time.perf_counter() - start < 1.7
        assert str(caught.value) == (
            f"the board did not {doing} within 0.2 s, and XRT did not come back; the board is closed, open it again"
        )
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(DeviceStateError):
            buffer.to_device()
    virtual.settle()


def test_the_child_is_killed(virtual: VirtualBoard) -> None:
    with Board("0", backend="ctypes") as board:
        board.load(virtual.xclbin)
        buffers = vectors(board)
        virtual.inject(Fault.HANG)
        pid = board._process.pid  # type: ignore[union-attr]
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(BoardLostError) as caught:
            board.run("vector_add", *buffers, COUNT)
        assert str(caught.value).startswith(
            "the process that talks to XRT was ended by SIGKILL while it was to run kernel vector_add; this notebook "
            "is unharmed."
        )
        assert virtual.settle()["used_bytes"] == 0
        board.open()
        board.load(virtual.xclbin)


@pytest.mark.alone
def test_cancel(virtual: VirtualBoard) -> None:
    with Board("0", backend="ctypes") as board:
        board.load(virtual.xclbin)
        buffers = vectors(board)
        virtual.inject(Fault.HANG)
        threading.Timer(0.2, board.cancel).start()
        start = time.perf_counter()
        with pytest.raises(Cancelled) as caught:
            board.run("vector_add", *buffers, COUNT, timeout_s=60)
        assert time.perf_counter() - start < 2
        assert str(caught.value) == (
            "cancelled while the board was to run kernel vector_add; the board is closed, open it again"
        )
        virtual.settle()
        board.open()
        board.load(virtual.xclbin)
        a, b, c = vectors(board)
        board.run("vector_add", a, b, c, COUNT)


def test_a_device_whose_board_hangs_is_closed(virtual: VirtualBoard, deployment: Deployment) -> None:
    device = ect.open_device("xrt:0", timeout_s=5)
    with device:
        device.load(deployment)
        virtual.inject(Fault.HANG)
        device._timeout_s = 0.3  # type: ignore[attr-defined]
        with pytest.raises(DeviceTimeoutError):
            device.run(deployment)
        with pytest.raises(DeviceStateError, match=r"^xrt:0 is not open; use it as "):
            device.run(deployment)
    with device:
        assert ect.compare(device.run(deployment).outputs, deployment.references())


def test_closing_a_device_ends_a_hung_run(virtual: VirtualBoard, deployment: Deployment) -> None:
    """The notebook's other thread gets an error at once, not after the run's minute."""
    device = ect.open_device("xrt:0", timeout_s=60, backend="ctypes")
    with ThreadPoolExecutor(1) as pool:
        device.__enter__()
        device.load(deployment)
        virtual.inject(Fault.HANG)
        run = pool.submit(device.run, deployment)
        while virtual.summary()["faults"]:  # the kernel has not begun to hang
            time.sleep(0.01)
        device.close()
        with pytest.raises(Cancelled) as caught:
            run.result(30)
    assert str(caught.value) == (
        "cancelled while the board was to run kernel ectoolkit_graph; the board is closed, open it again"
    )
    with device:
        assert ect.compare(device.run(deployment).outputs, deployment.references())


def test_a_call_that_just_begins_does_not_hold_up_closing(virtual: VirtualBoard) -> None:
    """It forgets an older cancel, but not that its board is closed."""
    process = XrtProcess(current_host().environment)
    process.ask(messages.OpenBoard(find_board("0").bdf, "ctypes"), "be opened", 20)
    os.kill(process.pid, signal.SIGSTOP)
    clear = process._cancelled.clear
    closing = threading.Thread(target=process.close)

    def close_now() -> None:
        closing.start()
        assert process._closing.wait(10)
        clear()

    process._cancelled.clear = close_now  # type: ignore[method-assign]
    started = time.monotonic()
    with pytest.raises(Cancelled):
        process.ask(messages.Information(), "tell about itself", 30)
    closing.join(10)
    assert time.monotonic() - started < 5
    assert not process.alive


def test_a_board_that_nobody_closed(virtual: VirtualBoard) -> None:
    board = Board("0", backend="ctypes")
    board.open()
    process = board._process
    assert process is not None
    pid, folder = process.pid, process._folder
    assert folder.is_dir()
    del process, board
    gc.collect()
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
    virtual.settle()


@pytest.mark.parametrize("waiting", [False, True])
def test_a_notebook_that_is_killed_leaves_nothing(virtual: VirtualBoard, tmp_path: Path, waiting: bool) -> None:
    """Neither its child nor the child's folder; in the middle of a run too, once that is over."""
    virtual.delay(0.5)
    program = (
        "import os, signal, threading\n"
        "from ectoolkit.devices.xrt import Board\n"
        "board = Board('0', backend='ctypes')\n"
        "board.open()\n"
        f"board.load({str(virtual.xclbin)!r})\n"
        "a, b, c = (board.buffer('vector_add', name, 64) for name in 'abc')\n"
        "board.run('vector_add', a, b, c, 16)\n"
        "print(board._process.pid, flush=True)\n"
        f"threading.Timer(0.2 if {waiting} else 0, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "board.run('vector_add', a, b, c, 16) if " + str(waiting) + " else signal.pause()\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 10
    while (Path(f"/proc/{done.stdout.strip()}").exists() or list(tmp_path.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{done.stdout.strip()}").exists()
    assert list(tmp_path.iterdir()) == []
    virtual.settle()


def held(pid: int | str) -> tuple[int, int]:
    """Descriptors and KiB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(anonymous.split()[1])


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= set((task / "children").read_text().split())
    return found


def test_a_hundred_cycles_leave_nothing(virtual: VirtualBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # nobody else's folders come and go here

    def cycle() -> None:
        with Board("0", backend="ctypes") as board:
            board.load(virtual.xclbin)
            a, b, c = vectors(board)
            board.run("vector_add", a, b, c, COUNT)
            c.from_device()
            assert_array_equal(c.read("int32", COUNT), 2 * np.arange(COUNT))

    def state() -> tuple[set[str], set[str], list[tuple[int, int]], object]:
        gc.collect()
        folders = {path.name for path in Path(tempfile.gettempdir()).glob("ectoolkit-xrt-*")}
        return children(), folders, [held("self"), held(virtual._process.pid)], virtual.settle()["used_bytes"]

    for _ in range(5):
        cycle()
    before_children, before_folders, before_held, before_used = state()
    for _ in range(100):
        cycle()
    after_children, after_folders, after_held, after_used = state()
    assert after_children == before_children
    assert after_folders <= before_folders
    assert after_used == before_used == 0
    for (descriptors, kib), (later, kib_later) in zip(before_held, after_held, strict=True):
        assert later <= descriptors
        # an object kept from each cycle would be a hundred; the system's own pages come and go
        assert kib_later - kib < 100 * 30
