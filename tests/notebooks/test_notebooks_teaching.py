"""The notebooks that teach, from top to bottom with papermill's parameters: small settings, no click."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from required import is_required
from static_page import check_static_page

from ectoolkit.devices.xrt import has_board
from ectoolkit.testing.virtual_u50 import missing

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MAX_BYTES = 1_500_000
PARTS = ("training", "calibration", "test")
needs_virtual = pytest.mark.skipif(
    missing() is not None and not is_required("xrt"), reason=f"no virtual board: {missing()}"
)
needs_none = pytest.mark.skipif(has_board(), reason="there is a board, so nothing has to explain itself")
pytestmark = pytest.mark.slow


def executed(name: str, folder: Path, plain: Collection[str] = (), **parameters: Any) -> dict[str, list[NotebookNode]]:
    """Outputs by cell, after each was found to hold no error and no warning, and to show itself without a kernel."""
    notebook = parameterize_notebook(load_notebook_node(str(NOTEBOOKS / name)), parameters)
    client = NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(folder)}})
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1"})
    found = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for cell, parts in found.items():
        assert not [part for part in parts if part.output_type == "error" or part.get("name") == "stderr"], cell
    for part in (part for parts in found.values() for part in parts if "image/png" in part.get("data", {})):
        assert "text/plain" in part.data
    assert len(nbformat.writes(notebook).encode()) < MAX_BYTES
    check_static_page(notebook, plain)
    return found


def run_cells(name: str, *cells: str, **parameters: Any) -> None:
    """Some cells, in this process."""
    notebook = parameterize_notebook(load_notebook_node(str(NOTEBOOKS / name)), parameters)
    variables: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.get("id") in ("parameters", *cells) or "injected" in str(cell.metadata):
            exec(cell.source, variables)


def text(parts: list[NotebookNode]) -> str:
    """All that a cell printed, and the text of what it shows."""
    return "\n".join(part.text if part.output_type == "stream" else part.data["text/plain"] for part in parts)


def test_tuning(tmp_path: Path) -> None:
    found = executed("03_tuning_calibration.ipynb", tmp_path, plain=("clip",), CALIBRATION=8, UNSEEN=4)
    before, after = (float(part) for part in text(found["cure-all"]).split(" dB")[0].split(" → "))
    assert before < 8
    assert after > 16
    assert text(found["sensitivity"]).startswith("make `_blocks.0._depthwise_conv` per-channel: ")
    assert text(found["undo"]).startswith(
        """["_blocks.0._depthwise_conv: weights='per_channel'", "network: weights='per_channel'"]\n"""
    )
    assert text(found["undo"]).endswith(f"\n{after:.1f} dB\n")
    assert "text/html" in found["collect"][-1].data
    script = text(found["keep"]).split("\n\n", 1)[1]
    assert "_blocks.0._depthwise_conv" in script
    compile(script, "script", "exec")


def test_tuning_refuses_photos_of_which_calibration_sees_a_part() -> None:
    text = "the calibration would see parts of imagenet_00_243: lower CALIBRATION or UNSEEN"
    with pytest.raises(AssertionError, match=f"^{text}$"):
        run_cells("03_tuning_calibration.ipynb", "collect", CALIBRATION=20)


def test_how_int8_works(tmp_path: Path) -> None:
    names = ("scale_and_zero_point", "quantize", "accumulate", "requantize", "weight_scales", "convolution")
    answers = [name.replace("_", "-") for name in names] + [f"solution-{number}" for number in range(1, 7)]
    found = executed("04_how_int8_works.ipynb", tmp_path, plain=("graph", *answers), SAMPLES=2000)
    for number, name in enumerate(names, 1):
        assert text(found[name.replace("_", "-")]).startswith(f"✗ {name} is not written yet."), name
        assert text(found[f"solution-{number}"]).startswith(f"✓ {name} is right in all "), name
    assert text(found["final"]).splitlines() == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]


@needs_virtual
def test_board_bringup_on_the_virtual_board(tmp_path: Path) -> None:
    found = executed("06_board_bringup.ipynb", tmp_path, SIZE=32, BANK_BYTES=4096)
    assert text(found["virtual"]) == "a virtual U50: sensor values below are invented\n"
    assert "note: virtual board: sensor values are invented" in text(found["health"])
    assert text(found["echo"]) == "the same bytes came back: True\n"
    for cell in ("layer", "again"):
        assert "max abs diff: 0\nmean abs diff: 0\ncorrect ratio: 1" in text(found[cell])
    assert "first difference: stem[0, 0, 0, 0]" in text(found["fault"])
    assert [line for line in text(found["refusals"]).splitlines() if line and line[0] != " "] == [
        "no memory: BoardMemoryError",
        "error: DeviceRunError",
        "hang: DeviceTimeoutError",
    ]
    assert "xrt:0 equals the interpreter in every element" in found["run"][-1].data["text/html"]
    assert "Every link holds on 2 image(s)" in text(found["verdict"])
    assert "inside (conv2d) is the first layer that differs" in text(found["broken"])
    assert {path.name for path in tmp_path.iterdir()} >= {"verdict.html", "broken.html", "broken.json"}


@needs_none
def test_board_bringup_explains_itself_without_a_board(tmp_path: Path) -> None:
    found = executed("06_board_bringup.ipynb", tmp_path, SIZE=32, BOARD="0")
    for cell in ("virtual", "health", "load", "echo", "banks", "layer", "fault", "again", "build", "run", "verdict"):
        assert "There is no board, so nothing was done here. " in text(found[cell]), cell
    assert text(found["refusals"]) == ""
    assert "inside (conv2d) is the first layer that differs" in text(found["broken"])
    assert not (tmp_path / "verdict.html").exists()
    assert (tmp_path / "broken.html").exists()


def test_your_own_model(tmp_path: Path) -> None:
    stale = tmp_path / "my digits" / "test" / "3" / "0001.png"
    mine = stale.with_name("mine.txt")
    stale.parent.mkdir(parents=True)
    for file in (stale, mine):
        file.write_bytes(b"an earlier run's, or the reader's own")
    found = executed(
        "07_your_own_model.ipynb", tmp_path, TRAINING=300, EPOCHS=3, CALIBRATION=16, TEST=50, FOLDER="my digits"
    )
    parts = [{file.name for file in (tmp_path / "my digits").glob(f"{part}/*/*.png")} for part in PARTS]
    assert [len(part) for part in parts] == [300, 16, 50]
    assert len(set.union(*parts)) == 366, "a digit is in two parts"
    assert mine.exists()
    captions = re.findall(r"<br>([^<]*)</figcaption>", found["images"][0].data["text/html"])
    assert captions == sorted(captions)
    assert set(captions) <= set("0123456789"), "a digit has no name"
    rows = [line.split() for line in text(found["kinds"]).splitlines()]
    assert [row[1] for row in rows if "float_layer_norm" in row] == ["norm"]
    assert text(found["diff"]).splitlines() == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
    assert "model = ...  # your Digits\n" in text(found["script"])
    assert "ect.image_folder('my digits/calibration', labels='folder')" in text(found["script"])


def test_your_own_model_keeps_training_and_test_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"^there are 1797 digits: lower TRAINING, CALIBRATION or TEST$"):
        run_cells("07_your_own_model.ipynb", "folder", TRAINING=1700)
    assert not list(tmp_path.iterdir())
