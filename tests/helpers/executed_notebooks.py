"""Each notebook executed once, with small settings, for all tests that look at it: whichever process comes first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
#: the settings that papermill would replace, by notebook
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "01_quickstart": {},
    "02_resnet50_u50": {},
    "03_tuning_calibration": {"CALIBRATION": 8, "UNSEEN": 4},
    "04_how_int8_works": {"SAMPLES": 2000},
    "05_edgecortix": {},
    "06_board_bringup": {"SIZE": 32, "BANK_BYTES": 4096},
    "07_your_own_model": {"TRAINING": 300, "EPOCHS": 3, "CALIBRATION": 16, "TEST": 50, "FOLDER": "my digits"},
}


@dataclass(frozen=True)
class Executed:
    """A notebook with its outputs.

    Attributes:
        notebook: as it was written; a copy of its own.
        folder: where it ran, with the files that it made.
    """

    notebook: NotebookNode
    folder: Path

    @property
    def outputs(self) -> dict[str, list[NotebookNode]]:
        """By name of the cell."""
        return {cell.id: cell.outputs for cell in self.notebook.cells if cell.cell_type == "code"}


class ExecutedNotebooks:
    """``executed["01_quickstart"]``: executed now where no process of this test run has done it.

    Args:
        root: a folder that the processes share.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(exist_ok=True)

    def __getitem__(self, name: str) -> Executed:
        folder, file = self._root / name, self._root / f"{name}.ipynb"
        with _alone(self._root / f"{name}.lock"):
            if not file.exists():
                folder.mkdir(exist_ok=True)
                nbformat.write(execute(name, folder, **SETTINGS[name]), file)
        return Executed(nbformat.read(file, as_version=4), folder)


def execute(name: str, folder: Path, **settings: Any) -> NotebookNode:
    """Run a notebook in `folder` from top to bottom, as papermill does.

    One thread: beside other tests, threads that wait for each other cost more than they bring.  No MERA, wherever it
    is.
    """
    notebook = load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb"))
    if settings:
        notebook = parameterize_notebook(notebook, settings)
    alone = {"OMP_NUM_THREADS": "1", "MERA_PYTHON": "", "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    client = NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(folder)}})
    client.execute(env=os.environ | alone)
    return notebook


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same file."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
