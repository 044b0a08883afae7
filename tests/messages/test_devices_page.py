"""The page of devices names tests: they exist, and every fault of the virtual board is injected by one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ectoolkit.testing.virtual_u50 import Fault

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "devices.md"


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_tests_it_names_exist() -> None:
    checked, usual = 0, ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            named = re.search(r"`tests/(messages/test_\w+\.py)`", line)
            usual = named[1] if named else usual  # of the tables that follow
            continue
        file = usual
        for found, colons, name in re.findall(r"`([\w/]+\.py)?(::)?(test_\w+)`", line):
            file = found or (file if colons else usual)  # `::name` is of the file named before it
            assert name in names_in(TESTS / file), f"{file}::{name}"
            checked += 1
    assert checked >= 40


def test_every_fault_is_injected_by_a_test() -> None:
    sources = [*TESTS.rglob("messages/test_xrt*.py"), *TESTS.rglob("unit/devices/xrt/test_*.py")]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    assert not [fault.name for fault in Fault if f"Fault.{fault.name}" not in text]
