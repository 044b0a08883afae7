"""Libraries for the other instruction sets that run here equal the recorded outputs in every element.

Each case with one of them, in turns; ``make test-isa`` tries all cases with all sets, and whole models.
"""

from __future__ import annotations

from typing import Any

import pytest
import tvm
from numpy.testing import assert_array_equal

from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.core.host import missing_features
from ectoolkit.testing.captured import compiled

LESS = ("avx2", "generic")


def test_library_equals_interpreter(golden: Any) -> None:
    # two turns of each in a row: cases come in pairs of seven and eight bits
    isa, layout = LESS[golden.position // 2 % 2], ("NCHW", "NHWC")[golden.position % 2]
    if missing_features(ISAS[isa].cpu_features):
        pytest.skip(f"this CPU has no {isa}")
    # without the checks of each kernel's arguments, which take two fifths of the time to compile
    with tvm.transform.PassContext(opt_level=3, config={"tirx.disable_assert": True}):
        run = compiled(golden.graph, layout, isa)
    for found, expected in zip(run(golden.x), golden.expected, strict=True):
        assert_array_equal(found, expected)
