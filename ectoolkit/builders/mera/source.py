"""The TorchScript that EdgeCortix's compiler is given: the user's own as it is, or one written from the graph."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ectoolkit.builders.mera.preflight import obstacles
from ectoolkit.core.graph import Graph
from ectoolkit.errors import BuildError
from ectoolkit.frontends.torchscript import import_torchscript, to_torchscript
from ectoolkit.frontends.torchscript.importer import load_script
from ectoolkit.frontends.torchscript.same import first_difference


@dataclass(frozen=True)
class Source:
    """What the compiler gets.

    Attributes:
        data: a TorchScript file.
        origin: ``"as given"`` or ``"written from the graph"``.
        remedies: why what was given could not go in as it is, and what was done about it.
    """

    data: bytes
    origin: str
    remedies: tuple[str, ...] = ()


def torchscript_of(graph: Graph, given: str | os.PathLike[str] | Any = None, *, target: str) -> Source:
    """The TorchScript for a graph.

    Args:
        graph: to be built.
        given: the traced module or file that the graph was read from, None where it was not.
        target: of MERA.

    Raises:
        BuildError: what was given is another network than the graph.
        UnsupportedOpError, QuantizationError, GraphError: the graph cannot be written.
    """
    if given is None:
        return Source(to_torchscript(graph, target).save_to_buffer(), "written from the graph")
    script, _ = load_script(given)
    shapes = [graph.values[name].spec.shape for name in graph.inputs]
    difference = first_difference(graph, import_torchscript(script, shapes, name=graph.name))
    if difference is not None:
        raise BuildError(
            f"the TorchScript given is not the network of {graph.name}: {difference}. Give the module or file that the "
            "graph was read from, or leave torchscript out: then it is written from the graph"
        )
    found = tuple(obstacles(script))
    if found:
        return Source(to_torchscript(graph, target).save_to_buffer(), "written from the graph", found)
    return Source(script.save_to_buffer(), "as given")
