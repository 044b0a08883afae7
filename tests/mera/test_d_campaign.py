"""A short slice of the random campaign: ours equals InterpreterHw in every element."""

from __future__ import annotations

from typing import Any

import pytest
from mera_campaign import campaign

pytestmark = [pytest.mark.mera, pytest.mark.slow, pytest.mark.timeout(900)]

NETS, SEED = 40, 1


def test_random_nets_equal(mera: Any, table: list[str]) -> None:
    results = campaign(NETS, SEED)
    elements = sum(result.elements for result in results)
    assert [str(result) for result in results if result.unequal or result.why] == []
    assert elements > 100 * NETS
    table.append(f"random nets: {len(results)} (seed {SEED}), {elements} elements, all equal")
