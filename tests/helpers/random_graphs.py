"""Random graphs through every engine: the definition, the fast interpreter, the library for each instruction set.

    python tests/helpers/random_graphs.py SEED COUNT [ISA ...]

Draws COUNT graphs and compares all of them in every element; prints what they held, as JSON.  A process of its own, so
that as many run together as there are cores: nearly all of the time goes to compiling.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import tvm
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit import interpreters
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import trace
from ectoolkit.errors import PrecisionWarning
from ectoolkit.testing.captured import compiled
from ectoolkit.testing.strategies import graphs, inputs_of


@dataclass(frozen=True)
class Case:
    """One random graph.

    Attributes:
        graph: the graph.
        layout: of the library's images.
        numbers: seed of its inputs.
    """

    graph: Graph
    layout: str
    numbers: int

    def inputs(self) -> tuple[np.ndarray, ...]:
        """Numbers that reach all codes, and infinities."""
        ordinary = inputs_of(self.graph, self.numbers)
        ends = (np.full_like(ordinary, np.inf), np.full_like(ordinary, -np.inf))
        return ordinary, *ends, inputs_of(self.graph, self.numbers + 1)


def draw(number: int, count: int) -> list[Case]:
    """So many different random graphs, the same for the same seed."""
    found: dict[str, Case] = {}
    for part in itertools.count(1000 * number):
        # hypothesis varies what it drew before: in one run of hundreds most graphs look alike
        for case in _some(part):
            found.setdefault(case.graph.sha256, case)
        if len(found) >= count:
            return list(found.values())[:count]
    raise AssertionError


def _some(number: int) -> list[Case]:
    found: list[Case] = []

    @seed(number)
    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        graph=st.one_of(graphs(3, 35, own=False), graphs(3, 35, own=True)),
        layout=st.sampled_from(["NHWC", "NCHW"]),
        numbers=st.integers(0, 1000),
    )
    def collect(graph: Graph, layout: str, numbers: int) -> None:
        found.append(Case(graph, layout, numbers))

    collect()
    return found


def check(case: Case, isas: list[str], seconds: Counter[str]) -> None:
    """Compare all results of a graph."""
    expected = []
    for x in case.inputs():
        start = time.process_time()
        definition, fast = trace(case.graph, x), interpreters.trace(case.graph, x, engine="fast")
        for name, array in definition.items():
            assert (fast[name].shape, fast[name].dtype) == (array.shape, array.dtype)
            assert_array_equal(fast[name], array, err_msg=f"the fast interpreter's {name}")
        expected.append(definition.outputs)
        seconds["interpreters"] += time.process_time() - start
    for isa in isas:
        start = time.process_time()
        # without the checks of each kernel's arguments, which take two fifths of the time to compile
        with tvm.transform.PassContext(opt_level=3, config={"tirx.disable_assert": True}):
            run = compiled(case.graph, case.layout, isa)
        for x, outputs in zip(case.inputs(), expected, strict=True):
            for found, wanted in zip(run(x), outputs, strict=True):
                assert found.dtype == wanted.dtype
                assert_array_equal(found, wanted, err_msg=f"the library for {isa} in {case.layout}")
        seconds[isa] += time.process_time() - start


def main(number: int, count: int, isas: list[str]) -> None:
    """Draw, compare, tell."""
    warnings.simplefilter("ignore", PrecisionWarning)  # of a ReLU that a pass drops; here any graph will do
    ops: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for index, case in enumerate(draw(number, count)):
        try:
            check(case, isas, seconds)
        except Exception as error:
            raise AssertionError(f"graph {index} of seed {number}: {case.graph.nodes} {case.graph.values}") from error
        ops.update(node.op for node in case.graph)
        batch, channels, *_ = case.graph.values[case.graph.inputs[0]].spec.shape
        seen.update(["graphs", f"batch {batch}", f"{channels} channels", case.layout])
    rounded = {name: round(value, 1) for name, value in seconds.items()}
    print(json.dumps({"ops": ops, "seen": seen, "cpu seconds": rounded}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
