"""Imports into TVM beside each other, and after one that was cancelled."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from plain_numpy import small
from tvm import relax

from ectoolkit.builders.cpu import importer
from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.errors import Cancelled


def test_an_import_waits_for_one_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relax keeps functions at work on one stack of the process, and fails where two threads take turns at it."""
    graph, write = small().quantize().graph, importer._Emitter._emit
    inside = [threading.Event(), threading.Event()]

    def slow(emitter: Any, *given: Any) -> Any:
        first = not inside[0].is_set()
        inside[0 if first else 1].set()
        if first:
            inside[1].wait(0.5)  # nobody comes
        return write(emitter, *given)

    monkeypatch.setattr(importer._Emitter, "_emit", slow)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(import_graph, graph)
        assert inside[0].wait(30)
        second = threads.submit(import_graph, graph)
        assert [step.kernel for step in first.result(60).steps] == [step.kernel for step in second.result(60).steps]


def test_a_cancelled_import_leaves_nothing_behind(capfd: pytest.CaptureFixture[str]) -> None:
    graph = small().quantize().graph

    def cancel(done: int, total: int, label: str) -> None:
        raise Cancelled(f"at {label}")

    with pytest.raises(Cancelled, match="at quant"):
        import_graph(graph, progress=cancel)
    assert relax.BlockBuilder._stack == []
    gc.collect()
    assert capfd.readouterr().err == ""  # TVM tells of functions that were left half written
    assert import_graph(graph).rows
