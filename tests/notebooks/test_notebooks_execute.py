"""Both notebooks about ImageNet's networks, from top to bottom, as a reader runs them."""

from __future__ import annotations

import nbformat
import pytest
from executed_notebooks import Executed, ExecutedNotebooks
from static_page import check_static_page

from ectoolkit.devices.xrt import absence, has_board

NAMES = ("01_quickstart", "02_resnet50_u50")
#: cells that end in a stage or a flow
CARDS = ("flow", "quantize", "interpret", "import", "build", "device")
VIEW = "application/vnd.jupyter.widget-view+json"
MAX_BYTES = 1_500_000


@pytest.fixture(scope="module", params=NAMES)
def executed(request: pytest.FixtureRequest, executed_notebooks: ExecutedNotebooks) -> Executed:
    return executed_notebooks[request.param]


@pytest.mark.slow
def test_runs_clean_equal_and_small(executed: Executed) -> None:
    found = executed.outputs
    for cell, parts in found.items():
        for part in parts:
            assert part.output_type != "error", f"{cell}: {part}"
            assert part.get("name") != "stderr", f"{cell}: {part.text}"
    for cell in CARDS:
        assert {"text/plain", "text/html", VIEW} <= set(found[cell][-1].data), cell
    assert found["diff"][0].text.splitlines() == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
    assert "equals the interpreter in every element" in found["device"][-1].data["text/html"]
    assert len(nbformat.writes(executed.notebook).encode()) < MAX_BYTES
    check_static_page(executed.notebook)


@pytest.mark.slow
@pytest.mark.parametrize("executed", NAMES[1:], indirect=True)
def test_the_ways_to_the_board_say_what_is_missing(executed: Executed) -> None:
    found = executed.outputs
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
    assert has_board() or listed["xrt:0"] == str(absence()).split(". ")[0]
    assert f": {listed['mera:IP']}. " in mera
