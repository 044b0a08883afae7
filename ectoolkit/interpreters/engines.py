"""The choice of an engine, and what each layer runs as."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core import interpreter
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress, Trace
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from ectoolkit.interpreters.fast.program import Program

#: what `interpret` and `trace` take
ENGINES = ("auto", "fast", "definition")


@dataclass(frozen=True)
class LayerForm:
    """What one layer runs as.

    Attributes:
        layer: its name.
        op: its operation.
        form: how the fast engine computes it, ``"definition"`` where that is the operation's own reference.
    """

    layer: str
    op: str
    form: str


def interpret(
    graph: Graph, inputs: Inputs, *, engine: str = "auto", progress: Progress | None = None
) -> list[np.ndarray]:
    """Run a graph and return its outputs only.

    Args:
        graph: what to run.
        inputs: float32 in the graph's layout (NCHW where 4-D); a batch larger than the graph's is run part by part.
        engine: ``"definition"`` is `ectoolkit.core.interpreter`; ``"fast"`` runs on torch, on as many threads as
            torch is set to, and gives the same; ``"auto"`` is fast where torch is installed.
        progress: called after each layer of each run; may raise to cancel.

    Returns:
        The outputs in graph order, float32, NCHW where 4-D.

    Raises:
        InputError: an input's number, shape or dtype does not fit, or it holds NaN; or there is no such engine.
        MissingDependencyError: the fast engine was asked for, and torch is not installed.
    """
    if _is_fast(engine):
        return interpreter.interpret_with(_program(graph).run, graph, inputs, progress)
    return interpreter.interpret(graph, inputs, progress=progress)


def trace(graph: Graph, inputs: Inputs, *, engine: str = "auto", progress: Progress | None = None) -> Trace:
    """Run a graph and keep every layer's tensor; arguments and errors as for `interpret`.

    The fast engine's 4-D arrays have their axes in NCHW order as everywhere, and lie in memory channels last.
    """
    if _is_fast(engine):
        return interpreter.trace_with(_program(graph).run, graph, inputs, progress)
    return interpreter.trace(graph, inputs, progress=progress)


def explain(graph: Graph) -> list[LayerForm]:
    """How the fast engine computes each layer on this CPU.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    require("torch", feature="The fast interpreter")
    return [LayerForm(step.node.name, step.node.op, step.form) for step in _program(graph).steps]


def _is_fast(engine: str) -> bool:
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}, expected {', '.join(map(repr, ENGINES[:-1]))} or {ENGINES[-1]!r}")
    if engine == "auto":
        return importlib.util.find_spec("torch") is not None
    if engine == "fast":
        require("torch", feature="The fast interpreter")
    return engine == "fast"


def _program(graph: Graph) -> Program:
    from ectoolkit.interpreters.fast.program import program_of

    return program_of(graph)
