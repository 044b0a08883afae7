"""Exercises of ``notebooks/04_how_int8_works.ipynb``: each checks a reader's function, and says what is wrong with it.

    from ectoolkit.testing import exercises

    exercises.quantize.check(my_quantize)

The right answers come from `ectoolkit.core.arithmetic`, so nothing is right here that is wrong in the interpreter.
"""

from ectoolkit.testing.exercises.checking import Answer, Exercise
from ectoolkit.testing.exercises.int8 import (
    accumulate,
    convolution,
    quantize,
    requantize,
    scale_and_zero_point,
    weight_scales,
)

__all__ = [
    "Answer",
    "Exercise",
    "accumulate",
    "convolution",
    "quantize",
    "requantize",
    "scale_and_zero_point",
    "weight_scales",
]
