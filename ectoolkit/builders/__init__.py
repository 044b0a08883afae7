"""Graph → Deployment, one target a folder.

A builder promises a directory that `ectoolkit.core.deployment.load_deployment` accepts, written whole or not at all.
It must never run anything on hardware.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.errors import BuildError
from ectoolkit.mera.names import TARGETS as MERA_TARGETS


def _cpu(graph: Graph, out: str | os.PathLike[str], **options: Any) -> Deployment:
    # imported here: the kernels are TVMScript, and TVM takes seconds to import or may be absent
    require("tvm", feature="Building for the cpu")
    from ectoolkit.builders.cpu.builder import build_cpu

    _require_known("cpu", build_cpu, options)
    return build_cpu(graph, out, **options)


def _mera(target: str, graph: Graph, out: str | os.PathLike[str], **options: Any) -> Deployment:
    # imported here: it needs torch, to write what their compiler reads
    from ectoolkit.builders.mera.builder import build_mera

    _require_known(f"mera:{target}", build_mera, options)
    return build_mera(graph, out, target, **options)


def _require_known(target: str, builder: Callable[..., Deployment], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(builder).parameters.values()
    known = [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return
    unknown = [name for name in options if name not in known]
    if unknown:
        raise BuildError(f"the target {target!r} does not take {unknown[0]!r}; it takes {', '.join(known)}")


#: builder of each target
TARGETS: Mapping[str, Callable[..., Deployment]] = MappingProxyType(
    {"cpu": _cpu, **{f"mera:{name}": partial(_mera, name) for name in MERA_TARGETS}}
)


def build(graph: Graph, out: str | os.PathLike[str], target: str = "cpu", **options: Any) -> Deployment:
    """Build a deploy directory.

    Args:
        graph: what to build.
        out: the directory; replaced only when the new one is complete.
        target: ``"cpu"``; ``"mera:InterpreterHw"``, ``"mera:Simulator"`` or ``"mera:IP"`` for EdgeCortix's compiler.
        **options: of the target: `reference_input` (required), `host_arch`, `remember`, `progress` and those
            of `ectoolkit.builders.cpu.builder.build_cpu` (`layout`, `isa`) or of
            `ectoolkit.builders.mera.builder.build_mera` (`platform`, `scheduler`, `workers`, `torchscript`...).

    Returns:
        The deployment, checked against its manifest.

    Raises:
        BuildError: unknown target or option, or the build failed.
        InputError: the reference input does not fit, or `out` cannot be written.
    """
    if target not in TARGETS:
        raise BuildError(f"there is no target {target!r}; known: {', '.join(map(repr, TARGETS))}")
    return TARGETS[target](graph, out, **options)


__all__ = ["TARGETS", "build"]
