"""The exercises of notebook 04: the right functions pass, each known mistake is recognised, whatever else is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ectoolkit.testing import exercises
from ectoolkit.testing.exercises import Answer, Exercise

ALL = [value for value in vars(exercises).values() if isinstance(value, Exercise)]
MISTAKES = [(exercise, sentence) for exercise in ALL for sentence in exercise.mistakes]


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
def test_the_right_function_passes(exercise: Exercise) -> None:
    answer = exercise.check(exercise.expected)
    assert answer
    assert repr(answer) == f"✓ {exercise.name} is right in all {len(exercise.cases)} cases"


@pytest.mark.parametrize(("exercise", "sentence"), MISTAKES)
def test_a_known_mistake_is_named(exercise: Exercise, sentence: str) -> None:
    answer = exercise.check(exercise.mistakes[sentence])
    assert not answer
    assert answer.text.endswith(f"\n  {sentence}")


def open_exercise(*_: Any) -> Any:
    raise NotImplementedError


def failing(x: np.ndarray, scale: float, zero_point: int) -> Any:
    return x.no_such_thing


def spoiling(x: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Right, and it changes its argument: the next comparison must not see that."""
    codes = exercises.quantize.expected(x, scale, zero_point)
    x[:] = 0
    return codes


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (open_exercise, "is not written yet. Put your lines where `raise NotImplementedError` stands"),
        (lambda x, scale, zero_point: None, "returned nothing; end it with `return`\n  called with {first}"),
        (
            failing,
            "raised AttributeError: 'numpy.ndarray' object has no attribute 'no_such_thing'\n  called with {first}",
        ),
        (
            lambda x, scale, zero_point: x[:2].astype(np.uint8),
            "returned shape (2,), expected (4,)\n  called with {first}",
        ),
        (
            lambda x, scale, zero_point: x / scale,
            "returned float32, expected integers; end with .astype(uint8)\n  called with {first}",
        ),
        (
            lambda x, scale, zero_point: np.full(x.shape, 7),
            "returned 7 at index [0], expected 0 (4 of 4 differ)\n  called with {first}",
        ),
    ],
)
def test_what_is_said_about_other_functions(function: Any, text: str) -> None:
    first = "float32 [0, 1, 2, 100], 1, 0"
    assert exercises.quantize.check(function) == Answer(False, f"✗ quantize {text.format(first=first)}")


def test_what_is_said_where_two_numbers_are_asked_for() -> None:
    answer = exercises.scale_and_zero_point.check(lambda low, high: (2.0, 0))
    assert answer.text == "✗ scale_and_zero_point returned (2, 0), expected (1, 0)\n  called with 0, 255"
    answer = exercises.scale_and_zero_point.check(lambda low, high: 2.0)
    assert answer.text == "✗ scale_and_zero_point returned 2.0, expected 2 values: (1, 0)\n  called with 0, 255"


def test_a_function_may_change_its_arguments() -> None:
    assert exercises.quantize.check(spoiling)
    assert exercises.quantize.check(exercises.quantize.expected)
