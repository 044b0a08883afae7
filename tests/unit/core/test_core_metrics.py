"""Sums that come in parts give what the definitions give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ectoolkit.core import metrics
from ectoolkit.core.metrics import ErrorSums

MEASURES = ("sqnr_db", "cosine", "nmse", "psnr_db", "score", "max_abs_err", "mean_abs_err")


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5000).astype(np.float32)
    return [
        (x, x + 0.01 * rng.standard_normal(5000).astype(np.float32)),
        (x, -x),
        (x, np.zeros_like(x)),
        (np.zeros_like(x), x),
        (np.ones_like(x), x),
        (x, x),
        (np.zeros_like(x), np.zeros_like(x)),
        (x, 1e-3 * x),
    ]


@pytest.mark.parametrize("number", range(8))
def test_parts_add_up_to_the_definition(number: int) -> None:
    x, y = pairs()[number]
    whole = ErrorSums()
    for part in np.array_split(np.arange(len(x)), 7):
        whole += ErrorSums.of(x[part], y[part])
    assert whole.count == len(x)
    for name in MEASURES:
        assert getattr(whole, name) == pytest.approx(getattr(metrics, name)(x, y), rel=1e-6, abs=1e-12), name
    assert whole.rmse_over_scale(0.02) == pytest.approx(metrics.rmse_over_scale(x, y, 0.02), rel=1e-6)


def test_definitions_of_mera() -> None:
    x, y = np.array([0.0, 4.0], np.float32), np.array([1.0, 4.0], np.float32)
    assert metrics.score(x, y) == 75.0
    assert metrics.max_abs_err(x, y) == 1.0
    assert metrics.mean_abs_err(x, y) == 0.5
    assert metrics.score(x, x) == 100.0
    assert metrics.score(np.ones(2), np.zeros(2)) == -math.inf


def test_shares_at_the_ends_are_nan_where_nobody_counted() -> None:
    counted = ErrorSums(count=4, low=1.0, high=2.0)
    assert (counted.saturated_low, counted.saturated_high) == (0.25, 0.5)
    assert math.isnan(ErrorSums(count=4).saturated_low)
    assert (counted + ErrorSums()).saturated_low == 0.25
    assert math.isnan(ErrorSums().mean_abs_err)
