"""Which ways to sum are exact on this CPU: tried once a process, with sums that are the hardest.

oneDNN's int8 convolutions add pairs of products in 16 bits on CPUs without VNNI instructions, and cut them there
without a word.  A float convolution could be done by a transform (Winograd's) that rounds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch

from ectoolkit.core.ops.convolution import convolve
from ectoolkit.interpreters.fast.layouts import to_torch
from ectoolkit.interpreters.fast.sums import EXACT, Convolution, make_sums

#: from the fastest; float64 needs no test
METHODS = ("int8", "float32", "float64")
#: input channels, output channels, kernel, stride, padding, groups, zero point
_SHAPES = (
    (64, 64, 1, 1, 0, 1, 0),
    (56, 64, 3, 1, 1, 1, 0),
    (64, 32, 3, 2, 1, 1, 128),
    (512, 48, 1, 1, 0, 1, 131),
    (3, 64, 7, 2, 3, 1, 114),
    (19, 7, 2, 1, 1, 1, 255),
    (32, 32, 3, 1, 1, 32, 128),
    (32, 64, 3, 1, 1, 4, 7),
)


@functools.cache
def exact_method() -> str:
    """The fastest way to sum that is exact here, one of `METHODS`."""
    return next(method for method in METHODS if method == "float64" or is_exact(method))


def is_exact(method: str) -> bool:
    """Whether the hardest sums come out right; also False where this torch lacks the method."""
    return all(_gives(method, convolution, x) for convolution, x in hard_cases())


def hard_cases() -> Iterator[tuple[Convolution, np.ndarray]]:
    """Convolutions with the largest codes and weights side by side, sums up to 2^24 in magnitude, and an input."""
    numbers = np.random.default_rng(0)
    for inputs, outputs, kernel, stride, padding, groups, zero_point in _SHAPES:
        weight = numbers.integers(-128, 128, (outputs, inputs // groups, kernel, kernel)).astype(np.int8)
        weight[0::3], weight[1::3] = 127, -128
        x = numbers.integers(0, 256, (2, inputs, 9, 8)).astype(np.uint8)
        x[0, :, :, :4], x[1, :, :4] = 255, 0
        two = ((stride, stride), (padding, padding), (1, 1))
        convolution = Convolution(weight, zero_point, x.shape, *two, groups)
        assert convolution.bound.max() <= EXACT
        yield convolution, x


def _gives(method: str, convolution: Convolution, x: np.ndarray) -> bool:
    centred = x.astype(np.float64) - convolution.zero_point
    steps = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
    expected = convolve(centred, convolution.weight.astype(np.float64), *steps)
    try:
        with torch.inference_mode():
            found = make_sums(convolution, method, tried=False)[0](to_torch(x))
    except (AttributeError, NotImplementedError, RuntimeError):  # no oneDNN in this torch, or not for this CPU
        return False
    return np.array_equal(found.numpy(), expected)
