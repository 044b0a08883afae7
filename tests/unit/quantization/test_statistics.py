"""Statistics of a tensor: exact counts, whatever order and range the images come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ectoolkit.errors import QuantizationError
from ectoolkit.quantization.statistics import MAX_BINS, SAMPLED_FROM, STRIDE, TensorStatistics

# below 1e-20 torch may flush to zero, which moves a value by less than any bin is wide
NUMBERS = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-20)
PARTS = st.lists(st.lists(NUMBERS, min_size=1, max_size=20), min_size=1, max_size=6)


def collected(parts: list[list[float]]) -> TensorStatistics:
    statistics = TensorStatistics()
    for part in parts:
        statistics.add(torch.tensor(part, dtype=torch.float32).reshape(1, 1, -1), "layer")
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


def test_channels_moments_and_images() -> None:
    images = np.random.default_rng(0).standard_normal((3, 5, 7, 4)).astype(np.float32)
    statistics = TensorStatistics()
    for image in images:
        statistics.add(torch.from_numpy(image[None]), "layer")
    channels = images.transpose(1, 0, 2, 3).reshape(5, -1)
    np.testing.assert_array_equal(statistics.channel_minimum, channels.min(1))
    np.testing.assert_array_equal(statistics.channel_maximum, channels.max(1))
    np.testing.assert_allclose(statistics.channel_total, channels.sum(1), rtol=1e-4)
    np.testing.assert_allclose(statistics.channel_squares, (channels.astype(np.float64) ** 2).sum(1), rtol=1e-5)
    typical = np.sqrt(np.abs(images).max(axis=(2, 3)).astype(np.float64)).mean(axis=0) ** 2
    np.testing.assert_allclose(statistics.channel_typical, typical, rtol=1e-12)
    assert statistics.channel_count == channels.shape[1]
    assert statistics.mean_square == pytest.approx((images.astype(np.float64) ** 2).mean(), rel=1e-5)
    np.testing.assert_array_equal(statistics.image_maximum, images.reshape(3, -1).max(1))


def test_rows_of_features_are_channels() -> None:
    rows = np.random.default_rng(0).standard_normal((1, 6)).astype(np.float32)
    many = np.random.default_rng(1).standard_normal((9, 6)).astype(np.float32)
    for array in (rows, many):
        statistics = TensorStatistics()
        statistics.add(torch.from_numpy(array), "layer")
        np.testing.assert_array_equal(statistics.channel_maximum, array.max(0))


def test_large_tensors_are_sampled_evenly_and_their_ends_are_exact() -> None:
    values = np.arange(SAMPLED_FROM * 2, dtype=np.float32).reshape(1, 2, -1)
    statistics = TensorStatistics()
    for _ in range(STRIDE):
        statistics.add(torch.from_numpy(values), "layer")
    assert statistics.bins.sum() == values.size  # every third, another third each time
    assert statistics.count == STRIDE * values.size
    assert (statistics.minimum, statistics.maximum) == (0, values.max())


def test_infinity_is_refused_by_layer_and_image() -> None:
    statistics = TensorStatistics()
    statistics.add(torch.ones(1, 2), "features.3")
    with pytest.raises(QuantizationError) as error:
        statistics.add(torch.tensor([[1.0, float("inf")]]), "features.3")
    assert str(error.value) == (
        "layer features.3 gives 1.0 to inf for calibration image 1; expected finite numbers. Look at this image and at "
        "the weights of the layers up to this one"
    )
