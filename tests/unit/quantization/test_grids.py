"""Methods, grids and weights: each against its plain definition."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError
from ectoolkit.frontends.exported import capture
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.derivation import range_settings, read_depthwise
from ectoolkit.quantization.distribution import Distribution
from ectoolkit.quantization.grids import activation_grid, grid_of, raised_for_bias, weight_codes, weight_scales
from ectoolkit.quantization.methods import FURTHER, METHODS
from ectoolkit.quantization.settings import RangeSettings, WeightSettings
from ectoolkit.quantization.statistics import TensorStatistics

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(60_000).astype(np.float32)


def statistics_of(*images: np.ndarray) -> TensorStatistics:
    statistics = TensorStatistics()
    for image in images:
        statistics.add(torch.from_numpy(np.asarray(image, np.float32).reshape(1, 1, -1)), "layer")
    return statistics


def error(values: np.ndarray, quant: QuantParams) -> float:
    codes = np.clip(np.rint(values / float(quant.scale)) + quant.zero_point, quant.quant_min, quant.quant_max)
    return float((((codes - quant.zero_point) * float(quant.scale) - values) ** 2).mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("values", [NORMAL, np.maximum(NORMAL, 0), np.zeros(9), np.full(9, -2.5), np.full(9, 0.1)])
def test_every_method_gives_a_grid_that_holds_zero(method: str, bits: int, values: np.ndarray) -> None:
    quant = activation_grid(statistics_of(values), RangeSettings(method, bits=bits))
    assert quant.quant_min <= quant.zero_point <= quant.quant_max == 2**bits - 1
    low, high = (float(quant.scale) * (end - quant.zero_point) for end in (quant.quant_min, quant.quant_max))
    assert low <= 0 <= high
    step = float(quant.scale) if values.any() else 255e-8
    assert low >= min(values.min(), 0) * 1.01 - step
    assert high <= max(values.max(), 0) * 1.01 + step


def test_minmax_covers_the_range() -> None:
    quant = activation_grid(statistics_of([0.5, 2.55]), RangeSettings("minmax"))
    assert (quant.zero_point, float(quant.scale)) == (0, pytest.approx(0.01))


def test_percentile_cuts_the_same_share_at_both_ends() -> None:
    quant = activation_grid(statistics_of(NORMAL), RangeSettings("percentile", 99.0))
    low, high = float(quant.scale) * -quant.zero_point, float(quant.scale) * (255 - quant.zero_point)
    assert low == pytest.approx(np.percentile(NORMAL, 1), abs=0.05)
    assert high == pytest.approx(np.percentile(NORMAL, 99), abs=0.05)


def test_moving_average_follows_torch() -> None:
    images = [NORMAL[:50], 2 * NORMAL[50:100], 3 * NORMAL[100:150]]
    observer = torch.ao.quantization.MovingAverageMinMaxObserver(averaging_constant=0.1)
    for image in images:
        observer(torch.from_numpy(image))
    low, high = METHODS["moving_average"](statistics_of(*images), RangeSettings("moving_average"))
    assert (low, high) == (pytest.approx(float(observer.min_val)), pytest.approx(float(observer.max_val)))


@pytest.mark.parametrize("bits", [8, 6, 4])
@pytest.mark.parametrize("symmetric", [False, True])
def test_mse_is_never_worse_than_any_share_of_the_range(bits: int, symmetric: bool) -> None:
    values = np.concatenate([NORMAL, [30.0, -9.0]]).astype(np.float32)
    settings = RangeSettings("mse", bits=bits, symmetric=symmetric)
    found = error(values, activation_grid(statistics_of(values), settings))
    tried = [
        error(values, grid_of(float(values.min() * low), float(values.max() * high), settings))
        for low in np.linspace(0.1, 1, 19)
        for high in np.linspace(0.05, 1, 20)
    ]
    assert found < 1.05 * min(tried)  # 0.2 dB: one end is searched after the other


def test_entropy_cuts_a_long_tail_and_keeps_a_short_one() -> None:
    tail = np.concatenate([NORMAL, [60.0]]).astype(np.float32)
    assert METHODS["entropy"](statistics_of(tail), RangeSettings("entropy"))[1] < 20
    uniform = RNG.uniform(0, 1, 60_000).astype(np.float32)
    assert METHODS["entropy"](statistics_of(uniform), RangeSettings("entropy"))[1] > 0.95


def test_entropy_is_the_least_divergence_by_its_definition() -> None:
    values = np.abs(np.concatenate([NORMAL, [12.0, 14.0]])).astype(np.float32)
    width = float(values.max()) / 2048
    statistics = statistics_of(values)
    distribution = Distribution.of(statistics)
    bins = np.minimum((np.abs(distribution.centres) / width).astype(int), 2047)
    counts = np.bincount(bins, distribution.shares, 2048)
    counts[0] = counts[1]

    def divergence(kept: int) -> float:
        p = counts[:kept].copy()
        p[-1] += counts[kept:].sum()
        q = np.zeros(kept)
        edges = kept * np.arange(129) // 128
        for begin, end in itertools.pairwise(edges):
            filled = counts[begin:end] > 0
            if end == kept:
                filled[-1] = True
            q[begin:end] = np.where(filled, counts[begin:end].sum() / max(filled.sum(), 1), 0)
        p, q = p / p.sum(), q / q.sum()
        inside = p > 0
        return float((p[inside] * np.log(p[inside] / np.maximum(q[inside], 1e-12))).sum())

    best = min(range(128, 2049, 16), key=divergence)
    assert METHODS["entropy"](statistics, RangeSettings("entropy"))[1] == pytest.approx(best * width, rel=0.02)


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(0.01, 4), st.floats(0.01, 4), st.sampled_from([15, 127, 255]))
def test_predicted_noise_is_that_of_the_values(low: float, high: float, levels: int) -> None:
    statistics = statistics_of(NORMAL)
    scale = (low + high) / levels
    rounding, clipping = Distribution.of(statistics).noise(np.array([-low]), np.array([scale]), levels)
    codes = np.rint((NORMAL + low) / scale)
    inside = (codes >= 0) & (codes <= levels)
    squares = (np.clip(codes, 0, levels) * scale - low - NORMAL.astype(np.float64)) ** 2
    width = 2.0**statistics.exponent
    assert rounding[0] == pytest.approx(squares[inside].sum() / len(NORMAL), rel=0.1, abs=(scale * width))
    assert clipping[0] == pytest.approx(squares[~inside].sum() / len(NORMAL), rel=0.05, abs=scale * width)


def test_noise_of_a_relu_output_leaves_its_zeros_alone() -> None:
    statistics = statistics_of(np.concatenate([np.zeros(1000), [1.0]]))
    rounding, clipping = Distribution.of(statistics).noise(np.zeros(1), np.array([1 / 255]), 255)
    assert rounding[0] == pytest.approx(0, abs=1e-12)
    assert clipping[0] == pytest.approx(0, abs=1e-12)


def test_clip_by_hand_wins() -> None:
    quant = activation_grid(statistics_of(NORMAL), RangeSettings("mse", clip=(-1.0, 1.55)))
    assert (float(quant.scale), quant.zero_point) == (pytest.approx(0.01), 100)


def test_symmetric_has_its_zero_in_the_middle() -> None:
    quant = activation_grid(statistics_of([-1.0, 2.54]), RangeSettings("minmax", symmetric=True))
    assert (quant.zero_point, float(quant.scale)) == (128, pytest.approx(0.02))


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(0.01, 100), st.floats(0, 100))
def test_dna_keeps_zero_points_at_127(below: float, above: float) -> None:
    settings = RangeSettings("minmax", highest_zero_point=127)
    quant = grid_of(-below, above, settings)
    assert quant.zero_point <= 127
    step = float(quant.scale)
    assert -step * quant.zero_point == pytest.approx(-below, abs=step)
    assert step * (255 - quant.zero_point) >= above - step


def test_symmetric_and_dna_exclude_each_other() -> None:
    with pytest.raises(QuantizationError) as caught:
        grid_of(-1, 1, RangeSettings(symmetric=True, highest_zero_point=127))
    assert str(caught.value) == (
        "symmetric activations have the zero point 128, more than 127, which hardware='dna' allows; choose one of the "
        "two"
    )


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_symmetric_within_their_bits(bits: int) -> None:
    weight = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
    weight[2] = 0  # a channel without weights
    for granularity in ("per_channel", "per_tensor"):
        settings = WeightSettings(granularity, bits)
        scales = weight_scales(weight, settings)
        codes = weight_codes(weight, scales, settings)
        assert np.abs(codes).max() == 2 ** (bits - 1) - 1
        spread = scales.reshape(-1, 1, 1, 1)
        assert (np.abs(codes * spread - weight) <= spread * 0.501).all()
    assert len(set(scales.tolist())) == 1


def test_a_channel_without_weights_keeps_its_bias() -> None:
    scales = weight_scales(np.zeros((2, 1, 1, 1), np.float32), WeightSettings())
    bias = np.array([0.0, 3.0], np.float32)
    raised = raised_for_bias(scales, bias, 0.1)
    assert abs(3.0 / (0.1 * raised[1])) < 2**31
    assert raised_for_bias(np.ones(2, np.float32), bias, 0.1)[1] == 1


def test_settings_that_are_equal_make_equal_grids() -> None:
    statistics = statistics_of(NORMAL)
    assert activation_grid(statistics, RangeSettings()) == activation_grid(statistics, replace(RangeSettings()))


def test_median_is_what_a_typical_image_needs() -> None:
    images = [np.array([-low, high], np.float32).repeat(8) for low, high in ((1, 2), (2, 3), (90, 100))]
    assert METHODS["median"](statistics_of(*images), RangeSettings("median")) == (-2, 3)


def test_median_cuts_no_vector_of_features() -> None:
    statistics = TensorStatistics()
    for largest in (2.0, 3.0, 100.0):
        statistics.add(torch.tensor([[[[0.0]], [[largest]]]]), "pool")
    assert METHODS["median"](statistics, RangeSettings("median")) == (0, 100)


def images_of(*ends: tuple[float, float]) -> TensorStatistics:
    """Images of both signs that reach this far, in two channels."""
    draw = np.random.default_rng(0)
    statistics = TensorStatistics()
    for low, high in ends:
        image = np.clip(draw.standard_normal((1, 2, 40, 40)) / 3, -1, 1)
        image.ravel()[:2] = -1, 1
        statistics.add(torch.from_numpy(np.where(image < 0, -image * low, image * high).astype(np.float32)), "sum")
    return statistics


@pytest.mark.parametrize(("low", "spare"), [(-1.0, 1.5), (0.0, 1.0)])
def test_typical_is_mse_but_hardly_wider_than_most_images_need(low: float, spare: float) -> None:
    settings = RangeSettings("typical", spare=spare)
    alike = images_of(*[(low, 1.0)] * 10)
    low_of_mse, high_of_mse = METHODS["mse"](alike, settings)
    assert METHODS["typical"](alike, settings) == (low_of_mse, high_of_mse)
    one_of_ten = images_of(*[(low, 1.0)] * 9, (20 * low, 20.0))
    assert METHODS["mse"](one_of_ten, settings)[1] > 10
    assert METHODS["typical"](one_of_ten, settings) == pytest.approx((spare * low, spare))


def test_typical_does_not_cut_what_many_images_need() -> None:
    settings = RangeSettings("typical")
    often = images_of(*[(-1.0, 1.0)] * 7, *[(-40.0, 40.0)] * 3)
    assert METHODS["typical"](often, settings) == (-40 / FURTHER, 40 / FURTHER)
    rarely = images_of(*[(0.0, 0.0)] * 9, (0.0, 40.0))
    assert METHODS["typical"](rarely, settings) == METHODS["mse"](rarely, settings)


@pytest.mark.parametrize("low", [0.0, -0.25])
def test_typical_cuts_symmetric_ranges_too(low: float) -> None:
    """Though all values lie on one side of 0: the other end is no reason to keep the range of `mse`."""
    settings = RangeSettings("typical", symmetric=True)
    images = [np.linspace(low, 1, 1000)] * 9 + [15 * np.linspace(low, 1, 1000)]
    statistics = statistics_of(*images)
    assert METHODS["mse"](statistics, settings)[1] > 5
    assert METHODS["typical"](statistics, settings) == pytest.approx((-1.5, 1.5))
    alike = statistics_of(*[np.zeros(9)] * 9, np.ones(9))  # most images need nothing
    assert METHODS["typical"](alike, settings) == METHODS["mse"](alike, settings)


def test_typical_cuts_no_vector_of_features() -> None:
    statistics = TensorStatistics()
    for largest in (2.0, 3.0, 100.0):
        statistics.add(torch.tensor([[[[0.0]], [[largest]]]]), "pool")
    assert METHODS["typical"](statistics, RangeSettings("typical")) == (0, 100)


def test_what_depthwise_convolutions_read_has_no_spare() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    network = capture(net.eval(), [(1, 3, 8, 8)])
    names = [layer.name for layer in network.layers if layer.weight is not None]
    assert read_depthwise(network) == {names[0]}  # through the padding
    config = QuantConfig()
    assert [range_settings(network, config, name).spare for name in names] == [1.0, 1.5, 1.5]
    assert [range_settings(network, config, name).method for name in names] == ["typical", "typical", "minmax"]
