"""Element-by-element comparison of two results, the way the U50 guide's C++ program reports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ectoolkit.errors import InputError


@dataclass(frozen=True)
class TensorDiff:
    """How one tensor differs from its reference.

    Attributes:
        name: of the tensor.
        elements: how many were compared.
        mismatches: how many are not equal (two NaNs are).
        max_abs_diff: largest absolute difference, in the tensors' unit; NaN against a number counts as inf.
        mean_abs_diff: mean absolute difference over all elements.
        first_index: where the first mismatch is, in the tensor's own axes; None where equal.
        candidate: the value found there.
        reference: the value expected there.
    """

    name: str
    elements: int
    mismatches: int
    max_abs_diff: float
    mean_abs_diff: float
    first_index: tuple[int, ...] | None = None
    candidate: float | None = None
    reference: float | None = None

    @property
    def correct_ratio(self) -> float:
        """Share of equal elements."""
        return 1 - self.mismatches / self.elements


@dataclass(frozen=True)
class Diff:
    """Differences of all tensors; truthy when every element is equal."""

    tensors: tuple[TensorDiff, ...]

    def __bool__(self) -> bool:
        return all(tensor.mismatches == 0 for tensor in self.tensors)

    @property
    def max_abs_diff(self) -> float:
        """Over all tensors."""
        return max(tensor.max_abs_diff for tensor in self.tensors)

    @property
    def mean_abs_diff(self) -> float:
        """Over all elements of all tensors."""
        total = sum(tensor.elements for tensor in self.tensors)
        return sum(tensor.mean_abs_diff * tensor.elements for tensor in self.tensors) / total

    @property
    def correct_ratio(self) -> float:
        """Share of equal elements over all tensors."""
        return 1 - sum(t.mismatches for t in self.tensors) / sum(t.elements for t in self.tensors)

    @property
    def first(self) -> TensorDiff | None:
        """The first tensor that differs."""
        return next((tensor for tensor in self.tensors if tensor.mismatches), None)

    def summary(self) -> str:
        """The three lines of the guide, and the first difference where there is one."""
        # nine digits, as the C++ program: one wrong value among millions must not print as a ratio of 1
        lines = [
            f"max abs diff: {self.max_abs_diff:.9g}",
            f"mean abs diff: {self.mean_abs_diff:.9g}",
            f"correct ratio: {self.correct_ratio:.9g}",
        ]
        if self.first is not None:
            bad = self.first
            lines.append(
                f"first difference: {bad.name}{list(bad.first_index or ())} is {_digits(bad.candidate)}, "
                f"expected {_digits(bad.reference)} ({bad.mismatches} of {bad.elements} differ)"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        state = "equal" if self else f"{sum(t.mismatches for t in self.tensors)} elements differ"
        return f"Diff({len(self.tensors)} tensor(s), {state})"


def compare(
    candidate: np.ndarray | Sequence[np.ndarray],
    reference: np.ndarray | Sequence[np.ndarray],
    names: Sequence[str] | None = None,
) -> Diff:
    """Compare two results in every element, without a tolerance.

    Args:
        candidate: one array or one a tensor: what was found.
        reference: the same number of arrays: what was expected; shapes and dtypes must be equal.
        names: of the tensors, ``output0``, ``output1``, ... by default.

    Returns:
        A `Diff`, truthy when equal.

    Raises:
        InputError: numbers of tensors, shapes or dtypes differ; then no element can be compared.
    """
    found = [candidate] if isinstance(candidate, np.ndarray) else list(candidate)
    expected = [reference] if isinstance(reference, np.ndarray) else list(reference)
    if len(found) != len(expected) or not found:
        raise InputError(f"cannot compare {len(found)} tensor(s) with {len(expected)}")
    names = list(names) if names else [f"output{i}" for i in range(len(found))]
    if len(names) != len(found):
        raise InputError(f"got {len(names)} names for {len(found)} tensor(s); give one for each")
    return Diff(tuple(_compare(n, c, r) for n, c, r in zip(names, found, expected, strict=True)))


def _digits(value: float | None) -> str:
    """A code as it is, a real number with the nine digits that tell any float32 from the next."""
    return repr(float(f"{value:.9g}")) if isinstance(value, float) else str(value)


def _compare(name: str, candidate: np.ndarray, reference: np.ndarray) -> TensorDiff:
    if candidate.shape != reference.shape or candidate.dtype != reference.dtype:
        raise InputError(
            f"cannot compare {name}: {candidate.dtype} {candidate.shape} with a reference of "
            f"{reference.dtype} {reference.shape}; bring both to one layout first"
        )
    if np.issubdtype(candidate.dtype, np.floating):
        both_nan = np.isnan(candidate) & np.isnan(reference)
    else:
        both_nan = np.zeros(candidate.shape, bool)
    different = (candidate != reference) & ~both_nan
    count = int(different.sum())
    if not count:
        return TensorDiff(name, candidate.size, 0, 0.0, 0.0)
    with np.errstate(invalid="ignore"):
        distance = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))
    distance = np.where(different, np.nan_to_num(distance, nan=np.inf, posinf=np.inf), 0.0)
    index = tuple(int(i) for i in np.unravel_index(int(different.argmax()), candidate.shape))
    return TensorDiff(
        name,
        candidate.size,
        count,
        float(distance.max()),
        float(distance.mean()),
        index,
        candidate[index].item(),
        reference[index].item(),
    )
