"""What tests of messages about remote devices run."""

from __future__ import annotations

import pytest

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.testing.networks import example_input, residual_graph


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    graph = residual_graph()
    return ect.build(graph, tmp_path_factory.mktemp("rpc") / "deploy", reference_input=example_input(graph))
