"""The worker's life, in this very Python, which has no MERA: answers, deaths, hangs, cancels, and who comes after."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ectoolkit.errors import Cancelled, WorkerError
from ectoolkit.mera.place import Place
from ectoolkit.mera.session import Worker, close_idle_workers, give_worker, take_worker

HERE = Place(sys.executable)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = take_worker(HERE)
    yield worker
    give_worker(worker)


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    close_idle_workers()


def hanging(tmp_path: Path) -> dict[str, Any]:
    """Arguments of a command that never ends: it reads what nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    return {"area": str(tmp_path), "name": "pipe", "offset": 0, "size": 1}


def test_facts_and_files(worker: Worker) -> None:
    assert worker.facts["python"] == sys.version.split()[0]
    assert worker.facts["versions"]["mera"] == ""
    assert worker.pid != os.getpid()
    data = np.random.default_rng(0).bytes(20 << 20)
    worker.send_files("build", {"large": data, "empty": b""})
    assert worker.fetch_file("build", "large", len(data)) == data
    assert worker.fetch_file("build", "empty", 0) == b""


def test_a_command_that_fails_leaves_the_worker(worker: Worker) -> None:
    with pytest.raises(WorkerError) as caught:
        worker.run([np.zeros(3, np.float32)], timeout_s=10)
    assert str(caught.value) == f"{sys.executable}: running failed: RuntimeError: nothing is loaded"
    assert "Traceback" in caught.value.output
    assert worker.alive


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGSEGV, "SIGSEGV (a crash in native code)"),
        (signal.SIGABRT, "SIGABRT (a check in native code failed)"),
        (signal.SIGKILL, "SIGKILL, as a system does that runs out of memory"),
        (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_death(worker: Worker, tmp_path: Path, number: int, how: str) -> None:
    threading.Timer(0.3, os.kill, (worker.pid, number)).start()
    with pytest.raises(WorkerError) as caught:
        worker.call("get", timeout_s=20, doing="reading", **hanging(tmp_path))
    first, *_ = str(caught.value).splitlines()
    assert first == (
        f"{sys.executable}: reading ended its process: it was ended by {how}. The next call starts a fresh one"
    )
    assert not caught.value.timed_out
    with pytest.raises(WorkerError):  # and again, without waiting for anything
        worker.call("hello", timeout_s=20)
    give_worker(worker)
    fresh = take_worker(HERE)
    assert fresh.pid != worker.pid
    give_worker(fresh)


def test_hang(worker: Worker, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        worker.call("get", timeout_s=0.5, doing="reading", **hanging(tmp_path))
    assert time.monotonic() - start < 10
    assert caught.value.timed_out
    assert str(caught.value).startswith(
        f"{sys.executable}: reading did not end within 0.5 s, so its process was killed. Give it more time with "
        "timeout_s=…, or a smaller model"
    )
    assert not worker.alive


def test_cancel(worker: Worker, tmp_path: Path) -> None:
    def waiting(seconds: float, line: str) -> None:
        if seconds > 0.2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        worker.call("get", timeout_s=20, waiting=waiting, **hanging(tmp_path))
    assert not worker.alive


def test_the_last_words_are_kept(tmp_path: Path) -> None:
    """What a process prints before it dies is in the error, though it never answered."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'libfoo.so.1: cannot open shared object file' >&2\nexit 127\n")
    program.chmod(0o755)
    with pytest.raises(WorkerError) as caught:
        Worker(Place(str(program)))
    assert str(caught.value) == (
        f"{program} does not answer as a Python: it ended with status 127. Expected a CPython 3.8 or 3.10 that imports "
        f"mera; try it by hand: {program} -u -c …\n"
        "Its last output:\nlibfoo.so.1: cannot open shared object file"
    )


def test_no_such_program(tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as caught:
        Worker(Place(str(tmp_path / "python")))
    assert str(caught.value) == (
        f"cannot start {tmp_path / 'python'}: No such file or directory. Expected a CPython 3.8 or 3.10 that imports "
        "mera; see `ectoolkit mera status`"
    )


def test_what_never_answers_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    start = time.monotonic()
    with pytest.raises(WorkerError, match="does not answer as a Python: it was ended by SIGKILL"):
        Worker(Place(str(program)), timeout_s=0.5)
    assert time.monotonic() - start < 20


def test_folders_of_the_dead_are_removed(worker: Worker) -> None:
    """A killed worker cannot remove its files; the next one does."""
    worker.send_files("build", {"x": b"x"})
    worker.kill()
    Worker(HERE).close()
    import tempfile

    left = list(Path(tempfile.gettempdir()).glob(f"ectoolkit-mera-{worker.pid}-*"))
    assert left == []


def test_our_own_variables_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's drawing backend and search path mean nothing to another Python, which would stop at them."""
    for name in ("MPLBACKEND", "PYTHONPATH"):
        monkeypatch.setenv(name, "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("EC_PLATFORM_DIR", "/theirs")
    worker = Worker(HERE)
    asked = ["MPLBACKEND", "PYTHONPATH", "EC_PLATFORM_DIR"]
    seen = worker.call("look", timeout_s=20, paths=[], variables=asked, libraries=["no-such.so"], patterns=[])
    worker.close()
    assert seen["variables"] == {"MPLBACKEND": "", "PYTHONPATH": "", "EC_PLATFORM_DIR": "/theirs"}
    assert "cannot open shared object file" in seen["libraries"]["no-such.so"]
