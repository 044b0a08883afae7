"""Suggestions are tried out, the search keeps to its budget, and a collapse is noticed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from plain_numpy import IMAGES, small

from ectoolkit.analysis import Budget, auto, measure, sensitivity, warn_of_collapse
from ectoolkit.analysis.collapse import warn_of_collapsed_outputs
from ectoolkit.analysis.suggestions import Suggestion, best
from ectoolkit.data import ImageSet
from ectoolkit.errors import Cancelled, PrecisionWarning
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig

CONFIG = QuantConfig(method="minmax", weights="per_tensor", weight_bits=5)


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return small()


def test_every_suggestion_holds(calibrated: Calibrated) -> None:
    found = sensitivity(calibrated, CONFIG, IMAGES)
    assert found.suggestions
    before = measure(calibrated.quantize(CONFIG), IMAGES).output_sqnr_db
    gains = [one.gain_db for one in found.suggestions]
    assert gains == sorted(gains, reverse=True)
    for one in found.suggestions:
        after = measure(calibrated.quantize(one.applied(CONFIG)), IMAGES).output_sqnr_db
        assert (one.before_db, one.after_db) == (pytest.approx(before), pytest.approx(after))
    table = found.to_frame()
    assert list(table["layer"]) == found.impact.ranking
    assert table["impact_sqnr_db"].is_monotonic_increasing
    first = table[table["layer"] == found.suggestions[0].layer].iloc[0]
    assert first["suggestion"] == found.suggestions[0].text
    assert first["gain_db"] == pytest.approx(first["after_db"] - first["before_db"])


def test_top_says_how_many_are_tried(calibrated: Calibrated) -> None:
    assert len({one.layer for one in sensitivity(calibrated, CONFIG, IMAGES, top=1).trials}) == 1


@pytest.mark.parametrize(
    ("suggestion", "expected"),
    [
        (Suggestion("a", "weights", "per_channel", 6.2, 9.44), "make `a` per-channel: 6.2 → 9.4 dB"),
        (Suggestion("a", "method", "mse", 6.2, 9.4), "choose the range of `a` by mse: 6.2 → 9.4 dB"),
        (Suggestion("a", "weight_bits", 8, 6.2, 9.4), "give `a` 8-bit weights: 6.2 → 9.4 dB"),
        (Suggestion("a", "activation_bits", 8, 6.2, 9.4), "give `a` 8-bit activations: 6.2 → 9.4 dB"),
        (Suggestion("a", "keep_float", True, 6.2, 9.4), "keep `a` in float: 6.2 → 9.4 dB"),
    ],
)
def test_text(suggestion: Suggestion, expected: str) -> None:
    assert suggestion.text == expected


def test_float_only_where_no_integer_setting_comes_near() -> None:
    method, kept = Suggestion("a", "method", "mse", 6, 8), Suggestion("a", "keep_float", True, 6, 10)
    assert best([method, kept]) is method
    assert best([method, Suggestion("a", "keep_float", True, 6, 11.5)]) != method
    assert best([kept]) is kept
    assert best([Suggestion("a", "method", "mse", 6, 6.05)]) is None


def test_auto_reaches_its_target(calibrated: Calibrated) -> None:
    start = measure(calibrated.quantize(CONFIG), IMAGES).output_sqnr_db
    found = auto(calibrated, CONFIG, Budget(start + 5), IMAGES)
    assert found.reached
    assert found.reason == ""
    assert found.sqnr_db >= start + 5
    assert measure(calibrated.quantize(found.config), IMAGES).output_sqnr_db == pytest.approx(found.sqnr_db)
    config = CONFIG
    for step in found.steps:
        config = step.applied(config)
    assert config == found.config
    assert [step.before_db for step in found.steps[1:]] == pytest.approx([s.after_db for s in found.steps[:-1]])
    assert list(found.to_frame()["step"]) == list(range(1, len(found.steps) + 1))
    assert str(found).startswith(
        f"{found.sqnr_db:.1f} dB after {len(found.steps)} steps, {start + 5:g} dB reached\n1. "
    )


def test_auto_keeps_to_its_budget(calibrated: Calibrated) -> None:
    found = auto(calibrated, CONFIG, Budget(200, max_layers=1), IMAGES)
    assert not found.reached
    assert len(found.config.layers) == 1
    assert not any(own.keep_float for own in found.config.layers.values())
    assert found.reason == "max_layers=1 are changed; allow more"
    found = auto(calibrated, CONFIG, Budget(200), IMAGES)
    assert not any(own.keep_float for own in found.config.layers.values())
    assert found.reason == (
        "no setting of any layer that max_float_layers=0 allows gains 0.1 dB; allow more layers in float, or try "
        "corrections"
    )
    assert "200 dB not reached: no setting" in str(found)


def test_auto_has_nothing_to_do(calibrated: Calibrated) -> None:
    found = auto(calibrated, CONFIG, Budget(1), IMAGES)
    assert (found.reached, found.steps, found.config) == (True, (), CONFIG)


def test_cancel(calibrated: Calibrated) -> None:
    def cancel(done: int, total: int, name: str) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        sensitivity(calibrated, CONFIG, IMAGES, cancel)
    with pytest.raises(Cancelled):
        auto(calibrated, CONFIG, Budget(99), IMAGES, cancel)


def test_collapse(calibrated: Calibrated) -> None:
    good = calibrated.quantize(QuantConfig())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not warn_of_collapse(good, IMAGES)
    harsh = {"method": "percentile", "percentile": 60, "weights": "per_tensor", "weight_bits": 2, "activation_bits": 4}
    bad = calibrated.quantize(QuantConfig(**harsh))
    with pytest.warns(PrecisionWarning, match="weights='per_channel'") as caught:
        assert warn_of_collapse(bad, measure(bad, IMAGES))
    assert caught[0].filename == __file__


def test_results_that_are_no_numbers_are_a_collapse() -> None:
    scores = np.full((1, 3), np.nan, np.float32)
    with pytest.warns(PrecisionWarning, match="its result is at nan dB, expected 3 dB or more"):
        assert warn_of_collapsed_outputs("net", scores, scores)


@pytest.mark.slow
def test_efficientnet_lite0(lite0: Calibrated, lite0_photos: ImageSet) -> None:
    config = QuantConfig(method="minmax", weights="per_tensor", corrections=())
    found = sensitivity(lite0, config, lite0_photos[52:], limit=2)
    first = found.suggestions[0]
    assert (first.layer, first.setting, first.value) == ("_blocks.0._depthwise_conv", "weights", "per_channel")
    assert found.impact.ranking[0] == first.layer
    assert first.gain_db > 1
    assert found.to_frame()["suggestion"][0] == first.text
