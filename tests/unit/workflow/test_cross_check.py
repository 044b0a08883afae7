"""A device with a fault of our own making: the first differing layer is found, and said."""

from __future__ import annotations

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.core.verifier import op_of
from ectoolkit.errors import InputError
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.workflow.cross_check import locate


class Faulty:
    """Runs graphs exactly, but for one layer, whose first channel it gets wrong."""

    def __init__(self, layer: str) -> None:
        self.layer, self.graphs = layer, 0

    def __call__(self, graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.graphs += 1
        arrays = dict(inputs)
        for node in graph.nodes:
            values = [graph.values[name] for name in node.inputs]
            operands = [graph.constants[name] if name in graph.constants else arrays[name] for name in node.inputs]
            found = op_of(node).evaluate(node, values, graph.values[node.name], operands)
            if node.name == self.layer:
                step = 40 if found.dtype == np.uint8 else 40_000  # raw sums are finer
                found = found.copy()
                found[0, 0] = np.where(found[0, 0] < 200, found[0, 0] + step, found[0, 0] - step)
            arrays[node.name] = found
        return [arrays[name] for name in graph.outputs]


@pytest.mark.parametrize(
    ("wrong", "layer", "hidden"),
    [
        ("stem", "stem", ()),
        ("add", "add", ("block",)),
        ("block", "add", ("block",)),  # fused into the add, so the add is the first place where it shows
        ("fc", "fc", ()),
        ("quant", "quant", ()),
    ],
)
def test_the_first_differing_layer(wrong: str, layer: str, hidden: tuple[str, ...]) -> None:
    graph = residual_graph()
    run = Faulty(wrong)
    found = locate(graph, "mine", example_input(graph), run, lambda *step: None)
    assert not found
    assert found.layer == layer
    assert found.hidden == hidden
    assert found.builds == run.graphs <= 3
    assert found.layer_diff is not None
    assert str(found).splitlines()[-1 - len(hidden)].startswith(f"it begins at {layer}: first difference: {layer}[0, 0")


def test_equal_on_the_cpu() -> None:
    graph = residual_graph()
    found = ect.cross_check(graph, "cpu", example_input(graph, batch=2))
    assert found
    assert str(found) == "cpu equals the interpreter in every element of 2 images"


def test_a_difference_that_hides() -> None:
    """A device that is wrong only when nobody looks."""
    graph = residual_graph()

    def run(tapped: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        outputs = interpret(tapped, inputs)
        return outputs if len(outputs) > 1 else [outputs[0] + np.float32(1)]

    found = locate(graph, "mine", example_input(graph), run, lambda *step: None)
    assert found.layer is None
    assert str(found).splitlines()[-1] == (
        "every layer that can be looked at is equal; the difference is made by what cannot be"
    )


def test_no_such_target() -> None:
    graph = residual_graph()
    with pytest.raises(InputError) as caught:
        ect.cross_check(graph, "abacus", example_input(graph))
    assert str(caught.value) == (
        "nothing is built for device 'abacus'; expected one of cpu, mera:IP, mera:InterpreterHw, mera:Simulator, "
        "mera:VerilatorSimulator"
    )
