"""Reads ``deploy.params``, and the graph that a deployment was made from."""

from __future__ import annotations

from typing import Any

from ectoolkit._optional import require
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.manifest import PARAMETERS
from ectoolkit.errors import DeployFormatError


def load_parameters(deployment: Deployment) -> dict[str, Any]:
    """The arrays of ``deploy.params`` by name, as TVM tensors.

    Raises:
        DeployFormatError: it is not TVM's format, or another file than when the directory was opened.
        MissingDependencyError: apache-tvm is not installed.
    """
    tvm = require("tvm", feature="Reading deploy.params")
    data = deployment.read_file(PARAMETERS)
    try:
        return dict(tvm.runtime.load_param_dict(data))
    except Exception as error:  # TVM's own error for a bad file is of no stable kind
        path = deployment.path / PARAMETERS
        raise DeployFormatError(f"{path} is not a parameter file of TVM: {error}. Build the directory again") from error


def graph_of(deployment: Deployment) -> Graph:
    """The graph that a deployment was made from, wherever it is stored.

    Raises:
        DeployFormatError: a file is damaged or of another version.
        MissingDependencyError: apache-tvm is not installed, and its format holds the weights.
    """
    if deployment.holds_graph:
        return deployment.graph()
    return deployment.graph({name: tensor.numpy() for name, tensor in load_parameters(deployment).items()})
