"""A graph on disk: one zip file holding ``graph.json`` and one ``.npy`` a constant.  Never pickle.

The JSON form is canonical (sorted keys, no spaces), so its hash names the graph; it also stands in ``deploy.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ectoolkit.core.archive import read_archive, write_archive
from ectoolkit.core.graph import Graph, Node, Value
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.core.verifier import verify
from ectoolkit.errors import DeployFormatError, EctoolkitError

FORMAT = "ectoolkit-graph"
VERSION = 1
_ENTRY = "graph.json"


class _QuantFile(msgspec.Struct, forbid_unknown_fields=True):
    scale: float | list[float]
    zero_point: int
    quant_min: int
    quant_max: int
    axis: int | None = None


class _ValueFile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    dtype: str
    layout: Layout
    quant: _QuantFile | None = None


class _NodeFile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    op: str
    inputs: list[str]
    attributes: dict[str, bool | int | float | str | list[int | float]]


class _GraphFile(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    format_version: int
    name: str
    inputs: list[str]
    outputs: list[str]
    nodes: list[_NodeFile]
    values: list[_ValueFile]
    constants: list[str]
    origin: dict[str, str]


def graph_to_json(graph: Graph) -> bytes:
    """The graph without its arrays, as canonical JSON."""
    return msgspec.json.encode(_to_file(graph), order="sorted")


def graph_from_json(data: bytes, constants: dict[str, np.ndarray], source: str) -> Graph:
    """The graph of `graph_to_json`, with its arrays, verified.

    Args:
        data: JSON.
        constants: the arrays by name; more than the graph names is allowed.
        source: the file, named in errors.

    Raises:
        DeployFormatError: not such JSON, another format version, or an array is missing.
    """
    check_format(data, FORMAT, VERSION, source)
    try:
        file = msgspec.json.decode(data, type=_GraphFile)
        return _from_file(file, constants)
    except (msgspec.DecodeError, EctoolkitError, KeyError) as error:
        raise DeployFormatError(f"{source} does not describe a valid graph: {error}. Make it again") from error


def check_format(data: bytes, expected: str, version: int, source: str) -> None:
    """Read only ``format`` and ``format_version`` of a JSON file of ours.

    Raises:
        DeployFormatError: not JSON, another format, or a version this ectoolkit does not read.
    """
    try:
        head = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DeployFormatError(f"{source} is not JSON ({error}): it is damaged or truncated. Make it again") from error
    if not isinstance(head, dict) or head.get("format") != expected:
        found = head.get("format") if isinstance(head, dict) else type(head).__name__
        raise DeployFormatError(f"{source} is not an {expected} file: its format is {found!r}")
    if head.get("format_version") != version:
        raise DeployFormatError(
            f"{source} has format version {head.get('format_version')!r}; this ectoolkit reads version {version}. "
            "Upgrade ectoolkit, or make the file again with this one"
        )


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write a graph to one file; the same graph always makes the same bytes.

    Args:
        graph: what to save.
        path: by custom ending in ``.ectgraph``.  Written under a temporary name and renamed.

    Returns:
        The path, with ``~`` expanded.

    Raises:
        InputError: the folder is not there or not writable.
    """
    return write_archive(path, _ENTRY, graph_to_json(graph), graph.constants)


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read a file of `save_graph`.

    Raises:
        DeployFormatError: missing, damaged or of another format version; names the file and the problem.
    """
    data, arrays = read_archive(path, _ENTRY, kind="graph file", writer="save_graph", again="Save the graph again")
    return graph_from_json(data, arrays, str(Path(path).expanduser()))


def _to_file(graph: Graph) -> _GraphFile:
    return _GraphFile(
        FORMAT,
        VERSION,
        graph.name,
        list(graph.inputs),
        list(graph.outputs),
        [_NodeFile(n.name, n.op, list(n.inputs), dict(n.attributes)) for n in graph.nodes],  # type: ignore[arg-type]
        [_value_to_file(value) for value in graph.values.values()],
        list(graph.constants),
        dict(graph.origin),
    )


def _value_to_file(value: Value) -> _ValueFile:
    quant = value.quant
    grid = None
    if quant is not None:
        grid = _QuantFile(quant.scale.tolist(), quant.zero_point, quant.quant_min, quant.quant_max, quant.axis)
    return _ValueFile(value.name, list(value.spec.shape), value.spec.dtype, value.spec.layout, grid)


def _from_file(file: _GraphFile, constants: dict[str, np.ndarray]) -> Graph:
    graph = Graph(
        file.name,
        tuple(file.inputs),
        tuple(file.outputs),
        tuple(Node(n.name, n.op, tuple(n.inputs), _attributes(n)) for n in file.nodes),
        {value.name: _value_from_file(value) for value in file.values},
        {name: constants[name] for name in file.constants},
        file.origin,
    )
    verify(graph)
    return graph


def _attributes(node: _NodeFile) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in node.attributes.items()}


def _value_from_file(value: _ValueFile) -> Value:
    grid = None
    if value.quant is not None:
        q = value.quant
        grid = QuantParams(np.asarray(q.scale, np.float32), q.zero_point, q.quant_min, q.quant_max, q.axis)
    return Value(value.name, TensorSpec(tuple(value.shape), value.dtype, value.layout), grid)
