"""A device with a fault of our own making: the difference and where it begins are found, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.errors import BuildError, InputError
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.workflow import cross_check as module


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """A device that takes stem's bias for another; the graphs it was built."""
    built: list[Graph] = []

    def build(graph: Graph, out: Path, target: str, **options: Any) -> Deployment:
        built.append(graph)
        return None  # type: ignore[return-value]

    class Device:
        def __enter__(self) -> Device:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def run(self, deployment: Deployment, x: Any) -> Any:
            graph = built[-1]
            bias = graph.constants["stem.bias"] + 4000 if "stem.bias" in graph.constants else None
            if bias is not None:
                graph = graph.replace(constants={**graph.constants, "stem.bias": bias.astype(np.int32)})
            return type("Result", (), {"outputs": interpret(graph, x)})

    monkeypatch.setattr(module, "build", build)
    monkeypatch.setattr(module, "open_device", lambda name, **options: Device())
    return built


def test_the_first_differing_layer(faulty: list[Graph]) -> None:
    graph = residual_graph()
    found = ect.cross_check(graph, "cpu", example_input(graph, batch=2))
    assert not found
    assert found.location is not None
    assert found.location.layer == "stem"
    assert found.images == 2
    lines = str(found).splitlines()
    assert lines[0] == "cpu differs from the interpreter:"
    assert lines[1].startswith("max abs diff: ")
    assert lines[-1].startswith("stem (conv2d) is the first layer that differs: ")


def test_a_part_that_is_refused(faulty: list[Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual_graph()
    usual = module.build

    def build(part: Graph, *given: Any, **options: Any) -> Deployment:
        if len(part.nodes) < len(graph.nodes):
            raise BuildError("a concatenation is an output")
        return usual(part, *given, **options)

    monkeypatch.setattr(module, "build", build)
    found = ect.cross_check(graph, "cpu", example_input(graph))
    assert found.location is None
    assert str(found).splitlines()[-1] == "where it begins could not be searched: a concatenation is an output"


def test_equal_on_the_cpu() -> None:
    graph = residual_graph()
    found = ect.cross_check(graph, "cpu", example_input(graph, batch=2))
    assert found
    assert str(found) == "cpu equals the interpreter in every element of 2 images"


def test_no_such_target() -> None:
    graph = residual_graph()
    with pytest.raises(InputError) as caught:
        ect.cross_check(graph, "abacus", example_input(graph))
    assert str(caught.value) == (
        "nothing is built for device 'abacus'; expected one of cpu, mera:IP, mera:InterpreterHw, mera:Simulator, "
        "mera:VerilatorSimulator"
    )
