"""Prints the table of all models at the end."""

from __future__ import annotations

from typing import Any

import pytest

from ectoolkit.testing.captured import HEADER, Verdict

VERDICTS: list[Verdict] = []


@pytest.fixture(scope="session")
def verdicts() -> list[Verdict]:
    return VERDICTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if VERDICTS:
        terminalreporter.section("models: layers, SQNR against float, compiled against the interpreter")
        for line in (HEADER, *map(str, VERDICTS)):
            terminalreporter.line(line)
