"""The door out: an integer graph as the quantized TorchScript that torch runs and EdgeCortix's importer reads."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ectoolkit._notices import hearing, warn
from ectoolkit._optional import require
from ectoolkit.core.atomic import replacing_file
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.verifier import verify
from ectoolkit.errors import GraphError, PostconditionError, PrecisionWarning
from ectoolkit.frontends.torchscript.concerns import concerns
from ectoolkit.frontends.torchscript.importer import import_torchscript
from ectoolkit.frontends.torchscript.mark import ATTRIBUTE, mark_text
from ectoolkit.frontends.torchscript.module_paths import module_paths
from ectoolkit.frontends.torchscript.plain import plain
from ectoolkit.frontends.torchscript.same import first_difference
from ectoolkit.frontends.torchscript.torch_state import fbgemm_engine, quiet
from ectoolkit.frontends.torchscript.writer_rules import PRECISE, Exporter
from ectoolkit.passes.residual_add import fusable, main_operand


def save_torchscript(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write a graph as a quantized TorchScript file.

    torch 1.12 and later load it.  torch's own results are close, not equal: it rounds halves to even, rounds a fused
    convolution before the add and averages with rounding; on CPUs without VNNI its sums of 8-bit activations can
    saturate.

    Args:
        graph: in hardware form: quantized with ``hardware="dna"``, or from `import_torchscript`.
        path: by custom ending in ``.pt``.  Written under a temporary name and renamed.

    Returns:
        The path, with ``~`` expanded.

    Raises:
        UnsupportedOpError, QuantizationError, GraphError: see `to_torchscript`.
        InputError: the folder is not there or not writable.

    Warns:
        PrecisionWarning: see `to_torchscript`.
    """
    torch = require("torch", feature="Writing TorchScript")
    script, cautions = _write(torch, graph)
    buffer = io.BytesIO()  # a file's name would end up inside it
    with quiet():
        torch.jit.save(script, buffer)
    with replacing_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    _warn(cautions)
    return Path(path).expanduser()


def to_torchscript(graph: Graph, target: str = "") -> Any:
    """A graph as a traced, quantized module.

    `import_torchscript` makes of it a graph with the same results, bit for bit; that is checked here.  Layers keep
    their names.  Pads become part of the convolutions after them.

    Args:
        graph: in hardware form.
        target: of EdgeCortix's compiler, where it is for one: what only others of its targets do is then not said.

    Returns:
        ``torch.jit.ScriptModule``: float32 inputs of the graph's shapes to its float32 outputs.

    Raises:
        UnsupportedOpError: a layer has no torch form that keeps its arithmetic; names it and the remedy.
        QuantizationError: a layer's numbers cannot be written.
        GraphError: an add is not in hardware form.

    Warns:
        PrecisionWarning: torch rounds a function's codes differently, or EdgeCortix's compiler is known to make
            something else of a layer.
    """
    script, cautions = _write(require("torch", feature="Writing TorchScript"), graph, target)
    _warn(cautions)
    return script


def _write(torch: Any, graph: Graph, target: str = "") -> tuple[Any, list[str]]:
    """The script module, and what its user should know."""
    verify(graph)
    written = plain(graph)
    exporter = Exporter(torch, written)
    for node in written.nodes:
        if node.op in PRECISE:  # before the convolutions that feed it, which are not at fault
            raise exporter.unsupported(node, "has no form in quantized TorchScript")
        _require_hardware_form(written, node)
    paths = module_paths(torch, [(node.name, node.op) for node in written.nodes])
    examples = tuple(torch.zeros(written.values[name].spec.shape) for name in written.inputs)
    with fbgemm_engine(torch), quiet(), torch.no_grad():
        script = torch.jit.trace(_network(torch, exporter, paths), examples, check_trace=False)
    tables = {paths[name]: table for name, table in exporter.tables.items()}
    # tracing keeps no attributes of a module, so this one comes after it
    script._c._register_attribute(ATTRIBUTE, torch._C.StringType.get(), mark_text(graph.sha256, tables))
    with hearing():  # of what the graph already is
        read = import_torchscript(script, [tuple(example.shape) for example in examples])
    _require_same(written, read)
    found = [str(concern) for concern in concerns(written) if not target or concern.holds_for(target)]
    return script, [*_rounding(written, exporter.rounded), *found]


def _require_hardware_form(graph: Graph, node: Node) -> None:
    if node.op != "add":
        return
    main, other = main_operand(graph, node)
    producer = graph.producer(main)
    unrounded = producer is not None and fusable(graph, producer)
    if (main, other) != node.inputs or unrounded:
        raise GraphError(
            f"layer {node.name}: the add's main operand is {node.inputs[0]}, but EdgeCortix's compiler and "
            f"import_torchscript would take {main}{', before it is rounded' if unrounded else ''}. Apply "
            "ectoolkit.passes.residual_add.FuseResidualAdd to the graph first; its results change by that"
        )


def _network(torch: Any, exporter: Exporter, paths: Mapping[str, str]) -> Any:
    """The module to trace: layers under their own names, called in the graph's order."""
    graph = exporter.graph

    def forward(network: Any, *inputs: Any) -> Any:
        known = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            layer = network.get_submodule(paths[node.name])
            known[node.name] = layer(*(known[name] for name in graph.activations(node)))
        results = tuple(known[name] for name in graph.outputs)
        return results[0] if len(results) == 1 else results

    network = type("Network", (torch.nn.Module,), {"forward": forward, "__module__": __name__})()
    for node in graph.nodes:
        _place(torch, network, paths[node.name], exporter.module(node))
    return network.eval()


def _place(torch: Any, network: Any, path: str, module: Any) -> None:
    *parents, name = path.split(".")
    owner = network
    for parent in parents:
        if parent not in owner._modules:
            owner.add_module(parent, type("Layers", (torch.nn.Module,), {"__module__": __name__})())
        owner = owner._modules[parent]
    owner.add_module(name, module)


def _require_same(written: Graph, read: Graph) -> None:
    difference = first_difference(written, read)
    if difference is not None:
        raise PostconditionError(
            f"the TorchScript of {written.name} does not read back as the same network: {difference}. This is a bug in "
            "ectoolkit; please report it with the graph"
        )


def _rounding(graph: Graph, rounded: Mapping[str, int]) -> list[str]:
    if not rounded:
        return []
    layers = ", ".join(f"{name} ({count})" for name, count in rounded.items())
    return [
        f"{graph.name}: torch rounds some of the 256 codes of a function to the neighbour, in {layers}. "
        "import_torchscript gives the graph's codes; torch and EdgeCortix's compiler may give their own"
    ]


def _warn(cautions: Sequence[str]) -> None:
    for caution in cautions:
        warn(caution, PrecisionWarning, stacklevel=3)
