"""Graph → Relax module, with the parameters it needs and a row for each layer."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.builders.cpu.costs import predicted_shares
from ectoolkit.builders.cpu.isa import Isa, choose_isa
from ectoolkit.builders.cpu.kernels import roofline
from ectoolkit.builders.cpu.lowering import Context, KernelCall, Lowered, inside, lower
from ectoolkit.builders.cpu.lowering.absorbing import absorbed_layers
from ectoolkit.builders.cpu.lowering.frames import plan_frames
from ectoolkit.builders.cpu.lowering.fusing import fused_adds
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.program import Probe, Step
from ectoolkit.core.types import Layout
from ectoolkit.core.workload import workload
from ectoolkit.errors import InputError


@dataclass(frozen=True, eq=False)
class ImportedModule:
    """A graph as TVM has it.

    Attributes:
        graph: what was imported.
        layout: of 4-D inputs and outputs.
        isa: instruction set of the kernels.
        module: the ``tvm.IRModule``: Relax functions ``prepare`` and ``main``, and the kernels; ``.show()`` prints it.
        parameters: every array of ``deploy.params``, in the order that ``prepare`` takes them.
        rows: one a layer: name, op, kernels, tile, packed weights, output shape and dtype, multiply-accumulates, bytes
            moved, predicted share of the time.
        steps: kernels of one run, in order.
        probes: what measures multiply-accumulates, and bytes, a second.
    """

    graph: Graph
    layout: Layout
    isa: Isa
    module: Any
    parameters: Mapping[str, np.ndarray]
    rows: Sequence[Mapping[str, object]] = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    probes: tuple[Probe, Probe] = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"ImportedModule({self.graph.name!r} for {self.isa.name}, {len(self.steps)} kernels, {self.layout.value})"
        )


def import_graph(
    graph: Graph,
    *,
    layout: str = "NHWC",
    isa: str = "host",
    host_arch: str | None = None,
    progress: Progress | None = None,
) -> ImportedModule:
    """Import a graph into TVM.

    Args:
        graph: what to import.
        layout: of 4-D inputs and outputs of the library: ``"NHWC"`` as in the U50 guide, or ``"NCHW"``.
        isa: ``"host"`` for the best of this machine, or one of `ectoolkit.builders.cpu.isa.ISAS`.
        host_arch: ``"x86"`` or ``"arm"``; this machine's, or that of `isa`, where None.
        progress: called after each layer.

    Raises:
        InputError: the layout is neither.
        BuildError: an operation has no kernel, or the instruction set is unknown.
        MissingDependencyError: apache-tvm is not installed.
    """
    require("tvm", feature="Importing a graph into TVM")
    if layout not in ("NHWC", "NCHW"):
        raise InputError(f"layout is {layout!r}, expected 'NHWC' or 'NCHW'")
    chosen = choose_isa(isa, host_arch)
    fused = fused_adds(graph, chosen)
    borders, absorbed = plan_frames(graph, chosen, fused), absorbed_layers(graph)
    context = Context(graph, chosen, layout == "NCHW", fused, borders, absorbed)
    lowered = [lower(context, node) for node in graph.nodes]
    parameters = _parameters(graph, lowered)
    emitter = _Emitter(context, parameters)
    emitter.make_kernels(lowered, progress)
    with _WRITING:
        emitter.prepare(lowered)
        emitter.main(lowered)
        probes = emitter.probes()
    steps = tuple(
        Step(emitter.name_of(call), (*context.fused_into(node.name), node.name))
        for node, part in zip(graph.nodes, lowered, strict=True)
        for call in part.calls
    )
    shares = predicted_shares(graph, steps, chosen.name)
    rows = [
        _row(graph, node, part, emitter, shares.get(node.name, 0.0))
        for node, part in zip(graph.nodes, lowered, strict=True)
    ]
    return ImportedModule(graph, Layout(layout), chosen, emitter.builder.get(), parameters, rows, steps, probes)


def _parameters(graph: Graph, lowered: Sequence[Lowered]) -> dict[str, np.ndarray]:
    """The graph's constants first, then what the kernels need beside them."""
    arrays = dict(graph.constants)
    for part in lowered:
        arrays.update(part.parameters)
    return arrays


def _row(graph: Graph, node: Node, part: Lowered, emitter: _Emitter, share: float) -> dict[str, object]:
    spec = graph.values[node.name].spec
    work = workload(graph, [node.name])
    return {
        "layer": node.name,
        "op": node.op,
        "kernels": ", ".join(emitter.name_of(call) for call in part.calls) or part.note,
        "tile": ", ".join(call.tile for call in part.calls if call.tile),
        "packed_weights": ", ".join(call.output for call in part.prepare),
        "output": "×".join(map(str, spec.shape)),
        "dtype": spec.dtype,
        "macs": work.macs,
        "moved_bytes": work.moved,
        "predicted_share": share,
    }


#: Relax keeps the functions that are being written on one stack for all threads: one import at a time
_WRITING = threading.Lock()


class _Emitter:
    """Writes the Relax functions and the kernels they call."""

    def __init__(self, context: Context, parameters: Mapping[str, np.ndarray]) -> None:
        from tvm import relax

        self.relax = relax
        self.context = context
        self.parameters = parameters
        self.builder = relax.BlockBuilder()
        self._kernels: dict[tuple[Callable[..., Any], tuple[Any, ...]], Any] = {}
        self._prepared: dict[str, Any] = {}

    def name_of(self, call: KernelCall) -> str:
        """Name of the kernel in the module."""
        return str(self._kernel(call).name_hint)

    def make_kernels(self, lowered: Sequence[Lowered], progress: Progress | None) -> None:
        """What takes long, and so may be cancelled: outside of a function, which would be left half written."""
        nodes = self.context.graph.nodes
        for call in (call for part in lowered for call in part.prepare):
            self._kernel(call)
        for done, part in enumerate(lowered, 1):
            for call in part.calls:
                self._kernel(call)
            if progress is not None:
                progress(done, len(lowered), nodes[done - 1].name)

    def prepare(self, lowered: Sequence[Lowered]) -> None:
        """``prepare(parameters) -> prepared``: packs weights, passes the rest on."""
        relax = self.relax
        types = [self._type(array.shape, array.dtype.name) for array in self.parameters.values()]
        given = relax.Var("parameters", relax.TupleType(types))
        packing = [call for part in lowered for call in part.prepare]
        needed = {name for part in lowered for call in part.calls for name in call.inputs}
        with self.builder.function("prepare", [given]):
            with self.builder.dataflow():
                known = {
                    name: self.builder.emit(relax.TupleGetItem(given, position), name_hint=_identifier(name))
                    for position, name in enumerate(self.parameters)
                    if name in needed or any(name in call.inputs for call in packing)
                }
                for call in packing:
                    known[call.output] = self._emit(call, known)
                prepared = [name for name in known if name in needed]
                result = self.builder.emit_output(relax.Tuple([known[name] for name in prepared]))
            self.builder.emit_func_output(result)
        self._prepared = {name: known[name].ty for name in prepared}

    def main(self, lowered: Sequence[Lowered]) -> None:
        """``main(input0, ..., prepared) -> outputs``: one kernel after another."""
        relax, graph = self.relax, self.context.graph
        inputs = [relax.Var(name, self._type(self._outside(name), "float32")) for name in graph.inputs]
        prepared = relax.Var("prepared", relax.TupleType(list(self._prepared.values())))
        with self.builder.function("main", [*inputs, prepared]):
            with self.builder.dataflow():
                known: dict[str, Any] = dict(zip(graph.inputs, inputs, strict=True))
                for position, name in enumerate(self._prepared):
                    item = relax.TupleGetItem(prepared, position)
                    known[name] = self.builder.emit(item, name_hint=_identifier(name))
                for call in (call for part in lowered for call in part.calls):
                    known[call.output] = self._emit(call, known)
                result = self.builder.emit_output(relax.Tuple([known[name] for name in graph.outputs]))
            self.builder.emit_func_output(result)

    def probes(self) -> tuple[Probe, Probe]:
        """``peak_macs(x, w) -> sums`` and ``peak_bytes(x) -> copy``: a function each around its kernel."""
        isa = self.context.isa
        sums = roofline.JOBS * roofline.sums_at_once(isa) * isa.lanes
        taken = (roofline.STEPS + roofline.sums_at_once(isa)) * isa.group
        weights = roofline.STEPS * isa.lanes * isa.group
        copied = roofline.JOBS * roofline.COPIED
        macs = KernelCall(roofline.peak_macs, (isa,), ("x", "w"), "sums", (sums,), "int32")
        copy = KernelCall(roofline.peak_bytes, (), ("x",), "copy", (copied,), "uint8")
        return (
            self._probe(macs, roofline.macs_of(isa), ((isa.activation_dtype, taken), (isa.weight_dtype, weights))),
            self._probe(copy, 2 * copied, (("uint8", copied),)),
        )

    def _probe(self, call: KernelCall, work: int, arguments: tuple[tuple[str, int], ...]) -> Probe:
        relax, name = self.relax, call.template.__name__
        known = {
            each: relax.Var(each, self._type((size,), dtype))
            for each, (dtype, size) in zip(call.inputs, arguments, strict=True)
        }
        with self.builder.function(name, list(known.values())):
            with self.builder.dataflow():
                result = self.builder.emit_output(self._emit(call, known))
            self.builder.emit_func_output(result)
        return Probe(name, work, arguments)

    def _emit(self, call: KernelCall, known: Mapping[str, Any]) -> Any:
        arguments = [known[name] for name in call.inputs]
        expression = self.relax.call_tir(self._kernel(call), arguments, out_ty=self._type(call.shape, call.dtype))
        return self.builder.emit(expression, name_hint=_identifier(call.output))

    def _kernel(self, call: KernelCall) -> Any:
        key = (call.template, call.arguments)
        if key not in self._kernels:
            name = f"{call.template.__name__}_{'x'.join(map(str, call.shape))}_{len(self._kernels)}"
            function = _made(call.template, call.arguments).with_attr("global_symbol", name)
            self._kernels[key] = self.builder.add_func(function, name)
        return self._kernels[key]

    def _outside(self, name: str) -> tuple[int, ...]:
        shape = self.context.value(name).spec.shape
        return shape if self.context.nchw else inside(shape)

    def _type(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self.relax.TensorType(shape, dtype)


@functools.lru_cache(maxsize=1024)
def _made(template: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """A kernel; TVMScript takes tens of milliseconds to parse one, and networks have many alike.

    For each it looks up the source of every frame of the stack, twice; a notebook's cell has fifty below it.  In a
    thread of its own a kernel has a handful.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(template, *arguments).result()


def _identifier(name: str) -> str:
    """A layer's name as a variable's."""
    return "".join(character if character.isalnum() else "_" for character in name)
