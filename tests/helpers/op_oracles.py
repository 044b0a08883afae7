"""Runs one operation of the integer graph, and what brute force in Python integers needs.

Each case runs through a verified graph, so that what an oracle cannot hold the verifier must have refused.  The fast
interpreter's form of the operation must give the same as its definition.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ectoolkit.core.graph import Node, Value
from ectoolkit.core.ops import OPS
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.interpreters.fast.layer import Layer
from ectoolkit.interpreters.fast.layouts import to_torch
from ectoolkit.interpreters.fast.program import FORMS

FEW = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
ZERO_POINTS = st.sampled_from([0, 1, 64, 127, 128, 254, 255])
SCALES = st.sampled_from([2.0**-6, 2.0**-5, 0.01, 0.0173, 0.3, 1.0, 1e-4, 40.0])
LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int32": (-(2**31), 2**31 - 1)}


def run(
    op: str,
    arrays: list[np.ndarray],
    grids: list[QuantParams | None],
    out: QuantParams | None,
    attributes: dict[str, object] | None = None,
    constants: int = 0,
    dtype: str = "uint8",
) -> np.ndarray:
    """One operation, its laws checked; the last `constants` arrays are the graph's own."""
    values = [
        Value(f"v{i}", TensorSpec(a.shape, a.dtype.name, Layout.of_activation(a.ndim)), grid)
        for i, (a, grid) in enumerate(zip(arrays, grids, strict=True))
    ]
    node = Node("node", op, tuple(v.name for v in values), attributes or {})
    spec = OPS[op].output_spec(node, values, dtype)
    output = Value("node", spec, out)
    known = [None] * (len(arrays) - constants) + (arrays[-constants:] if constants else [])
    OPS[op].check(node, values, output, known)
    found = OPS[op].evaluate(node, values, output, arrays)
    assert (found.shape, found.dtype) == (spec.shape, spec.dtype)
    check_fast(
        Layer(node, values, output, known, [2**31 if a.dtype == np.int32 else 255 for a in arrays]), arrays, found
    )
    return found


def check_fast(layer: Layer, arrays: list[np.ndarray], expected: np.ndarray) -> None:
    form = FORMS[layer.node.op](layer)
    if form is None:  # a max pool of real numbers
        return
    fast = form.run(*(to_torch(arrays[position]) for position in form.reads)).numpy()
    assert (fast.shape, fast.dtype) == (expected.shape, expected.dtype)
    assert_array_equal(fast, expected)


def codes(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random codes with many ends among them."""
    numbers = np.random.default_rng(seed)
    x = numbers.integers(0, 256, shape)
    ends = numbers.choice([0, 255, 128], shape)
    return np.where(numbers.random(shape) < 0.3, ends, x).astype(np.uint8)


def uint8(scale: float, zero_point: int) -> QuantParams:
    return QuantParams.uint8(np.float32(scale), zero_point)


def scale_of(grid: QuantParams) -> float:
    return float(grid.scale)


def clip(x: int, low: int, high: int) -> int:
    return low if x < low else min(x, high)


def move(x: int, ratio: float) -> int:
    """R(x, m): 26-bit multiplier, one rounding, half up."""
    mantissa, exponent = math.frexp(ratio)
    multiplier = round(Fraction(mantissa) * 2**26)
    return math.floor(Fraction(x * multiplier) / Fraction(2) ** (26 - exponent) + Fraction(1, 2))


def nearest_float32(exact: Fraction) -> Fraction:
    """Correctly rounded: the float64 nearest to `exact` is only a first guess."""
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    best = min(around, key=lambda value: (abs(Fraction(float(value)) - exact), int(value.view(np.uint32)) & 1))
    return Fraction(float(best))
