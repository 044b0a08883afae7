"""How an exercise is checked: on chosen numbers, beside mistakes that people make."""

from __future__ import annotations

import numbers
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[..., Any]
#: scales may be computed in float32 or float64
_RELATIVE = 1e-6


@dataclass(frozen=True)
class Answer:
    """What a check found; truthy when the function is right.

    Attributes:
        right: whether all numbers are.
        text: for the reader.
    """

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to write.

    Attributes:
        name: of the function.
        cases: arguments to try it with, simple ones first.
        expected: the right function.
        mistakes: wrong functions that readers write, by the sentence that explains what went wrong.
        whole: whether the results are integers, compared exactly; else a relative 1e-6 is allowed, and of a tuple the
            parts that are integers in the right answer are compared exactly.
        dtype: which the result must have, where the text of the exercise asks for one.
    """

    name: str
    cases: Sequence[tuple[Any, ...]]
    expected: Function
    mistakes: Mapping[str, Function]
    whole: bool = True
    dtype: str = ""

    def check(self, function: Function) -> Answer:
        """Try a reader's function.

        Args:
            function: takes the arguments of one case.

        Returns:
            Right, or the first case that is not, with the numbers and what they look like.
        """
        types: set[str] = set()
        for number, case in enumerate(self.cases, 1):
            try:
                found = function(*_copies(case))
            except NotImplementedError:
                return self._wrong("is not written yet. Put your lines where `raise NotImplementedError` stands")
            except Exception as error:  # whatever a reader's function raises is news for the reader
                return self._wrong(f"raised {type(error).__name__}: {error}\n{_called(case)}")
            problem = self._problem(found, self.expected(*_copies(case)))
            if problem:
                return self._wrong(f"{problem.text}\n{_called(case)}{self._guess(function, number, problem)}")
            types.add(str(np.asarray(found).dtype))
        if self.dtype and types != {self.dtype}:
            return self._wrong(f"returned {', '.join(sorted(types))}, expected {self.dtype}; the numbers are right")
        return Answer(True, f"✓ {self.name} is right in all {len(self.cases)} cases")

    def _wrong(self, text: str) -> Answer:
        return Answer(False, f"✗ {self.name} {text}")

    def _problem(self, found: Any, expected: Any) -> _Problem | None:
        if found is None or found is Ellipsis:
            return _Problem("returned nothing; end it with `return`")
        if isinstance(expected, tuple):
            return _problem_of_tuple(found, expected)
        array, wanted = _array(found), np.asarray(expected)
        if array is None:
            return _Problem(f"returned {reprlib.repr(found)}, expected numbers: {wanted.dtype}, shape {wanted.shape}")
        if array.shape != wanted.shape:
            return _Problem(f"returned shape {array.shape}, expected {wanted.shape}")
        if self.whole and not np.issubdtype(array.dtype, np.integer):
            return _Problem(
                f"returned {array.dtype}, expected integers; end with .astype({self.dtype or wanted.dtype})"
            )
        differs = array != wanted if self.whole else ~_close(array, wanted)
        if not differs.any():
            return None
        index = tuple(int(i) for i in np.argwhere(differs)[0])
        return _Problem(
            f"returned {_number(array[index])} at index {list(index)}, expected {_number(wanted[index])} "
            f"({differs.sum()} of {differs.size} differ)",
            of_values=True,
        )

    def _guess(self, function: Function, number: int, problem: _Problem) -> str:
        """The mistake that gives the very numbers that the reader's function gives, as far as it was tried."""
        for sentence, mistake in self.mistakes.items() if problem.of_values else ():
            if all(_same(function, mistake, case) for case in self.cases[:number]):
                return f"\n  {sentence}"
        return ""


@dataclass(frozen=True)
class _Problem:
    """What is wrong with a result; `of_values`: it has the right form, with wrong numbers in it."""

    text: str
    of_values: bool = False


def _problem_of_tuple(found: Any, expected: tuple[Any, ...]) -> _Problem | None:
    if not isinstance(found, tuple) or len(found) != len(expected):
        return _Problem(f"returned {reprlib.repr(found)}, expected {len(expected)} values: {_listed(expected)}")
    found = tuple(part.item() if isinstance(part, np.ndarray) and part.ndim == 0 else part for part in found)
    if not all(isinstance(part, numbers.Real) for part in found):
        return _Problem(f"returned {reprlib.repr(found)}, expected numbers: {_listed(expected)}")
    pairs = list(zip(found, expected, strict=True))
    if all(part == wanted if isinstance(wanted, int) else _close(part, wanted) for part, wanted in pairs):
        return None
    fractions = [part for part, wanted in pairs if isinstance(wanted, int) and not float(part).is_integer()]
    if fractions:
        return _Problem(
            f"returned {_listed(found)}: {float(fractions[0])!r} is no integer, expected {_listed(expected)}"
        )
    return _Problem(f"returned {_listed(found)}, expected {_listed(expected)}", of_values=True)


def _close(found: Any, wanted: Any) -> Any:
    return np.isclose(found, wanted, rtol=_RELATIVE, atol=0)


def _array(found: Any) -> np.ndarray | None:
    """None for what is no array of numbers: texts, lists of unequal lengths, other objects."""
    try:
        array = np.asarray(found)
    except Exception:  # an object of the reader's may refuse in its own way
        return None
    return array if np.issubdtype(array.dtype, np.number) or array.dtype == bool else None


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _listed(values: tuple[Any, ...]) -> str:
    return f"({', '.join(_number(value) for value in values)})"


def _same(first: Function, second: Function, case: tuple[Any, ...]) -> bool:
    with np.errstate(all="ignore"):
        found, other = (_array(function(*_copies(case))) for function in (first, second))
    if found is None or other is None:
        return False
    return found.shape == other.shape and bool(_close(found, other).all())


def _copies(case: tuple[Any, ...]) -> tuple[Any, ...]:
    """A function that changes its arguments spoils only its own."""
    return tuple(value.copy() if isinstance(value, np.ndarray) else value for value in case)


def _called(case: tuple[Any, ...]) -> str:
    return "  called with " + ", ".join(_short(value) for value in case)


def _short(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return _number(value)
    if value.ndim < 2 and value.size <= 6 and np.issubdtype(value.dtype, np.floating):
        return f"{value.dtype} [{', '.join(_number(v) for v in value)}]"
    if value.size <= 6:
        return f"{value.dtype} {value.tolist()}"
    return f"{value.dtype} array of shape {value.shape}"
