"""Which deploy directories could be run beside the one that was just built."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ectoolkit.core.deployment import Deployment, load_deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.manifest import FORMAT, MANIFEST
from ectoolkit.errors import StageError

#: directories looked into, so that a crowded folder costs little
_LOOKED_AT = 300


def find_deployments(graph_sha256: str, folders: Iterable[Path]) -> list[Path]:
    """Directories in these folders that were built from a graph; their files are not checked yet."""
    found: dict[Path, None] = {}
    for folder in folders:
        for manifest in sorted(folder.glob(f"*/{MANIFEST}"))[:_LOOKED_AT]:
            try:
                content = msgspec.json.decode(manifest.read_bytes())
            except (OSError, msgspec.DecodeError):
                continue
            if isinstance(content, dict) and (content.get("format"), content.get("graph_sha256")) == (
                FORMAT,
                graph_sha256,
            ):
                found[manifest.parent.resolve()] = None
    return list(found)


def deployment_for(given: str | os.PathLike[str] | Deployment, graph: Graph) -> Deployment:
    """A deployment by its directory, of the graph that the reference ran.

    Raises:
        DeployFormatError: the directory is damaged, or is none.
        StageError: it was built from another graph.
    """
    deployment = given if isinstance(given, Deployment) else load_deployment(given)
    if deployment.manifest.graph_sha256 != graph.sha256:
        raise StageError(
            f"{deployment.path.name} was built from the graph {deployment.manifest.graph_sha256[:12]}, and the "
            f"reference ran {graph.sha256[:12]}, so a difference would mean nothing. Build it again: flow.build.run()"
        )
    return deployment
