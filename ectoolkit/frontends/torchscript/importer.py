"""The door: a traced, quantized torch model or its file, to a `Graph`."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from ectoolkit._notices import warn
from ectoolkit._optional import require
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops.base import grid
from ectoolkit.errors import GraphError, InputError, PrecisionWarning
from ectoolkit.frontends.torchscript.mark import tables_of
from ectoolkit.frontends.torchscript.own import OWN_RULES, join_lookups
from ectoolkit.frontends.torchscript.rules import RULES, Importer
from ectoolkit.frontends.torchscript.walk import walk
from ectoolkit.passes.residual_add import FuseResidualAdd


def import_torchscript(
    model: str | os.PathLike[str] | Any,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    *,
    name: str | None = None,
    keep_relus: bool = False,
) -> Graph:
    """Read the U50 guide's traced, quantized model.

    Args:
        model: a TorchScript file (``torch.jit.save``), or the traced module itself.
        input_shape: ``(N, C, H, W)`` of the input, or one such shape for each input.
        name: of the graph; by default the file's name or the module's class.
        keep_relus: swap the operands of an add where EdgeCortix's compiler would otherwise drop the ReLU of one.  The
            graph is then more precise than the file, and another network: save it with `save_torchscript`.

    Returns:
        A verified graph in hardware form.  Per-tensor weight scales are expanded to one a channel; a layer keeps the
        name of its module.

    Raises:
        InputError: no such file, not TorchScript, or the shapes do not fit.
        GraphError: the model is not quantized.
        UnsupportedOpError: an operation has no integer definition; names it, its layer and the remedy.
        DeployFormatError: a file of `save_torchscript` in a format version that this ectoolkit does not read.

    Warns:
        PrecisionWarning: the accelerator drops the ReLU of a layer that only an add uses, or keeps the input's grid
            for the result of a hardsigmoid.
    """
    script, digest = load_script(model)
    shapes = _shapes(input_shape)
    name = name or (Path(model).stem if isinstance(model, str | os.PathLike) else script.original_name)
    calls = walk(script)
    _require_quantized(name, [call.op for call in calls.calls])
    tables = tables_of(script, name)
    if len(calls.inputs) != len(shapes):
        raise InputError(f"{name} takes {len(calls.inputs)} input(s), got {len(shapes)} input shape(s)")
    rules = RULES if tables is None else RULES | OWN_RULES
    importer = Importer(GraphBuilder(name), dict(zip(calls.inputs, shapes, strict=True)), rules)
    for call in join_lookups(calls.calls, tables or {}):
        importer.add(call)
    outputs = [importer.value_of(output) for output in calls.outputs]
    graph = importer.builder.finish(outputs, {"frontend": "torchscript", "model_sha256": digest})
    if importer.coarse:
        warn(_coarse(graph, importer.coarse), PrecisionWarning, stacklevel=2)
    return FuseResidualAdd(swap=keep_relus)(graph)


def _coarse(graph: Graph, layers: Sequence[str]) -> str:
    """What becomes of these layers' hardsigmoid."""
    grids = [(name, grid(graph.values[name])) for name in layers]
    ends = [(name, quant.scalar, min((255 - quant.zero_point) * float(quant.scalar), 1)) for name, quant in grids]
    named = ", ".join(f"{name} (steps of {step:.3g} up to {end:.3g})" for name, step, end in ends)
    return (
        f"{graph.name}: EdgeCortix's compiler keeps the input's grid for the result of a hardsigmoid, where torch has "
        f"256 steps from 0 to 1: {named}. The reference does what the board does. For a "
        "finer gate use nn.Sigmoid, whose result has 256 steps there too"
    )


def load_script(model: str | os.PathLike[str] | Any) -> tuple[Any, str]:
    """The script module and the sha256 of its file (of its serialized bytes where there is none)."""
    torch = require("torch", feature="Reading TorchScript")
    if isinstance(model, torch.jit.ScriptModule):
        return model, hashlib.sha256(model.save_to_buffer()).hexdigest()
    if isinstance(model, torch.nn.Module):
        raise GraphError(
            f"{type(model).__name__} is a plain nn.Module, expected a traced, quantized one. Trace it with "
            "torch.jit.trace(model, example), or let ectoolkit.quantize(model, calibration) do all the steps"
        )
    path = Path(model).expanduser()
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}; expected a TorchScript file")
    try:
        with warnings.catch_warnings():
            # torch announces the end of TorchScript, which is this door's format
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", message=".*torch.jit.load.*", category=category)
            script = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"{path} is not a TorchScript file ({first}). Save the traced model with traced.save(path); a file of "
            "torch.save or torch.export is another format"
        ) from error
    return script, hashlib.sha256(path.read_bytes()).hexdigest()


def _shapes(input_shape: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    nested = [input_shape] if all(isinstance(extent, Integral) for extent in input_shape) else list(input_shape)
    shapes = [tuple(int(extent) for extent in shape) for shape in nested]  # type: ignore[attr-defined]
    for shape in shapes:
        if not shape or min(shape) < 1:
            raise InputError(f"input_shape {shape} must be positive extents, for example (1, 3, 224, 224)")
    return shapes


def _require_quantized(name: str, ops: Sequence[str]) -> None:
    if any(op.startswith("quantized::") or op == "aten::quantize_per_tensor" for op in ops):
        return
    example = next((op for op in ops if "conv" in op or "linear" in op), ops[0] if ops else "nothing")
    raise GraphError(
        f"{name} is a float model: it calls {example} and no quantized operation. Expected a model quantized with "
        "fuse_model, prepare, calibration and convert before torch.jit.trace; ectoolkit.quantize(module, calibration) "
        "does these steps"
    )
