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

from ectoolkit.builders.mera.lost_relus import warn_of_cost
from ectoolkit.builders.mera.options import SETTINGS, MeraOptions
from ectoolkit.builders.mera.preflight import refuse
from ectoolkit.builders.mera.source import torchscript_of
from ectoolkit.core.atomic import replacing_folder
from ectoolkit.core.deployment import (
    GRAPH,
    LIBRARY,
    MANIFEST,
    PARAMETERS,
    PROGRAM,
    Deployment,
    Manifest,
    TensorFile,
    is_deployment,
    load_deployment,
    record_files,
    tensor_files,
    to_layout,
)
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import save_graph
from ectoolkit.core.inputs import Inputs, check_inputs
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.trust import trust
from ectoolkit.core.types import Layout
from ectoolkit.errors import BuildError, InputError, WorkerError
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
    inputs = _one_run(graph, reference_input)
    if preflight:
        refuse(graph, target)
    with replacing_folder(out, is_deployment, "deploy directory") as folder:
        report(0, _STEPS, "reference")
        outputs = interpret(graph, inputs)
        warn_of_cost(graph, inputs, outputs)
        report(1, _STEPS, "TorchScript")
        source = torchscript_of(graph, torchscript, target=target)
        report(2, _STEPS, "compile")
        files = _describe(graph, inputs, outputs)
        with borrowed_worker(place) as worker:
            facts = _compile(worker, source.data, options, files[0], folder, timeout_s, report)
            versions = worker.facts["versions"]
        report(4, _STEPS, "write")
        known = {**facts, **asdict(options), "torchscript": source.origin, "remedies": source.remedies}
        known["preflight"] = preflight
        (folder / SETTINGS).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        save_graph(graph, folder / GRAPH)
        for tensor, array in zip((*files[0], *files[1]), (*inputs.values(), *outputs), strict=True):
            to_layout(array, tensor.layout).astype("<f4").tofile(folder / tensor.file)
        manifest = _manifest(graph, options, versions, *files, folder=folder, calibration=calibration_sha256)
        (folder / MANIFEST).write_bytes(manifest.sealed().to_json())
        report(_STEPS, _STEPS, "done")
    return trust(load_deployment(out), remember=remember)  # built here, so it will run without a word


def _one_run(graph: Graph, reference_input: Inputs) -> dict[str, np.ndarray]:
    specs = {name: graph.values[name].spec for name in graph.inputs}
    inputs = check_inputs(graph.name, specs, reference_input)
    for name, array in inputs.items():
        if array.shape != specs[name].shape:
            raise InputError(f"reference_input {name} has shape {array.shape}, expected one run: {specs[name].shape}")
    return {name: inputs[name] for name in graph.inputs}


def _describe(
    graph: Graph, inputs: dict[str, np.ndarray], outputs: list[np.ndarray]
) -> tuple[tuple[TensorFile, ...], tuple[TensorFile, ...]]:
    return (
        tensor_files(graph.inputs, [array.shape for array in inputs.values()], Layout.NHWC, "input{}.bin"),
        tensor_files(graph.outputs, [array.shape for array in outputs], Layout.NHWC, "ref_result_{}.bin"),
    )


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


def _manifest(
    graph: Graph,
    options: MeraOptions,
    versions: dict[str, str],
    inputs: tuple[TensorFile, ...],
    outputs: tuple[TensorFile, ...],
    *,
    folder: Path,
    calibration: str,
) -> Manifest:
    ours = {"ectoolkit": importlib.metadata.version("ectoolkit"), "numpy": np.__version__}
    theirs = {f"mera environment's {name}": version for name, version in versions.items() if version}
    return Manifest(
        name=graph.name,
        target=f"mera:{options.target}",
        platform=options.platform,
        host_arch=_HOSTS[options.host_arch],
        isa="",
        cpu_features=(),
        tools=ours | theirs,
        model_sha256=graph.origin.get("model_sha256", ""),
        calibration_sha256=calibration,
        graph_sha256=graph.sha256,
        quantization_sha256=graph.quantization_sha256,
        inputs=inputs,
        outputs=outputs,
        files=record_files(folder),
    )
