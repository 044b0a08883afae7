"""The search finds the layer at fault, by taps and by truncated graphs, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from ectoolkit.analysis.verdict import Location, locate_by_cutting, locate_by_taps
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Trace, interpret, trace
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.errors import InputError, PreconditionError
from ectoolkit.passes.cut import Cut, clean_positions, crossing
from ectoolkit.testing.faults import INPUT_KINDS, KINDS, Fault, draw
from ectoolkit.testing.networks import example_input, island_graph, residual_graph, two_ended_graph

GRAPHS: dict[str, Callable[[], Graph]] = {
    "residual": residual_graph,
    "batch of two": partial(residual_graph, 2),
    "two ends": two_ended_graph,
    "island": island_graph,
}


def effective(graph: Graph, kind: str, x: np.ndarray, reference: Trace) -> Fault:
    """A fault that shows in the outputs; one that does not is none that anybody could see."""
    for seed in range(60):
        fault = draw(graph, kind, seed, IMAGENET)
        found = interpret(fault(graph), fault.inputs(x))
        if any((a != b).any() for a, b in zip(found, reference.outputs, strict=True)):
            return fault
    raise AssertionError(f"no fault of kind {kind} shows")


@pytest.mark.parametrize("name", GRAPHS)
def test_without_a_fault_nothing_is_found(name: str) -> None:
    graph = GRAPHS[name]()
    x = example_input(graph, batch=3)
    reference = trace(graph, x)
    assert locate_by_cutting(reference, x, interpret) is None
    assert locate_by_taps(reference, dict(reference)) is None


@pytest.mark.parametrize("kind", [*KINDS, *INPUT_KINDS])
def test_faults_are_found_by_taps_and_by_cutting(kind: str) -> None:
    graph = residual_graph()
    (x,) = example_input(graph, batch=4).values()
    reference = trace(graph, x)
    fault = effective(graph, kind, x, reference)

    def run(cut: Graph, inputs: np.ndarray) -> list[np.ndarray]:
        return interpret(fault(cut), fault.inputs(inputs))

    faulty = trace(fault(graph), fault.inputs(x))
    for found in (locate_by_cutting(reference, x, run), locate_by_taps(reference, faulty)):
        assert found is not None
        assert found.layer == fault.layer
        assert found.mismatches == sum(found.steps.values())


def test_a_fault_before_an_add_is_told_from_one_in_it() -> None:
    graph = residual_graph()
    x = example_input(graph, batch=2)
    reference = trace(graph, x)

    def run(cut: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        weight = cut.constants.get("block.weight")
        if weight is None:
            return interpret(cut, inputs)
        changed = weight.copy()
        changed.flat[3] ^= 64
        return interpret(cut.replace(constants={**cut.constants, "block.weight": changed}), inputs)

    found = locate_by_cutting(reference, x, run)
    assert found is not None
    assert (found.layer, found.op) == ("block", "conv2d")
    assert found.note == (
        "to look between block and the add that takes its sums, its result was made codes on a grid of its own, "
        "which changes what a compiler fuses"
    )


def test_what_crosses_a_cut_becomes_its_outputs() -> None:
    graph = residual_graph()
    x = example_input(graph)
    reference = trace(graph, x)
    assert crossing(graph, 3) == ["stem", "block"]
    assert 3 not in clean_positions(graph)
    cut = Cut(2)(graph)
    assert cut.outputs == ("stem:tap",)
    np.testing.assert_array_equal(interpret(cut, x)[0], reference.real("stem"))


def test_a_cut_through_raw_sums_needs_a_grid() -> None:
    with pytest.raises(PreconditionError) as error:
        Cut(3)(residual_graph())
    assert str(error.value) == (
        "cannot cut residual behind block: it hands raw sums to an add, and no grid was given on which they could "
        "leave. Cut behind the add, or give Cut a grid for it"
    )
    with pytest.raises(PreconditionError, match=r"^cannot cut residual after 9 of its 8 nodes; expected 1 to 8$"):
        Cut(9)(residual_graph())


def test_a_tap_of_another_shape_is_refused() -> None:
    graph = residual_graph()
    reference = trace(graph, example_input(graph))
    with pytest.raises(InputError) as error:
        locate_by_taps(reference, {"stem": reference["stem"][:, :3]})
    assert str(error.value) == (
        "the device's tap of stem is uint8 (1, 3, 6, 5), expected uint8 (1, 6, 6, 5), as the interpreter's trace has it"
    )


def test_a_location_in_words_and_as_tables() -> None:
    found = Location("conv1", "conv2d", (1, 0, 2, 3), 7, 8, 5, 100, {-1: 4, 2: 1}, 3, "taps")
    assert str(found) == (
        "conv1 (conv2d) is the first layer that differs: 5 of 100 elements, first at (1, 0, 2, 3): 7, expected 8"
    )
    assert found.to_frame().iloc[0].to_dict()["image"] == 1
    assert found.histogram().to_dict("records") == [{"lsb": -1, "elements": 4}, {"lsb": 2, "elements": 1}]
