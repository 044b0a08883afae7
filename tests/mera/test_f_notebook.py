"""notebooks/05_edgecortix.ipynb with the compiler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ectoolkit.mera.place import launcher

pytestmark = [pytest.mark.mera, pytest.mark.slow, pytest.mark.timeout(600)]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_edgecortix.ipynb"


def test_runs(mera: Any, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(cell for cell in notebook.cells if cell.get("id") == "parameters")
    parameters.source += '\nIMAGES = 1\nPLATFORMS = ["DNAF200L0003"]'
    client = NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(tmp_path)}})
    variables = {**mera.variables, "OMP_NUM_THREADS": "1", "MERA_PYTHON": str(launcher(mera.folder))}
    client.execute(env=os.environ | variables)
    found = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for cell, parts in found.items():
        assert not [part for part in parts if part.output_type == "error"], cell
    assert found["cross-check"][0].text == "mera:InterpreterHw equals the interpreter in every element of 1 image\n"
    assert "total_sim_cycles" in found["simulator"][0].text
    assert "license.lic" in found["board"][0].text
    assert "DNAF200L0003" in found["platforms"][0].data["text/plain"]
