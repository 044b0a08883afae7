"""The notebook about EdgeCortix's compiler where that is not installed: it says so in every cell that would need it."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from static_page import check_static_page

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_edgecortix.ipynb"


@pytest.mark.slow
def test_explains_itself_without_the_compiler(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    variables = {
        "OMP_NUM_THREADS": "1",
        "MERA_PYTHON": "",
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    client = NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=os.environ | variables)
    found = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for cell, parts in found.items():
        assert not [part for part in parts if part.output_type == "error" or part.get("name") == "stderr"], cell
    assert found["here"][0].text.count("Install it with `ectoolkit mera install`") == 3
    for cell in ("build", "cross-check", "simulator", "board"):
        assert found[cell][0].text.startswith("MERA is not installed, so no")
    check_static_page(notebook)
