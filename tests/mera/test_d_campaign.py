"""A short slice of the random campaign: ours equals InterpreterHw in every element."""

from __future__ import annotations

from typing import Any

import pytest
from mera_campaign import TOGETHER, campaign, run_group

pytestmark = [pytest.mark.mera, pytest.mark.slow, pytest.mark.timeout(900)]

NETS, SEED, SEED_OF_AN_EXCEPTION = 40, 1, 16


def test_random_nets_equal(mera: Any, table: list[str]) -> None:
    results = campaign(NETS, SEED)
    elements = sum(result.elements for result in results)
    assert [str(result) for result in results if result.unequal or result.why] == []
    assert elements > 100 * NETS
    table.append(f"random nets: {len(results)} (seed {SEED}), {elements} elements, all equal")


def test_the_one_exception_is_known_exactly(mera: Any, table: list[str]) -> None:
    """The third of these nets adds to a concatenation, which their interpreter does by a rule of its own."""
    results = run_group(SEED_OF_AN_EXCEPTION, TOGETHER, "export")
    assert [result.index for result in results if result.unequal] == [2]
    assert [str(result) for result in results if result.unexplained or result.why] == []
    table.append(f"random nets: {results[2]}")
