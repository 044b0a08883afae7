"""The notebooks that teach, from top to bottom with papermill's parameters: small settings, no click."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import nbformat
import pytest
from executed_notebooks import NOTEBOOKS, Executed, ExecutedNotebooks, execute
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from required import is_required
from static_page import check_static_page

from ectoolkit.devices.xrt import has_board
from ectoolkit.testing.virtual_u50 import missing

MAX_BYTES = 1_500_000
PARTS = ("training", "calibration", "test")
needs_virtual = pytest.mark.skipif(
    missing() is not None and not is_required("xrt"), reason=f"no virtual board: {missing()}"
)
needs_none = pytest.mark.skipif(has_board(), reason="there is a board, so nothing has to explain itself")
pytestmark = pytest.mark.slow


def checked(executed: Executed, plain: Collection[str] = ()) -> dict[str, list[NotebookNode]]:
    """Outputs by cell, after each was found to hold no error and no warning, and to show itself without a kernel."""
    notebook, found = executed.notebook, executed.outputs
    for cell, parts in found.items():
        assert not [part for part in parts if part.output_type == "error" or part.get("name") == "stderr"], cell
    for part in (part for parts in found.values() for part in parts if "image/png" in part.get("data", {})):
        assert "text/plain" in part.data
    assert len(nbformat.writes(notebook).encode()) < MAX_BYTES
    check_static_page(notebook, plain)
    return found


def run_cells(name: str, *cells: str, **parameters: Any) -> None:
    """Some cells, in this process."""
    notebook = parameterize_notebook(load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb")), parameters)
    variables: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.get("id") in ("parameters", *cells) or "injected" in str(cell.metadata):
            exec(cell.source, variables)


def text(parts: list[NotebookNode]) -> str:
    """All that a cell printed, and the text of what it shows."""
    return "\n".join(part.text if part.output_type == "stream" else part.data["text/plain"] for part in parts)


def test_tuning(executed_notebooks: ExecutedNotebooks) -> None:
    found = checked(executed_notebooks["03_tuning_calibration"], plain=("clip",))
    before, after = (float(part) for part in text(found["cure-all"]).split(" dB")[0].split(" → "))
    assert before < 8
    assert after > 16
    assert text(found["sensitivity"]).startswith("make `_blocks.0._depthwise_conv` per-channel: ")
    assert text(found["undo"]).startswith(
        """["_blocks.0._depthwise_conv: weights='per_channel'", "network: weights='per_channel'"]\n"""
    )
    assert text(found["undo"]).endswith(f"\n{after:.1f} dB\n")
    for cell in ("collect", "card"):
        assert "text/html" in found[cell][-1].data
    script = text(found["keep"]).split("\n\n", 1)[1]
    assert "_blocks.0._depthwise_conv" in script
    compile(script, "script", "exec")


def test_tuning_refuses_photos_of_which_calibration_sees_a_part() -> None:
    text = "the calibration would see parts of imagenet_00_243: lower CALIBRATION or UNSEEN"
    with pytest.raises(AssertionError, match=f"^{text}$"):
        run_cells("03_tuning_calibration", "collect", CALIBRATION=20)


def test_how_int8_works(executed_notebooks: ExecutedNotebooks) -> None:
    names = ("scale_and_zero_point", "quantize", "accumulate", "requantize", "weight_scales", "convolution")
    answers = [name.replace("_", "-") for name in names] + [f"solution-{number}" for number in range(1, 7)]
    found = checked(executed_notebooks["04_how_int8_works"], plain=("graph", *answers))
    for number, name in enumerate(names, 1):
        assert text(found[name.replace("_", "-")]).startswith(f"✗ {name} is not written yet."), name
        assert text(found[f"solution-{number}"]).startswith(f"✓ {name} is right in all "), name
    assert text(found["final"]).splitlines() == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]


@needs_virtual
def test_board_bringup_on_the_virtual_board(executed_notebooks: ExecutedNotebooks) -> None:
    executed = executed_notebooks["06_board_bringup"]
    found = checked(executed)
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
    assert "Every link holds on 2 images" in text(found["verdict"])
    assert "inside (conv2d) is the first layer that differs" in text(found["broken"])
    assert "interpreter → faulty" in found["located"][-1].data["text/html"]
    assert {path.name for path in executed.folder.iterdir()} >= {"verdict.html", "broken.html", "broken.json"}


@needs_none
def test_board_bringup_explains_itself_without_a_board(tmp_path: Path) -> None:
    notebook = execute("06_board_bringup", tmp_path, SIZE=32, BOARD="0")
    found = checked(Executed(notebook, tmp_path))
    for cell in ("virtual", "health", "load", "echo", "banks", "layer", "fault", "again", "build", "run", "verdict"):
        assert "There is no board, so nothing was done here. " in text(found[cell]), cell
    assert text(found["refusals"]) == ""
    assert "inside (conv2d) is the first layer that differs" in text(found["broken"])
    assert not (tmp_path / "verdict.html").exists()
    assert (tmp_path / "broken.html").exists()


def test_your_own_model(executed_notebooks: ExecutedNotebooks) -> None:
    executed = executed_notebooks["07_your_own_model"]
    found = checked(executed)
    parts = [{file.name for file in (executed.folder / "my digits").glob(f"{part}/*/*.png")} for part in PARTS]
    assert [len(part) for part in parts] == [300, 16, 50]
    assert len(set.union(*parts)) == 366, "a digit is in two parts"
    captions = re.findall(r"<br>([^<]*)</figcaption>", found["images"][0].data["text/html"])
    assert captions == sorted(captions)
    assert set(captions) <= set("0123456789"), "a digit has no name"
    rows = [line.split() for line in text(found["kinds"]).splitlines()]
    assert [row[1] for row in rows if "float_layer_norm" in row] == ["norm"]
    assert text(found["diff"]).splitlines() == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
    assert "model = ...  # your Digits\n" in text(found["script"])
    assert "ect.image_folder('my digits/calibration', labels='folder')" in text(found["script"])


def test_your_own_model_clears_what_it_wrote_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stale = tmp_path / "my digits" / "test" / "3" / "0001.png"
    mine = stale.with_name("mine.txt")
    stale.parent.mkdir(parents=True)
    for file in (stale, mine):
        file.write_bytes(b"an earlier run's, or the reader's own")
    run_cells("07_your_own_model", "folder", TRAINING=20, CALIBRATION=5, TEST=5, FOLDER="my digits")
    assert len(list(tmp_path.glob("my digits/*/*/*.png"))) == 30
    assert mine.exists()


def test_your_own_model_keeps_training_and_test_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"^there are 1797 digits: lower TRAINING, CALIBRATION or TEST$"):
        run_cells("07_your_own_model", "folder", TRAINING=1700)
    assert not list(tmp_path.iterdir())
