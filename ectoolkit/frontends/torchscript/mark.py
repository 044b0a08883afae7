"""What `save_torchscript` writes into its files beside the network: who wrote it, and the tables of its functions.

torch runs a function of one number (SiLU, sigmoid) in float and rounds as it likes; the graph has a table.  The mark
holds the tables, so that reading the file gives the graph's numbers again.  Only in marked files does the reader take
operations whose rounding on EdgeCortix's side is not settled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ectoolkit.core.graph_file import check_format
from ectoolkit.errors import DeployFormatError

FORMAT = "ectoolkit-torchscript"
VERSION = 1
#: name of the root module's attribute that holds the mark, JSON text
ATTRIBUTE = "ectoolkit"


@dataclass(frozen=True, eq=False)
class Table:
    """One function's results.

    Attributes:
        function: its name, for people.
        codes: uint8 ``(256,)``.
        parameters: of the function, None where the graph does not name them.
    """

    function: str
    codes: np.ndarray
    parameters: tuple[float, ...] | None = None

    @property
    def settings(self) -> dict[str, object]:
        """Those of the graph's node."""
        known = {} if self.parameters is None else {"parameters": self.parameters}
        return {"function": self.function, **known}


class _TableFile(msgspec.Struct, forbid_unknown_fields=True):
    function: str
    codes: list[int]
    parameters: list[float] | None = None


class _MarkFile(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    format_version: int
    graph_sha256: str
    tables: dict[str, _TableFile]


def mark_text(graph_sha256: str, tables: Mapping[str, Table]) -> str:
    """The mark as JSON.

    Args:
        graph_sha256: of the graph that was written.
        tables: by the path of the layer's module.
    """
    entries = {path: {**table.settings, "codes": table.codes.tolist()} for path, table in tables.items()}
    head = {"format": FORMAT, "format_version": VERSION, "graph_sha256": graph_sha256}
    return json.dumps({**head, "tables": entries}, separators=(",", ":"))


def tables_of(script: Any, source: str) -> dict[str, Table] | None:
    """The tables of a module that `to_torchscript` made; None for one that others made.

    Args:
        script: a ``torch.jit.ScriptModule``.
        source: the file or module, named in errors.

    Raises:
        DeployFormatError: the mark is damaged or of another format version.
    """
    text = getattr(script, ATTRIBUTE, None)
    if not isinstance(text, str):
        return None
    check_format(text.encode(), FORMAT, VERSION, source)
    try:
        mark = msgspec.json.decode(text, type=_MarkFile)
        return {path: _table(file) for path, file in mark.tables.items()}
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise DeployFormatError(f"{source} has a damaged mark of ectoolkit: {error}. Save the graph again") from error


def _table(file: _TableFile) -> Table:
    return Table(file.function, _codes(file.codes), None if file.parameters is None else tuple(file.parameters))


def _codes(numbers: list[int]) -> np.ndarray:
    codes = np.array(numbers, np.int64)
    if codes.shape != (256,) or codes.min() < 0 or codes.max() > 255:
        raise ValueError(f"a table holds {codes.size} numbers, expected 256 codes 0..255")
    return codes.astype(np.uint8)
