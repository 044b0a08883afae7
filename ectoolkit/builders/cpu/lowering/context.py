"""What lowering a layer needs and makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels.computed import Tensor
from ectoolkit.core.graph import Graph, Node, Value


@dataclass(frozen=True)
class KernelCall:
    """One kernel on its way into the module.

    Attributes:
        template: function that makes the kernel.
        arguments: of the template; equal templates and arguments share one kernel.
        inputs: values and parameters it reads, by name, in order.
        output: name of the value it makes.
        shape: of the output inside the library (NHWC where 4-D).
        dtype: of the output.
    """

    template: Callable[..., Any]
    arguments: tuple[Any, ...]
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def tile(self) -> str:
        """The register tile that was chosen for it, empty where its template has none to choose."""
        return next((str(part.tile) for part in self.arguments if hasattr(part, "tile")), "")


@dataclass
class Lowered:
    """What a layer became.  Names made here have a colon, which no module's path has.

    Attributes:
        calls: kernels of each run, in order.
        prepare: kernels run once at load, to pack weights.
        parameters: arrays for ``deploy.params`` beyond the graph's own constants.
        note: for the table, of a layer without a kernel of its own.
    """

    calls: list[KernelCall]
    prepare: list[KernelCall] = field(default_factory=list)
    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Context:
    """What lowering needs to know beyond the node.

    Attributes:
        graph: to be lowered.
        isa: instruction set.
        nchw: whether 4-D inputs and outputs are laid out NCHW.
        fused: the add that a convolution is computed with, by the convolution's name.
        borders: pixels above, left of, below and right of each image of a tensor, for tensors that have any.
        absorbed: the layer whose kernel does a layer's work as it reads, by that layer's name.
    """

    graph: Graph
    isa: Isa
    nchw: bool
    fused: Mapping[str, Node] = field(default_factory=dict)
    borders: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)
    absorbed: Mapping[str, Node] = field(default_factory=dict)

    def fused_into(self, add: str) -> tuple[str, ...]:
        """The convolution that is computed with an add, if there is one."""
        return tuple(name for name, node in self.fused.items() if node.name == add)

    def value(self, name: str) -> Value:
        return self.graph.values[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape inside the library: NHWC where 4-D."""
        return inside(self.value(name).spec.shape)

    def as_graph(self, name: str) -> bool:
        """True for what the library keeps in the graph's own order of axes: constants, and NCHW inputs and outputs."""
        at_the_end = name in self.graph.inputs or name in self.graph.outputs
        return name in self.graph.constants or (self.nchw and at_the_end)

    def tensor(self, name: str) -> Tensor:
        """A value as kernels of `computed` see it."""
        spec = self.value(name).spec
        rank = len(spec.shape)
        axes = (0, 2, 3, 1) if rank == 4 and not self.as_graph(name) else tuple(range(rank))
        return Tensor(spec.shape, axes, spec.dtype)


def inside(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A graph's shape as the library has it: NHWC where 4-D."""
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape


def inside_axis(axis: int, rank: int) -> int:
    """Where an axis of the graph stands inside the library."""
    return (0, 3, 1, 2)[axis] if rank == 4 else axis


def single(
    context: Context, node: Node, template: Callable[..., Any], *arguments: Any, inputs: tuple[str, ...] | None = None
) -> Lowered:
    """A layer that is one kernel of codes."""
    value = context.value(node.name)
    reads = node.inputs if inputs is None else inputs
    call = KernelCall(template, arguments, reads, node.name, context.shape(node.name), value.spec.dtype)
    return Lowered([call])


def computed(
    context: Context,
    node: Node,
    template: Callable[..., Any],
    *settings: Any,
    inputs: tuple[str, ...] | None = None,
    tables: dict[str, np.ndarray] | None = None,
) -> Lowered:
    """A layer that is one kernel of `ectoolkit.builders.cpu.kernels.computed`.

    Args:
        context: of the layer.
        node: the layer.
        template: of the kernel.
        *settings: of the template.
        inputs: values it reads, those of the node by default.
        tables: arrays that it reads behind them, by name.
    """
    reads = node.inputs if inputs is None else inputs
    tables = tables or {}
    operands = [context.tensor(name) for name in reads]
    operands += [Tensor(array.shape, tuple(range(array.ndim)), array.dtype.name) for array in tables.values()]
    output = context.tensor(node.name)
    arguments = (tuple(operands), output, *settings)
    call = KernelCall(template, arguments, (*reads, *tables), node.name, output.inside, output.dtype)
    return Lowered([call], [], tables)
