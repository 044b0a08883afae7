"""The notebook about EdgeCortix's compiler where that is not installed: it says so in every cell that would need it."""

from __future__ import annotations

import pytest
from executed_notebooks import ExecutedNotebooks
from static_page import check_static_page


@pytest.mark.slow
def test_explains_itself_without_the_compiler(executed_notebooks: ExecutedNotebooks) -> None:
    executed = executed_notebooks["05_edgecortix"]
    found = executed.outputs
    for cell, parts in found.items():
        assert not [part for part in parts if part.output_type == "error" or part.get("name") == "stderr"], cell
    assert found["here"][0].text.count("cannot be used\n") == 3
    assert found["here"][0].text.count("Install it with `ectoolkit mera install`") == 1
    for cell in ("build", "cross-check", "simulator", "board", "platforms"):
        assert found[cell][0].text.startswith("MERA is not installed, so no")
    check_static_page(executed.notebook)
