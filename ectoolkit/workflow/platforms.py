"""The same network on several of EdgeCortix's platforms, side by side."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.diffs import compare
from ectoolkit.analysis.frames import frame
from ectoolkit.builders import build
from ectoolkit.builders.mera.options import SETTINGS
from ectoolkit.core.deployment import from_layout
from ectoolkit.core.graph import Graph
from ectoolkit.core.inputs import Inputs
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.manifest import LIBRARY, PARAMETERS
from ectoolkit.devices import open_device
from ectoolkit.errors import BuildError, DeviceError
from ectoolkit.mera.names import PLATFORMS

if TYPE_CHECKING:
    import pandas as pd

#: one of each family that EdgeCortix's documents name
USUAL = ("DNAF200L0003", "DNAF100L0003", "DNAF232S0002", "DNAF632L0003", "SAKURA_1")
COLUMNS = {
    "platform": "str",
    "architecture": "str",
    "latency_us": "float64",
    "cycles": "float64",
    "frequency_mhz": "float64",
    "equal": "bool",
    "mismatches": "float64",
    "deploy_so_mb": "float64",
    "deploy_params_mb": "float64",
    "build_s": "float64",
    "trouble": "str",
}


def compare_platforms(
    graph: Graph,
    reference_input: Inputs,
    platforms: Iterable[str] = USUAL,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Build for EdgeCortix's Simulator on each platform, and run one input.

    Args:
        graph: in hardware form.
        reference_input: float32 in the graph's layout, one run.
        platforms: names of `ectoolkit.mera.names.PLATFORMS`.
        progress: called after each platform; it may raise to cancel.
        **options: of the builder: ``scheduler="slow"``, ``frequency_mhz=300``.

    Returns:
        One row a platform.  Columns: ``platform``; ``architecture`` it stands for; ``latency_us`` and ``cycles`` as
        simulated, at ``frequency_mhz``; whether every output element is ``equal`` to the interpreter's, and how many
        are ``mismatches``; ``deploy_so_mb`` and ``deploy_params_mb``; ``build_s`` that compiling took; ``trouble``
        where it could not be built or run.
    """
    names = list(platforms)
    report = progress or (lambda done, total, label: None)
    rows = []
    for done, name in enumerate(names):
        report(done, len(names), name)
        rows.append(_row(graph, reference_input, name, options))
    report(len(names), len(names), "done")
    return frame(rows, COLUMNS)


def _row(graph: Graph, reference_input: Inputs, platform: str, options: dict[str, Any]) -> dict[str, object]:
    row: dict[str, object] = {"platform": platform, "architecture": PLATFORMS.get(platform, ""), "equal": False}
    environment = {key: options[key] for key in ("environment",) if key in options}
    try:
        with tempfile.TemporaryDirectory(prefix="ectoolkit-") as folder:
            out, target = Path(folder) / "deploy", "mera:Simulator"
            given = {"reference_input": reference_input, "remember": False, **options}
            deployment = build(graph, out, target, platform=platform, **given)
            with open_device(target, **environment) as device:
                result = device.run(deployment)
            files = deployment.manifest.files
            row["deploy_so_mb"] = files[LIBRARY].size_bytes / 1e6
            row["deploy_params_mb"] = files[PARAMETERS].size_bytes / 1e6
            row["build_s"] = json.loads((out / SETTINGS).read_text(encoding="utf-8"))["compile_seconds"]
            pairs = zip(deployment.references(), deployment.manifest.outputs, strict=True)
            diff = compare(result.outputs, [from_layout(array, tensor.layout) for array, tensor in pairs])
    except (BuildError, DeviceError) as error:
        return row | {"trouble": str(error).splitlines()[0]}
    row["equal"] = bool(diff)
    row["mismatches"] = sum(tensor.mismatches for tensor in diff.tensors)
    row["latency_us"] = result.metrics.get("sim_time_us")
    row["cycles"] = result.metrics.get("total_sim_cycles")
    row["frequency_mhz"] = result.metrics.get("freq_mhz")
    return row
