"""Sums of torch tensors are those of the definitions, to 1e-6 of themselves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from ectoolkit.analysis.sums import at_ends, error_sums, reference_sums
from ectoolkit.core import metrics
from ectoolkit.core.types import QuantParams
from ectoolkit.quantization.simulation import on_grid

MEASURES = ("sqnr_db", "cosine", "nmse", "psnr_db", "score", "max_abs_err", "mean_abs_err")


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 64, 56, 57), (2, 1000), (1, 2, 3)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_equal_to_the_definitions(shape: tuple[int, ...], channels_last: bool) -> None:
    torch.manual_seed(1)
    x, y = torch.rand(shape) + 0.1, torch.rand(shape) * 3
    y = x + 0.01 * (y - 1.5)
    if channels_last and len(shape) == 4:
        x, y = (value.contiguous(memory_format=torch.channels_last) for value in (x, y))
    found = error_sums(reference_sums(x), x, y)
    assert len(found) == len(x)
    for image, sums in enumerate(found):
        for name in MEASURES:
            expected = getattr(metrics, name)(x[image].numpy(), y[image].numpy())
            assert getattr(sums, name) == pytest.approx(expected, rel=1e-6), name


def test_layouts_may_differ() -> None:
    x, y = torch.rand(1, 4, 6, 5), torch.rand(1, 4, 6, 5)
    (found,) = error_sums(reference_sums(x), x, y.contiguous(memory_format=torch.channels_last))
    assert found.sqnr_db == pytest.approx(metrics.sqnr_db(x.numpy(), y.numpy()), rel=1e-6)


def test_a_long_sum_of_equal_values() -> None:
    x = torch.full((1, 3_000_001), 0.1)
    exact = float(Fraction(float(x[0, 0])) ** 2 * x.numel())
    assert reference_sums(x)[0].signal == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("scale", "zero_point", "largest"), [(0.013, 0, 255), (0.7, 128, 255), (1e-4, 15, 15)])
def test_values_at_the_ends(scale: float, zero_point: int, largest: int) -> None:
    grid = QuantParams(np.asarray(scale, np.float32), zero_point, 0, largest)
    torch.manual_seed(0)
    y = on_grid(torch.randn(2, 7, 33, 9) * scale * 100, grid)
    codes = np.rint(y.numpy().astype(np.float64) / scale) + zero_point
    assert at_ends(y, grid) == [((one == 0).sum(), (one == largest).sum()) for one in codes]


def test_an_equal_candidate_is_counted_too() -> None:
    x = torch.tensor([[0.0, 0.5, 1.0, 1.0]])
    (found,) = error_sums(reference_sums(x), x, x, QuantParams(np.asarray(0.5, np.float32), 0, 0, 2))
    assert (found.noise, found.cosine) == (0.0, 1.0)
    assert (found.saturated_low, found.saturated_high) == (0.25, 0.5)


def test_rounding_is_torchs_own() -> None:
    generator = torch.Generator().manual_seed(0)
    for scale, zero_point in ((0.02, 3), (1e-5, 0), (30.0, 255), (0.1, 128)):
        grid = QuantParams.uint8(scale, zero_point)
        x = torch.randn(1, 8, 30, 30, generator=generator) * scale * 100
        x.view(-1)[:500] = (torch.arange(500) - 250 + 0.5) * scale  # ties
        expected = torch.fake_quantize_per_tensor_affine(x, float(grid.scale), zero_point, 0, 255)
        assert torch.equal(on_grid(x, grid), expected)
