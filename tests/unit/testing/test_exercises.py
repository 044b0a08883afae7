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


def scale_and(zero_point: Any) -> Any:
    return lambda low, high: (exercises.scale_and_zero_point.expected(low, high)[0], zero_point(low, high))


def test_a_zero_point_is_a_whole_number_of_any_type() -> None:
    def right(low: float, high: float) -> int:
        return exercises.scale_and_zero_point.expected(low, high)[1]

    def not_rounded(low: float, high: float) -> float:
        return float(np.round(-min(low, 0.0) / exercises.scale_and_zero_point.expected(low, high)[0], 4))

    for kind in (float, np.float32, np.uint8, np.array):
        assert exercises.scale_and_zero_point.check(scale_and(lambda low, high, kind=kind: kind(right(low, high))))
    assert exercises.scale_and_zero_point.check(scale_and(not_rounded)).text == (
        "✗ scale_and_zero_point returned (0.012549, 79.6875): 79.6875 is no integer, expected (0.012549, 80)\n"
        "  called with -1, 2.2"
    )


@pytest.mark.parametrize(
    ("exercise", "dtype", "found"),
    [(exercises.quantize, "uint8", "int64"), (exercises.accumulate, "int32", "int64")],
    ids=["quantize", "accumulate"],
)
def test_the_type_that_is_asked_for(exercise: Exercise, dtype: str, found: str) -> None:
    answer = exercise.check(lambda *case: exercise.expected(*case).astype(found))
    assert answer.text.splitlines()[0] == (
        f"✗ {exercise.name} returned {found}, expected {dtype}; the numbers are right"
    )


@pytest.mark.parametrize(
    ("exercise", "found", "text"),
    [
        (exercises.scale_and_zero_point, ("a", 1), "returned ('a', 1), expected numbers: (1, 0)"),
        (exercises.scale_and_zero_point, ([1, 2], 1), "returned ([1, 2], 1), expected numbers: (1, 0)"),
        (
            exercises.scale_and_zero_point,
            (1.0, float("nan")),
            "returned (1, nan): nan is no integer, expected (1, 0)",
        ),
        (exercises.quantize, [[1, 2], [3]], "returned [[1, 2], [3]], expected numbers: uint8, shape (4,)"),
        (exercises.quantize, ["a"] * 4, "returned ['a', 'a', 'a', 'a'], expected numbers: uint8, shape (4,)"),
    ],
)
def test_what_is_said_about_what_is_no_number(exercise: Exercise, found: Any, text: str) -> None:
    answer = exercise.check(lambda *_: found)
    assert answer.text.splitlines()[0] == f"✗ {exercise.name} {text}"


def test_a_function_may_change_its_arguments() -> None:
    assert exercises.quantize.check(spoiling)
    assert exercises.quantize.check(exercises.quantize.expected)
