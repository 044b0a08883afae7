"""The files of a deploy directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ectoolkit.analysis.frames import frame
from ectoolkit.core.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

PURPOSE = {
    "deploy.so": "compiled library",
    "deploy.json": "how to call it, and its graph",
    "deploy.params": "weights and requantize parameters",
    "graph.ectgraph": "the integer graph and its weights",
    "compile.log": "what the compiler printed",
    "compile.json": "the compiler's settings and times",
    "input": "example input, float32",
    "ref_result": "the interpreter's result for it, float32",
}


def file_table(manifest: Manifest) -> pd.DataFrame:
    """One row a file.  Columns: ``file``; ``holds`` in words; ``size_bytes``; ``sha256``."""
    rows = [
        {"file": name, "holds": _purpose(name), "size_bytes": record.size_bytes, "sha256": record.sha256}
        for name, record in manifest.files.items()
    ]
    return frame(rows, ("file", "holds", "size_bytes", "sha256"))


def _purpose(name: str) -> str:
    return next((text for start, text in PURPOSE.items() if name.startswith(start)), "")
