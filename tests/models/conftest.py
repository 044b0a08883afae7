"""Judges the models in two processes, and prints the table of all of them at the end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import pytest
from model_zoo import verdict_of

from ectoolkit.testing.captured import HEADER, Verdict

VERDICTS: list[Verdict] = []
#: begun first, so that neither process ends long after the other
SLOWEST = ("densenet121", "convnext_tiny", "googlenet", "efficientnet_b0")


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Verdict]]]:
    """Those of the models whose tests were chosen; compiling one takes many seconds of one core."""
    chosen = [item.callspec.params["name"] for item in request.session.items if "verdicts" in item.fixturenames]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        chosen.sort(key=lambda name: name not in SLOWEST)
        yield {name: pool.submit(verdict_of, name) for name in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def table() -> list[Verdict]:
    """What is printed at the end."""
    return VERDICTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if VERDICTS:
        terminalreporter.section("models: layers, SQNR against float, compiled against the interpreter")
        for line in (HEADER, *map(str, VERDICTS)):
            terminalreporter.line(line)
