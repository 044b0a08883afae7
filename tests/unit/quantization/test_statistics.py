"""Statistics of a tensor: exact counts, whatever order and range the images come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.grids import activation_grid, grid_of, weight_codes, weight_scales
from ectoolkit.quantization.statistics import MAX_BINS, TensorStatistics

# below 1e-20 torch may flush to zero, which moves a value by less than any bin is wide
NUMBERS = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-20)
PARTS = st.lists(st.lists(NUMBERS, min_size=1, max_size=20), min_size=1, max_size=6)


def collected(parts: list[list[float]]) -> TensorStatistics:
    statistics = TensorStatistics()
    for part in parts:
        statistics.add(torch.tensor(part, dtype=torch.float32), "layer")
    return statistics


@given(PARTS)
def test_counts_are_exact_after_any_growth(parts: list[list[float]]) -> None:
    statistics = collected(parts)
    values = np.concatenate([np.asarray(part, np.float32) for part in parts]).astype(np.float64)
    assert statistics.count == len(values) == statistics.bins.sum()
    assert (statistics.minimum, statistics.maximum) == (values.min(), values.max())
    width = 2.0**statistics.exponent
    expected = np.bincount(
        (np.floor(values / width) - statistics.first_bin).astype(int), minlength=len(statistics.bins)
    )
    np.testing.assert_array_equal(statistics.bins, expected)
    assert len(statistics.bins) <= MAX_BINS + 1


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_resolution_keeps_up_with_the_range(first: float, second: float) -> None:
    statistics = collected([[-first, first], [-second, second]])
    span = statistics.maximum - statistics.minimum
    assert span / 2.0**statistics.exponent >= MAX_BINS / 4


def test_moments() -> None:
    values = np.random.default_rng(0).standard_normal((3, 100)).astype(np.float32)
    statistics = collected([row.tolist() for row in values])
    assert statistics.total == pytest.approx(values.sum(dtype=np.float64), rel=1e-6)
    assert statistics.total_squares == pytest.approx((values.astype(np.float64) ** 2).sum(), rel=1e-5)


def test_infinity_is_refused_by_name() -> None:
    with pytest.raises(QuantizationError) as error:
        TensorStatistics().add(torch.tensor([1.0, float("inf")]), "features.3")
    assert str(error.value) == ("layer features.3 gives 1.0 to inf for a calibration image; expected finite numbers")


def test_minmax_covers_the_range_and_zero_has_a_code() -> None:
    quant = activation_grid(collected([[0.5, 2.55]]), QuantConfig(method="minmax"))
    assert (quant.zero_point, float(quant.scale)) == (0, pytest.approx(0.01))
    quant = activation_grid(collected([[-1.0, 1.0]]), QuantConfig(method="minmax", activation_bits=7))
    assert (quant.zero_point, float(quant.scale)) == (64, pytest.approx(2 / 127))


def test_mse_cuts_a_lone_outlier_and_never_does_worse() -> None:
    values = np.random.default_rng(0).standard_normal(100_000)
    statistics = collected([[*values.tolist(), 40.0]])  # too far out to be worth its steps

    def error(method: str) -> float:
        quant = activation_grid(statistics, QuantConfig(method=method))
        codes = np.clip(np.rint(values / float(quant.scale)) + quant.zero_point, 0, 255)
        return float((((codes - quant.zero_point) * float(quant.scale) - values) ** 2).mean())

    assert error("mse") < 0.8 * error("minmax")
    uncut = activation_grid(statistics, QuantConfig(method="mse"), clip=False)
    assert uncut == activation_grid(statistics, QuantConfig(method="minmax"))


def test_a_tensor_that_is_always_zero_has_a_grid() -> None:
    assert grid_of(0.0, 0.0, 255).zero_point == 0


def test_weights_are_symmetric_and_a_dead_channel_keeps_its_bias() -> None:
    weight = np.array([[[[1.27]]], [[[0.0]]]], np.float32)
    scales = weight_scales(weight, np.array([0.0, 3.0], np.float32), 0.1, QuantConfig())
    np.testing.assert_array_equal(weight_codes(weight, scales).ravel(), [127, 0])
    assert abs(3.0 / (0.1 * scales[1])) < 2**31
    tied = weight_scales(weight, None, 0.1, QuantConfig(weights="per_tensor"))
    assert tied[0] == tied[1] == np.float32(1.27 / 127)
