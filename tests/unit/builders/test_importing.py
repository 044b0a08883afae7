"""Imports into TVM beside each other, and after one that was cancelled."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from plain_numpy import small
from tvm import relax

from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.errors import Cancelled


def test_an_import_waits_for_one_in_another_thread() -> None:
    """Relax keeps functions at work on one stack of the process, and fails where two threads take turns at it."""
    graph, inside, go_on = small().quantize().graph, threading.Event(), threading.Event()

    def hold(done: int, total: int, label: str) -> None:
        inside.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(import_graph, graph, progress=hold)
        assert inside.wait(30)
        second = threads.submit(import_graph, graph)
        threading.Timer(0.5, go_on.set).start()
        assert [step.kernel for step in first.result(60).steps] == [step.kernel for step in second.result(60).steps]


def test_a_cancelled_import_leaves_nothing_behind() -> None:
    graph = small().quantize().graph

    def cancel(done: int, total: int, label: str) -> None:
        raise Cancelled(f"at {label}")

    with pytest.raises(Cancelled, match="at quant"):
        import_graph(graph, progress=cancel)
    assert relax.BlockBuilder._stack == []
    assert import_graph(graph).rows
