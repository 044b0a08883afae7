"""Comparison in every element, and the metrics by their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ectoolkit.core.compare import compare
from ectoolkit.core.metrics import agreement, cosine, nmse, psnr_db, rmse_over_scale, sqnr_db

A = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)


def test_equal() -> None:
    diff = compare(A, A.copy())
    assert diff
    assert (diff.max_abs_diff, diff.mean_abs_diff, diff.correct_ratio, diff.first) == (0, 0, 1, None)
    assert diff.summary() == "max abs diff: 0\nmean abs diff: 0\ncorrect ratio: 1"
    assert repr(diff) == "Diff(1 tensor(s), equal)"
    assert diff.tensors[0].first_index is None


def test_first_difference() -> None:
    b = A.copy()
    b[0, 1, 0, 2] += 3
    b[0, 1, 2, 3] -= 9
    diff = compare(b, A, ["scores"])
    assert not diff
    tensor = diff.first
    assert tensor is not None
    assert (tensor.first_index, tensor.candidate, tensor.reference) == ((0, 1, 0, 2), 17.0, 14.0)
    assert (tensor.mismatches, tensor.elements, diff.max_abs_diff, diff.mean_abs_diff) == (2, 24, 9, 0.5)
    assert diff.correct_ratio == 22 / 24
    assert repr(diff) == "Diff(1 tensor(s), 2 elements differ)"
    assert diff.summary().splitlines()[3] == (
        "first difference: scores[0, 1, 0, 2] is 17.0, expected 14.0 (2 of 24 differ)"
    )


def test_several_tensors() -> None:
    diff = compare([A, A[0, 0] + 1], [A, A[0, 0]])
    assert [bool(t.mismatches) for t in diff.tensors] == [False, True]
    assert diff.first is diff.tensors[1]
    assert diff.first.name == "output1"
    assert diff.mean_abs_diff == 12 / 36
    assert diff.correct_ratio == 1 - 12 / 36


def test_nan() -> None:
    nan = A.copy()
    nan[0, 0, 0, 1] = np.nan
    assert compare(nan, nan.copy())
    for found, expected in ((nan, A), (A, nan)):
        diff = compare(found, expected)
        assert (diff.max_abs_diff, diff.tensors[0].first_index, diff.tensors[0].mismatches) == (
            math.inf,
            (0, 0, 0, 1),
            1,
        )


def test_infinities() -> None:
    inf = np.full(3, np.inf, np.float32)
    assert compare(inf, inf.copy())
    assert compare(inf, -inf).max_abs_diff == math.inf
    assert compare(inf, np.zeros(3, np.float32)).max_abs_diff == math.inf


def test_smallest_difference_counts() -> None:
    one = np.ones(1, np.float32)
    diff = compare(np.nextafter(one, np.float32(2)), one)
    assert not diff
    assert diff.max_abs_diff == 2.0**-23


def test_unsigned_codes() -> None:
    diff = compare(np.array([0, 255], np.uint8), np.array([255, 255], np.uint8))
    assert diff.max_abs_diff == 255
    assert diff.tensors[0].candidate == 0


def test_wide_integers() -> None:
    low, high = np.array([-(2**31)], np.int32), np.array([2**31 - 1], np.int32)
    assert compare(low, high).max_abs_diff == 2**32 - 1


# --- metrics -------------------------------------------------------------------------------------------------------

X = np.array([3.0, 4.0])
ZERO = np.zeros(2)


def test_sqnr() -> None:
    assert sqnr_db(X, 1.1 * X) == pytest.approx(20)
    assert sqnr_db(X, X) == math.inf
    assert sqnr_db(ZERO, ZERO) == math.inf
    assert sqnr_db(ZERO, X) == -math.inf
    assert sqnr_db(X, ZERO) == 0


def test_cosine() -> None:
    assert cosine(X, 2 * X) == pytest.approx(1)
    assert cosine(X, -X) == pytest.approx(-1)
    assert cosine(X, [-4, 3]) == 0  # type: ignore[arg-type]
    assert cosine(ZERO, ZERO) == 1
    assert cosine(ZERO, X) == cosine(X, ZERO) == 0


def test_nmse() -> None:
    assert nmse(X, 1.1 * X) == pytest.approx(0.01)
    assert nmse(X, X) == nmse(ZERO, ZERO) == 0
    assert nmse(ZERO, X) == math.inf


def test_psnr() -> None:
    assert psnr_db(X, X + 0.1) == pytest.approx(20)
    assert psnr_db(X, X) == psnr_db(ZERO, ZERO) == 100
    assert psnr_db(np.ones(2), ZERO) == -math.inf


def test_rmse_over_scale() -> None:
    x = np.linspace(0, 1, 100001)
    assert rmse_over_scale(x, np.round(x / 0.01) * 0.01, 0.01) == pytest.approx(1 / math.sqrt(12), rel=1e-3)


def test_agreement() -> None:
    reference = np.array([[0, 1, 2], [5, 1, 2], [0, 9, 2], [1, 2, 3]], np.float32)
    candidate = np.array([[0, 1, 2], [1, 5, 2], [9, 0, 2], [3, 2, 1]], np.float32)
    assert [agreement(reference, candidate, k) for k in (1, 2, 3)] == [0.25, 0.25, 1]


def test_agreement_of_ties_takes_the_first() -> None:
    assert agreement(np.array([[1, 1, 0]]), np.array([[2, 2, 0]])) == 1


def test_agreement_of_unsigned_codes() -> None:
    assert agreement(np.array([[0, 5]], np.uint8), np.array([[0, 5]], np.uint8)) == 1
    assert agreement(np.array([[-128, 5]], np.int8), np.array([[-128, 5]], np.int8)) == 1


def test_everything_is_computed_in_float64() -> None:
    x, y = np.array([16777216], np.float32), np.array([16777218], np.float32)
    assert nmse(x, y) == pytest.approx((2 / 16777216) ** 2)
    codes = np.array([0, 255], np.uint8)
    assert nmse(codes, codes[::-1]) == 2
