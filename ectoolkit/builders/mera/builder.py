"""Graph → deploy directory by EdgeCortix's compiler.

``deploy.so``, ``deploy.json`` and ``deploy.params`` are theirs, byte for byte, so that their own runtime takes the
directory; the graph is in ``graph.ectgraph``, the compiler's log in ``compile.log``, settings and times in
``compile.json``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit.builders.examples import input_files, one_run, write_examples
from ectoolkit.builders.mera.lost_relus import warn_of_cost
from ectoolkit.builders.mera.options import SETTINGS, MeraOptions
from ectoolkit.builders.mera.preflight import refuse
from ectoolkit.builders.mera.source import Source, torchscript_of
from ectoolkit.core.atomic import replacing_folder
from ectoolkit.core.deployment import Deployment, is_deployment, load_deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import save_graph
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.manifest import GRAPH, LIBRARY, PARAMETERS, PROGRAM, TensorFile
from ectoolkit.core.types import Layout
from ectoolkit.errors import BuildError, WorkerError
from ectoolkit.interpreters import interpret
from ectoolkit.mera.place import Place, find_place
from ectoolkit.mera.session import PIECE_TIMEOUT_S, Worker, borrowed_worker

LOG = "compile.log"
_HOSTS = {"x86": "x86_64", "arm": "aarch64"}
_STEPS = 5


def build_mera(
    graph: Graph,
    out: str | os.PathLike[str],
    target: str,
    *,
    reference_input: Inputs,
    platform: str = MeraOptions.platform,
    host_arch: str = MeraOptions.host_arch,
    scheduler: str = MeraOptions.scheduler,
    workers: int | None = None,
    frequency_mhz: int | None = None,
    layout: str = "NHWC",
    torchscript: Any = None,
    preflight: bool = True,
    environment: str | Place | None = None,
    timeout_s: float = 3600,
    calibration_sha256: str = "",
    remember: bool = True,
    progress: Progress | None = None,
) -> Deployment:
    """Build a deploy directory; the last good one stays until the new one is complete.

    Args:
        graph: in hardware form: quantized with ``hardware="dna"``, or from `import_torchscript`.
        out: the directory; may exist if it is empty or a deploy directory.
        target: of MERA: see `MeraOptions`.
        reference_input: float32 in the graph's layout (NCHW where 4-D), one run: stored with the interpreter's result.
        platform, host_arch, scheduler, workers, frequency_mhz: see `MeraOptions`.
        layout: ``"NHWC"``, which is theirs.
        torchscript: the traced module, or its file, that the graph was read from: it then goes in as it is, where their
            compiler can take it.  Written from the graph where None.
        preflight: refuse what their compiler is known to fail at.
        environment: of MERA, where not the usual one: see `ectoolkit.mera.place.find_place`.
        timeout_s: for compiling.
        calibration_sha256: hash of the calibration images, for the manifest.
        remember: that it was built here, for this user's later processes too; False for what is thrown away.
        progress: called after each step and while compiling; it may raise to cancel.

    Returns:
        The checked deployment.

    Raises:
        BuildError: a setting is unknown, the preflight refuses the graph, or the compiler failed, died or hung.
        MissingDependencyError: MERA is not installed.
        UnsupportedOpError, QuantizationError, GraphError: the graph has no form that their compiler reads.
        InputError: the reference input does not fit, or the directory cannot be written.

    Warns:
        PrecisionWarning: a ReLU is dropped, with what that costs; or see `to_torchscript`.
    """
    options = MeraOptions(target, platform, host_arch, scheduler, workers, frequency_mhz)
    if layout != "NHWC":
        raise BuildError(f"layout is {layout!r}; EdgeCortix's compiler makes 'NHWC' alone")
    report = progress or (lambda done, total, step: None)
    place = find_place(environment)
    inputs = one_run(graph, reference_input)
    named = dict(zip(graph.inputs, inputs, strict=True))
    if preflight:
        refuse(graph, target)
    with replacing_folder(out, is_deployment, "deploy directory") as folder:
        report(0, _STEPS, "reference")
        outputs = interpret(graph, named)
        warn_of_cost(graph, named, outputs)
        report(1, _STEPS, "TorchScript")
        source = torchscript_of(graph, torchscript, target=target)
        report(2, _STEPS, "compile")
        with borrowed_worker(place) as worker:
            facts = _compile(worker, source.data, options, input_files(graph, Layout.NHWC), folder, timeout_s, report)
            versions = worker.facts["versions"]
        report(4, _STEPS, "write")
        _write_settings(folder, source, options, facts, preflight)
        save_graph(graph, folder / GRAPH)
        about = _about(options, versions, calibration_sha256)
        write_examples(folder, graph, Layout.NHWC, inputs, outputs, **about)
        report(_STEPS, _STEPS, "done")
    return load_deployment(out).let_run(remember=remember)  # built here, so it will run without a word


def _compile(
    worker: Worker,
    source: bytes,
    options: MeraOptions,
    inputs: tuple[TensorFile, ...],
    folder: Path,
    timeout_s: float,
    report: Progress,
) -> dict[str, Any]:
    """Compile in the worker and bring the files here; its facts about the build."""
    what = f"mera:{options.target} for {options.platform}"
    if not worker.facts["versions"]["mera"]:
        raise BuildError(f"{worker.place} has no mera. Expected {worker.place.what}; see `ectoolkit mera status`")

    def waiting(seconds: float, line: str) -> None:
        report(2, _STEPS, f"compile, {seconds:.0f} s: {line}")

    try:
        each = min(timeout_s, PIECE_TIMEOUT_S)
        worker.send_files("build", {"model.pt": source}, timeout_s=each)
        facts: dict[str, Any] = worker.call(
            "compile",
            timeout_s=timeout_s,
            doing=f"compiling for {what}",
            waiting=waiting,
            inputs=[[f"input{i}", list(tensor.shape), tensor.dtype] for i, tensor in enumerate(inputs)],
            target=options.target,
            platform_name=options.platform,
            host_arch=options.host_arch,
            config=options.config(),
        )
        (folder / LOG).write_text(worker.printed, encoding="utf-8")
        report(3, _STEPS, "fetch")
        for name in (LIBRARY, PROGRAM, PARAMETERS):  # not what the worker would call them
            (folder / name).write_bytes(worker.fetch_file("build", name, facts["sizes"][name], timeout_s=each))
    except WorkerError as error:
        raise BuildError(str(error), command=f"EdgeCortix MERA, {what}", stderr=error.output) from error
    return facts


def _write_settings(folder: Path, source: Source, options: MeraOptions, facts: dict[str, Any], preflight: bool) -> None:
    """Settings and times, beside the compiler's own files."""
    known = {**facts, **asdict(options), "torchscript": source.origin, "remedies": source.remedies}
    known["preflight"] = preflight
    (folder / SETTINGS).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _about(options: MeraOptions, versions: dict[str, str], calibration: str) -> dict[str, Any]:
    """The manifest's fields that tell what was built with what."""
    ours = {"ectoolkit": importlib.metadata.version("ectoolkit"), "numpy": np.__version__}
    theirs = {f"mera environment's {name}": version for name, version in versions.items() if version}
    return {
        "target": f"mera:{options.target}",
        "platform": options.platform,
        "host_arch": _HOSTS[options.host_arch],
        "isa": "",
        "cpu_features": (),
        "tools": ours | theirs,
        "calibration_sha256": calibration,
    }
