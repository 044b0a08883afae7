"""Each of EdgeCortix's failures, forced past the preflight: we survive, the error says it, the next build is well.

Where their compiler gives other numbers instead of failing, the test shows that they are other ones; and of every case
that ectoolkit names it before the compiler is called.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mera_failing_nets import FATAL, WRONG, AddsToJoined, DroppedRelus, says_before
from mera_joined_adds import interpret_as_theirs
from mera_nets import FORCED_TIMEOUT_S, SHAPE, Net, conv, forced, traced, well
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit.core.compare import compare
from ectoolkit.errors import BuildError, PrecisionWarning, WorkerError
from ectoolkit.mera.place import find_place
from ectoolkit.mera.session import borrowed_worker

pytestmark = [pytest.mark.mera, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", FATAL)
def test_forced(name: str, mera: Any, table: list[str]) -> None:
    case = FATAL[name]
    script, x = case.traced()
    assert case.named in says_before(script, case.target)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=case.says) as caught:
        forced(script, x, case.target)
    assert time.monotonic() - start < FORCED_TIMEOUT_S
    assert not caught.value.timed_out
    table.append(f"forced {name}: {str(caught.value).splitlines()[0][-150:]}")
    well()


@pytest.mark.parametrize("name", WRONG)
def test_silently_wrong(name: str, mera: Any, table: list[str]) -> None:
    """Theirs is many codes away from torch's; where they are right they are at most a code or two away."""
    case = WRONG[name]
    script, x = case.traced()
    assert case.named in says_before(script, case.target)
    with torch.no_grad():
        right = np.moveaxis(script(torch.from_numpy(x)).numpy(), 1, -1)
    found = forced(script, x, case.target).reshape(-1)[: right.size].reshape(right.shape)
    codes = np.unique(right)
    wrong = np.abs(found - right) > 4 * np.diff(codes).min()
    assert wrong.mean() > 0.1
    table.append(f"forced {name}: {wrong.mean():.0%} of the results are wrong")


@pytest.mark.parametrize("target", ["InterpreterHw", "Simulator"])
def test_a_dropped_relu(target: str, mera: Any, table: list[str]) -> None:
    """The reference drops it too, and the build says what that costs."""
    script, x = traced(DroppedRelus())
    with pytest.warns(PrecisionWarning, match=r"left"):
        graph = ect.import_torchscript(script, SHAPE)
    found = forced(script, x, target)
    assert compare([found], [np.moveaxis(ect.interpret(graph, x)[0], 1, -1)])
    with torch.no_grad():
        wrong = np.abs(found - np.moveaxis(script(torch.from_numpy(x)).numpy(), 1, -1)) > 0.1
    assert wrong.mean() > 0.1
    table.append(f"forced dropped ReLU, {target}: {wrong.mean():.0%} of the results are not torch's")


def test_an_add_to_a_joined_tensor(mera: Any, table: list[str]) -> None:
    """Theirs is not the accelerator's add, but a rule that is known exactly; we refuse such an add."""
    script, x = traced(AddsToJoined())
    assert "adds to a concatenation by a rule of its InterpreterHw alone" in says_before(script, "InterpreterHw")
    theirs = np.moveaxis(forced(script, x, "InterpreterHw"), -1, 1)
    assert_array_equal(theirs, interpret_as_theirs(script, x)[0])
    assert (theirs != ect.interpret(ect.import_torchscript(script, SHAPE), x)[0]).mean() > 0.01
    table.append(f"forced add to a concatenation: its own rule gives all {theirs.size} elements")


def test_hangs(mera: Any, table: list[str], tmp_path: Path) -> None:
    """A compiler that is there and does nothing more."""
    script, x = traced(Net(conv(3, 8)))
    graph = ect.import_torchscript(script, SHAPE)
    with borrowed_worker(find_place()) as worker:
        pid = worker.pid
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(BuildError, match="did not end within 2 s, so its process was killed") as caught:
        ect.build(graph, tmp_path / "never", "mera:InterpreterHw", reference_input=x, timeout_s=2)
    assert time.monotonic() - start < 10
    assert not (tmp_path / "never").exists()
    table.append(f"hangs: {str(caught.value).splitlines()[0][-150:]}")
    well()
