"""Places and weights of resizing and pooling against torch, for many sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from ectoolkit.frontends.exported.rules import sampling

MANY = settings(max_examples=200, deadline=None)
EXTENTS = st.integers(1, 24)


def line(extent: int) -> torch.Tensor:
    """One row of an image, float64."""
    return torch.from_numpy(np.random.default_rng(extent).standard_normal((1, 1, 1, extent)))


@pytest.mark.parametrize("exact", [True, False])
@MANY
@given(extent=EXTENTS, size=EXTENTS)
def test_nearest(exact: bool, extent: int, size: int) -> None:
    mode = "nearest-exact" if exact else "nearest"
    x = torch.arange(extent, dtype=torch.float32).reshape(1, 1, 1, extent)
    expected = F.interpolate(x, size=(1, size), mode=mode)[0, 0, 0]
    assert sampling.nearest(extent, size, None, exact) == expected.int().tolist()


@MANY
@given(extent=EXTENTS, factor=st.sampled_from([0.3, 0.5, 1.1, 1.5, 2.0, 2.7, 3.0, 1 / 3]))
def test_nearest_by_a_factor(extent: int, factor: float) -> None:
    if int(extent * factor) < 1:
        return
    x = torch.arange(extent, dtype=torch.float32).reshape(1, 1, 1, extent)
    expected = F.interpolate(x, scale_factor=(1.0, factor), mode="nearest")[0, 0, 0]
    assert sampling.nearest(extent, len(expected), factor, False) == expected.int().tolist()


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@MANY
@given(extent=EXTENTS, size=EXTENTS)
def test_weights(mode: str, align_corners: bool, extent: int, size: int) -> None:
    x = line(extent)
    expected = F.interpolate(x, size=(1, size), mode=mode, align_corners=align_corners)[0, 0, 0]
    make = sampling.linear if mode == "bilinear" else sampling.cubic
    found = make(extent, size, None, align_corners).astype(np.float64) @ x[0, 0, 0].numpy()
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


@MANY
@given(extent=EXTENTS, factor=st.sampled_from([0.5, 1.3, 1.7, 2.5, 4.0]))
def test_linear_by_a_factor(extent: int, factor: float) -> None:
    if int(extent * factor) < 1:
        return
    x = line(extent)
    expected = F.interpolate(x, scale_factor=(1.0, factor), mode="bilinear")[0, 0, 0]
    found = sampling.linear(extent, len(expected), factor, False).astype(np.float64) @ x[0, 0, 0].numpy()
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


@MANY
@given(extent=EXTENTS, size=EXTENTS)
def test_adaptive(extent: int, size: int) -> None:
    x = line(extent)
    expected = F.adaptive_avg_pool2d(x, (1, size))[0, 0, 0]
    found = sampling.adaptive(extent, size).astype(np.float64) @ x[0, 0, 0].numpy()
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@MANY
@given(
    extent=EXTENTS,
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    ceil_mode=st.booleans(),
    count_padding=st.booleans(),
    divisor=st.sampled_from([None, 3]),
    data=st.data(),
)
def test_average(
    extent: int,
    kernel: int,
    stride: int,
    ceil_mode: bool,
    count_padding: bool,
    divisor: int | None,
    data: st.DataObject,
) -> None:
    padding = data.draw(st.integers(0, kernel // 2))
    if extent + 2 * padding < kernel:
        return
    x = line(extent)
    arguments = ((1, kernel), (1, stride), (0, padding), ceil_mode, count_padding, divisor)
    expected = F.avg_pool2d(x, *arguments)[0, 0, 0].numpy()
    weights = sampling.average(extent, len(expected), kernel, stride, padding, count_padding, divisor)
    found = weights.astype(np.float64) @ x[0, 0, 0].numpy() / (divisor or 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
