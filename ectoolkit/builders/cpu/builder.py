"""Graph → deploy directory for the CPU."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from ectoolkit._optional import require
from ectoolkit.builders.cpu.compiler import LINKING, compile_module, export
from ectoolkit.builders.cpu.importer import ImportedModule, import_graph
from ectoolkit.builders.cpu.isa import choose_isa
from ectoolkit.builders.examples import one_run, write_examples
from ectoolkit.core.atomic import replacing_folder
from ectoolkit.core.deployment import Deployment, is_deployment, load_deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import graph_to_json
from ectoolkit.core.host import cross_compiler, host_architecture
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress, interpret
from ectoolkit.core.manifest import LIBRARY, PARAMETERS, PROGRAM
from ectoolkit.core.program import Program, ProgramFile

#: packages whose versions decide what a build contains
TOOLS = ("ectoolkit", "apache-tvm", "numpy", "torch")


def build_cpu(
    graph: Graph,
    out: str | os.PathLike[str],
    *,
    reference_input: Inputs,
    layout: str = "NHWC",
    host_arch: str | None = None,
    isa: str = "host",
    imported: ImportedModule | None = None,
    calibration_sha256: str = "",
    remember: bool = True,
    progress: Progress | None = None,
) -> Deployment:
    """Build a deploy directory; the last good one stays until the new one is complete.

    Args:
        graph: what to build.
        out: the directory; may exist if it is empty or a deploy directory.
        reference_input: float32 in the graph's layout (NCHW where 4-D), one run: stored with the interpreter's result.
        layout: of 4-D inputs and outputs: ``"NHWC"`` as in the U50 guide, or ``"NCHW"``.
        host_arch: ``"x86"`` or ``"arm"`` (64-bit); this machine's, or that of `isa`, where None.
        isa: ``"host"`` for the best of this machine, or one of `ectoolkit.builders.cpu.isa.ISAS`.
        imported: an import of this very graph with this layout and instruction set, to save doing it again.
        calibration_sha256: hash of the calibration images, for the manifest.
        remember: that it was built here, for this user's later processes too; False for what is thrown away.
        progress: called after each step; it may raise to cancel.

    Returns:
        The checked deployment.

    Raises:
        BuildError: compiling or linking failed, or the host is none that can be built for.
        InputError: the reference input does not fit, or the directory cannot be written.
    """
    chosen = choose_isa(isa, host_arch)
    if chosen.host_arch != host_architecture():
        cross_compiler(chosen.host_arch, LINKING)  # refuses before the work
    report = progress or (lambda done, total, step: None)
    inputs = one_run(graph, reference_input)
    with replacing_folder(out, is_deployment, "deploy directory") as folder:
        report(0, 4, "reference")
        outputs = interpret(graph, inputs)
        report(1, 4, "import")
        wanted = (graph.sha256, layout, chosen)
        if imported is None or (imported.graph.sha256, imported.layout, imported.isa) != wanted:
            imported = import_graph(graph, layout=layout, isa=chosen.name)
        report(2, 4, "compile")
        export(compile_module(imported), folder / LIBRARY, chosen.host_arch)
        report(3, 4, "write")
        _write(folder, imported, inputs, outputs, calibration_sha256)
        report(4, 4, "done")
    return load_deployment(out).let_run(remember=remember)  # built here, so it will run without a word


def _write(
    folder: Path, imported: ImportedModule, inputs: list[np.ndarray], outputs: list[np.ndarray], calibration: str
) -> None:
    """Everything but the library, the manifest last."""
    graph = imported.graph
    _write_parameters(folder / PARAMETERS, imported.parameters)
    program = Program("prepare", "main", tuple(imported.parameters), imported.steps, *imported.probes)
    (folder / PROGRAM).write_bytes(ProgramFile(program=program, graph=msgspec.Raw(graph_to_json(graph))).to_json())
    about = {
        "target": "cpu",
        "platform": "",
        "host_arch": imported.isa.host_arch,
        "isa": imported.isa.name,
        "cpu_features": imported.isa.cpu_features,
        "tools": _versions(),
        "calibration_sha256": calibration,
    }
    write_examples(folder, graph, imported.layout, inputs, outputs, **about)


def _write_parameters(path: Path, parameters: Mapping[str, np.ndarray]) -> None:
    tvm = require("tvm", feature="Writing deploy.params")
    # TVM keeps the order of a dict; sorted, so that equal graphs make equal bytes
    tensors = {name: tvm.runtime.tensor(np.ascontiguousarray(parameters[name])) for name in sorted(parameters)}
    path.write_bytes(tvm.runtime.save_param_dict(tensors))


def _versions() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
