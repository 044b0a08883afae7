"""A whole graph as the bytes that the board's kernel ``ectoolkit_graph`` takes: one buffer, no files.

JSON of the graph and its constants: magic, a length for each part, then the parts.  Made here, read by the kernel.
"""

from __future__ import annotations

import io
import json
import struct

import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import graph_from_json, graph_to_json
from ectoolkit.errors import DeployFormatError

MAGIC = b"ECTGRAPH"
_HEAD = struct.Struct("<8sIQ")


def encode_program(graph: Graph) -> bytes:
    """A graph with its constants."""
    arrays = io.BytesIO()
    for name in graph.constants:
        np.lib.format.write_array(arrays, np.ascontiguousarray(graph.constants[name]), allow_pickle=False)
    head = graph_to_json(graph)
    return _HEAD.pack(MAGIC, 1, len(head)) + head + arrays.getvalue()


def decode_program(data: bytes) -> Graph:
    """The graph of `encode_program`, verified.

    Raises:
        DeployFormatError: the bytes are none: a buffer that was never filled or synced.
    """
    source = "the program in the board's memory"
    magic, _, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise DeployFormatError(f"{source} begins with {magic!r}, expected {MAGIC!r}")
    head = data[_HEAD.size : _HEAD.size + length]
    arrays = io.BytesIO(data[_HEAD.size + length :])
    names = _constants(head)
    constants = {name: np.lib.format.read_array(arrays, allow_pickle=False) for name in names}
    return graph_from_json(head, constants, source)


def _constants(head: bytes) -> list[str]:
    """Names of the constants in a graph's JSON, in the order of their arrays."""
    return list(json.loads(head)["constants"])
