"""The same images give the same graph, however many threads torch has; and nobody loses threads by it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao import quantization as tq

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.errors import InputError
from ectoolkit.quantization.one_thread import one_thread

IMAGES = np.random.default_rng(0).standard_normal((3, 512, 8, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def net() -> nn.Module:
    """Torch sums the channels of such convolutions in another order where it has other threads."""
    torch.manual_seed(0)
    wide, narrow, again = nn.Conv2d(512, 64, 1), nn.Conv2d(64, 512, 1), nn.Conv2d(512, 64, 1)
    return nn.Sequential(tq.QuantStub(), wide, nn.ReLU(), narrow, nn.ReLU(), again, tq.DeQuantStub()).eval()


def eager() -> Graph:
    return ect.quantize(net(), IMAGES, ect.QuantConfig(method="minmax"), door="eager")


def exported(correction: str = "") -> Graph:
    config = ect.QuantConfig(method="minmax", corrections=(correction,) if correction else ())
    return ect.quantize(net(), IMAGES, config, door="export")


@pytest.mark.parametrize("make", [eager, exported, lambda: exported("bias")], ids=["eager", "export", "bias"])
def test_graphs_do_not_depend_on_the_threads(make: Callable[[], Graph]) -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(make().sha256)
        assert torch.get_num_threads() == threads
    assert len(set(found)) == 1


def test_threads_come_back_after_an_error() -> None:
    torch.set_num_threads(3)
    held = []

    def fail() -> None:
        with one_thread():
            held.append(torch.get_num_threads())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert held == [1]
    assert torch.get_num_threads() == 3
    wrong = IMAGES[:, :3]
    with pytest.raises(InputError):
        ect.quantize(net(), wrong, door="eager")
    assert torch.get_num_threads() == 3


def test_threads_come_back_where_two_calibrations_overlap() -> None:
    """A thread that begins while another is inside is given its one thread by torch, and must not keep it."""
    torch.set_num_threads(3)
    inside, begun, leave = (threading.Event() for _ in range(3))
    seen: list[int] = []

    def first() -> None:
        with one_thread():
            inside.set()
            begun.wait(10)
        leave.set()

    def second() -> None:
        inside.wait(10)
        with one_thread():
            begun.set()
            leave.wait(10)
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    with ThreadPoolExecutor(2) as pool:
        for each in (pool.submit(first), pool.submit(second)):
            each.result(20)
    with ThreadPoolExecutor(1) as pool:  # a thread that torch does not know yet
        seen.append(pool.submit(torch.get_num_threads).result(20))
    assert seen == [1, 3, 3]


def test_within_another_it_changes_nothing() -> None:
    torch.set_num_threads(3)
    with one_thread():
        with one_thread():
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
