"""Cumulative, isolated and impact are what their definitions say, and an update runs only what a change touches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plain_numpy import IMAGES, layers_of, run_all, small

from ectoolkit.analysis import Measurement, measure, measure_impact
from ectoolkit.analysis.rerunning import output_after
from ectoolkit.core import metrics
from ectoolkit.core.metrics import ErrorSums
from ectoolkit.errors import Cancelled
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.simulation import Simulator

CONFIG = QuantConfig(method="minmax", weights="per_tensor", activation_bits=7)
MEASURES = ("sqnr_db", "cosine", "nmse", "psnr_db", "score", "max_abs_err", "mean_abs_err")
# numpy computes in float64 and torch in float32: a value in a million lies on the other side of a tie
CLOSE = 1e-3


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return small()


@pytest.fixture(scope="module")
def measurement(calibrated: Calibrated) -> Measurement:
    return measure(calibrated.quantize(CONFIG), IMAGES)


def test_cumulative(measurement: Measurement) -> None:
    model = measurement.model
    reference = run_all(model, IMAGES[:4], quantized=False)
    candidate = run_all(model, IMAGES[:4], quantized=True)
    assert set(measurement.cumulative) == set(reference)
    for name, sums in measurement.cumulative.items():
        for measure_name in MEASURES:
            expected = getattr(metrics, measure_name)(reference[name], candidate[name])
            assert getattr(sums, measure_name) == pytest.approx(expected, rel=CLOSE), (name, measure_name)
        grid = model.scheme[name].grid
        assert grid is not None
        codes = np.rint(candidate[name] / grid.scale) + grid.zero_point
        assert sums.saturated_low == pytest.approx((codes == grid.quant_min).mean(), abs=CLOSE)
        assert sums.saturated_high == pytest.approx((codes == grid.quant_max).mean(), abs=CLOSE)
        expected = metrics.rmse_over_scale(reference[name], candidate[name], float(grid.scale))
        assert sums.rmse_over_scale(float(grid.scale)) == pytest.approx(expected, rel=CLOSE)
    assert measurement.output_sqnr_db == measurement.cumulative["head"].sqnr_db


def test_each_image(measurement: Measurement) -> None:
    reference = run_all(measurement.model, IMAGES, quantized=False)
    candidate = run_all(measurement.model, IMAGES, quantized=True)
    for image in range(4):
        expected = metrics.sqnr_db(reference["head"][image], candidate["head"][image])
        assert measurement.image_sqnr_db(image) == pytest.approx(expected, rel=CLOSE)
    np.testing.assert_allclose(measurement.float_scores, reference["head"][:4], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(measurement.simulated_scores, candidate["head"][:4], rtol=1e-4, atol=1e-5)


def test_isolated(measurement: Measurement) -> None:
    model = measurement.model
    reference = run_all(model, IMAGES[:4], quantized=False)
    runs = layers_of(model, quantized=True)
    for layer in model.network.layers:
        candidate = runs[layer.name](*(reference[name] for name in layer.inputs))
        for name in MEASURES:
            expected = getattr(metrics, name)(reference[layer.name], candidate)
            assert getattr(measurement.isolated[layer.name], name) == pytest.approx(expected, rel=CLOSE)
    assert measurement.isolated["pool"].sqnr_db == float("inf")  # rounds nothing


def test_impact(measurement: Measurement) -> None:
    model = measurement.model
    reference = run_all(model, IMAGES[:4], quantized=False)
    floats, quantized = layers_of(model, quantized=False), layers_of(model, quantized=True)
    impact = measure_impact(model, IMAGES)
    for one in model.network.layers:
        values = dict(reference)
        for layer in model.network.layers:
            run = (quantized if layer is one else floats)[layer.name]
            values[layer.name] = run(*(values[name] for name in layer.inputs))
        expected = metrics.sqnr_db(reference["head"], values["head"])
        if expected > 200:  # crumbs of float64 where nothing is rounded
            expected = float("inf")
        assert impact.sqnr_db[one.name] == pytest.approx(expected, rel=CLOSE)
        image = metrics.sqnr_db(reference["head"][2], values["head"][2])
        if expected != float("inf"):
            assert impact.image_sqnr_db(2)[one.name] == pytest.approx(image, rel=CLOSE)
    assert impact.ranking[0] == min(impact.sqnr_db, key=impact.sqnr_db.__getitem__)
    assert "pool" not in impact.ranking


def sqnr_db(sums: dict[str, ErrorSums]) -> dict[str, float]:
    return {name: one.sqnr_db for name, one in sums.items()}


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Simulator, layer: Any, *rest: Any) -> Any:
            ran.append(layer.name)
            return original(self, layer, *rest)

        return run

    for name in ("run", "run_alone"):
        monkeypatch.setattr(Simulator, name, watched(getattr(Simulator, name)))
    return ran


def test_update_runs_what_changed_and_what_lies_downstream(
    calibrated: Calibrated, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = calibrated.quantize(CONFIG.tuned("second", weights="per_channel"))
    fresh, before = measure(changed, IMAGES), sqnr_db(measurement.cumulative)
    ran = recorded(monkeypatch)
    updated = measurement.update(changed)
    assert ran == ["second", "second", "add", "pool", "mean", "mean_2", "head"]  # second alone as well
    assert sqnr_db(updated.cumulative) == sqnr_db(fresh.cumulative)
    assert sqnr_db(updated.isolated) == sqnr_db(fresh.isolated)
    assert sqnr_db(measurement.cumulative) == before  # the old one is as it was
    assert sqnr_db(measurement.isolated)["second"] < sqnr_db(updated.isolated)["second"]
    ran.clear()
    assert sqnr_db(measurement.update(measurement.model).cumulative) == sqnr_db(measurement.cumulative)
    assert ran == []


def test_output_after_is_the_updates(calibrated: Calibrated, measurement: Measurement) -> None:
    for config in (
        CONFIG.tuned("second", weights="per_channel"),
        CONFIG.tuned(next(iter(calibrated.network.inputs)), activation_bits=8),
        CONFIG.tuned(hardware="dna"),
        CONFIG,
    ):
        model = calibrated.quantize(config)
        assert output_after(measurement, model) == pytest.approx(measurement.update(model).output_sqnr_db, rel=1e-9)


def test_impact_update(calibrated: Calibrated, measurement: Measurement, monkeypatch: pytest.MonkeyPatch) -> None:
    impact = measure_impact(measurement.model, measurement)
    changed = calibrated.quantize(CONFIG.tuned("second", weights="per_channel"))
    ran = recorded(monkeypatch)
    updated = impact.update(changed)
    assert ran == ["second"]
    assert updated.sqnr_db == measure_impact(changed, IMAGES).sqnr_db
    assert impact.sqnr_db["second"] < updated.sqnr_db["second"]


def test_another_network_is_measured_anew(measurement: Measurement) -> None:
    other = small().quantize(CONFIG)
    assert other.network is not measurement.model.network
    updated = measurement.update(other)
    assert updated.model is other
    assert updated.images == 4
    assert updated.output_sqnr_db == pytest.approx(measurement.output_sqnr_db, rel=1e-6)
    impact = measure_impact(measurement.model, measurement, ["second"]).update(other)
    assert set(impact.sqnr_db) == {"second"}


def test_limit_and_batches(calibrated: Calibrated) -> None:
    model = calibrated.quantize(CONFIG)
    everything = measure(model, IMAGES, limit=None)
    assert everything.images == 6
    assert len(everything.floats.batches) == 2
    one = everything.floats.one(5)
    assert measure(model, one).output_sqnr_db == pytest.approx(everything.image_sqnr_db(5), rel=1e-6)


def test_a_layer_in_float_has_weights_of_its_own(calibrated: Calibrated) -> None:
    config = CONFIG.tuned(weight_bits=4)
    kept = measure(calibrated.quantize(config.tuned("second", keep_float=True)), IMAGES)
    quantized = measure(calibrated.quantize(config), IMAGES)
    assert kept.isolated["second"].sqnr_db > quantized.isolated["second"].sqnr_db + 6


def test_progress_and_cancel(calibrated: Calibrated) -> None:
    model, seen = calibrated.quantize(CONFIG), []
    layers = len(model.network.layers)
    measure(model, IMAGES, lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == list(range(1, 2 * layers + 1))
    assert {total for _, total, _ in seen} == {2 * layers}

    def cancel(done: int, total: int, name: str) -> None:
        raise Cancelled("enough")

    for call in (measure, lambda *given: measure_impact(*given[:2], None, given[2])):
        with pytest.raises(Cancelled):
            call(model, IMAGES, cancel)
