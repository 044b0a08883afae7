"""Both notebooks from top to bottom, as a reader runs them."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from static_page import check_static_page

from ectoolkit.devices.xrt import absence, has_board

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = ("01_quickstart.ipynb", "02_resnet50_u50.ipynb")
#: cells that end in a stage or a flow
CARDS = ("flow", "quantize", "interpret", "import", "build", "device")
VIEW = "application/vnd.jupyter.widget-view+json"
MAX_BYTES = 1_500_000


def read(name: str) -> NotebookNode:
    return nbformat.read(NOTEBOOKS / name, as_version=4)


@pytest.fixture(scope="module", params=NAMES)
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    folder = str(tmp_path_factory.mktemp("notebook"))
    notebook = read(request.param)
    client = NotebookClient(notebook, timeout=280, resources={"metadata": {"path": folder}})
    # one thread: beside other tests, threads that wait for each other cost more than they bring; no MERA, wherever it is
    alone = {"OMP_NUM_THREADS": "1", "MERA_PYTHON": "", "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
    client.execute(env=os.environ | alone)
    return notebook


def outputs(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


@pytest.mark.slow
def test_runs_clean_equal_and_small(executed: NotebookNode) -> None:
    found = outputs(executed)
    for cell, parts in found.items():
        for part in parts:
            assert part.output_type != "error", f"{cell}: {part}"
            assert part.get("name") != "stderr", f"{cell}: {part.text}"
    for cell in CARDS:
        assert {"text/plain", "text/html", VIEW} <= set(found[cell][-1].data), cell
    assert found["diff"][0].text.splitlines() == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
    assert "equals the interpreter in every element" in found["device"][-1].data["text/html"]
    assert len(nbformat.writes(executed).encode()) < MAX_BYTES
    check_static_page(executed)


@pytest.mark.slow
@pytest.mark.parametrize("executed", NAMES[1:], indirect=True)
def test_the_ways_to_the_board_say_what_is_missing(executed: NotebookNode) -> None:
    found = outputs(executed)
    mera, xrt = found["no-board"][0].text.splitlines()
    assert mera == (
        "mera:IP is not open: EdgeCortix's compiler (MERA) is not installed, and no other place is named. Install it with "
        "`ectoolkit mera install`, or name a Python that has it: `ectoolkit mera use /path/to/python`, "
        "`ectoolkit mera use ssh=user@host//python=/path/to/python`, or the environment variable MERA_PYTHON"
    )
    design = (
        "xrt:0 needs an xclbin with the kernel ectoolkit_graph to run deployments: open_device('xrt:0', "
        "xclbin='design.xclbin'). EdgeCortix's own design is opened as 'mera:IP'; for other kernels use "
        "ectoolkit.devices.xrt.Board"
    )
    # without a board it says so, and not what a board would need
    missing = design if has_board() else f"there is no board 'xrt:0': {absence()}"
    assert xrt == f"xrt:0 is not open: {missing}"
    listed = dict(line.split(maxsplit=1) for line in found["devices"][0].text.splitlines())
    assert listed["cpu"] == "can be used"
    assert has_board() or listed["xrt:0"] == str(absence())
    assert mera.endswith(listed["mera:IP"])
