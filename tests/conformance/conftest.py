"""A small deployment for the tests of single devices."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("ectoolkit.testing.conformance")

from ectoolkit.builders import build  # noqa: E402  (the suite's assertions are rewritten where it is first imported)
from ectoolkit.testing.conformance import Built  # noqa: E402
from ectoolkit.testing.networks import example_input, residual_graph  # noqa: E402


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The residual network for the cpu, in NHWC."""
    graph = residual_graph()
    x = example_input(graph)
    return Built(build(graph, tmp_path_factory.mktemp("built") / "deploy", reference_input=x), graph, x)
