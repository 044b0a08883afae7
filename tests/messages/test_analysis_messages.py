"""The full text of every error and warning of ectoolkit.analysis, so that each one is known to render."""

from __future__ import annotations

import numpy as np
import pytest
from messages import message_of
from plain_numpy import IMAGES, small

from ectoolkit._notices import hearing, on_command_line
from ectoolkit.analysis import (
    Budget,
    channel_table,
    error_map,
    histogram,
    image_errors,
    image_table,
    layer_table,
    measure,
    measure_impact,
    preview,
    warn_of_collapse,
)
from ectoolkit.analysis.collapse import warn_of_collapsed_outputs
from ectoolkit.errors import GraphError, InputError, PrecisionWarning, QuantizationError
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.config import QuantConfig


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    return small()


def test_no_such_layer(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    expected = "Small has no layer 'third'; names are those in the first column of the layer table"
    assert message_of(lambda: channel_table(model, "third"), GraphError) == expected
    assert message_of(lambda: measure_impact(model, IMAGES, ["third"]), GraphError) == expected


def test_nothing_to_look_at(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    measurement = measure(model, IMAGES[:2])
    unknown = "Small has no layer 'third'; names are those in the first column of the layer table"
    for call in (
        lambda: histogram(model, "third"),
        lambda: preview(model, "third", clip=(0, 1)),
        lambda: error_map(measurement, "third", 0),
    ):
        assert message_of(call, GraphError) == unknown
    assert message_of(lambda: histogram(model, "second", "bias"), GraphError) == (
        "of is 'bias', expected 'activation' or 'weight'"
    )
    assert message_of(lambda: histogram(model, "pool", "weight"), GraphError) == (
        "layer pool has no weights; ask for of='activation'"
    )
    assert message_of(lambda: preview(model, "pool", clip=(0, 1)), GraphError) == (
        "layer pool has no grid of its own: it runs in float, or keeps that of a layer before it"
    )
    assert message_of(lambda: preview(model, "second", weight_bits=4), QuantizationError) == (
        "weight_bits has no preview, which is of a layer's output; use flow.quantize.tune(...)"
    )
    assert message_of(lambda: error_map(measurement, "second", 2), InputError) == (
        "there is no image 2; 2 were measured, counted from 0"
    )
    kinds = "kind is 'whole', expected 'cumulative' or 'isolated'"
    assert message_of(lambda: image_errors(measurement, "whole"), InputError) == kinds
    assert message_of(lambda: error_map(measurement, "second", 0, "whole"), InputError) == kinds


def test_no_statistics_to_look_at(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    assert message_of(lambda: histogram(model, "pool"), GraphError) == (
        "calibration did not look at layer pool, whose values lie on the grid of add; look there"
    )


def test_another_quantization(calibrated: Calibrated) -> None:
    model, other = calibrated.quantize(), calibrated.quantize(QuantConfig(weight_bits=4))
    measurement, impact = measure(other, IMAGES), measure_impact(other, IMAGES)
    assert message_of(lambda: layer_table(model, measurement), QuantizationError) == (
        "the measurement is of another quantization of Small (QuantConfig(weight_bits=4)) than the model "
        "(QuantConfig()); take measurement.update(model)"
    )
    assert message_of(lambda: layer_table(model, None, impact), QuantizationError) == (
        "the impact is of another quantization of Small (QuantConfig(weight_bits=4)) than the model (QuantConfig()); "
        "take impact.update(model)"
    )


def test_measured_columns_of_a_graph(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    measurement, impact = measure(model, IMAGES), measure_impact(model, IMAGES)
    expected = "a graph alone has no {} to show; give layer_table the model that the graph is of"
    assert message_of(lambda: layer_table(model.graph, measurement), QuantizationError) == expected.format(
        "measurement"
    )
    assert message_of(lambda: layer_table(model.graph, None, impact), QuantizationError) == expected.format("impact")


def test_not_one_name_an_image(calibrated: Calibrated) -> None:
    model = calibrated.quantize()
    assert message_of(lambda: image_table(model, IMAGES[:2], names=["a"]), InputError) == (
        "got 1 names for 2 images, expected one for each"
    )
    scores = model.graph.values[model.graph.outputs[0]].spec.shape[1]
    assert message_of(lambda: image_table(model, IMAGES[:2], class_names=["cat"]), InputError) == (
        f"got 1 class names for {scores} scores, expected one for each"
    )
    assert message_of(lambda: image_table(model, IMAGES[:2], labels=[1, 2, 3]), InputError) == (
        "got 3 labels for 2 images, expected one for each"
    )
    measurement = measure(calibrated.quantize(QuantConfig(weight_bits=4)), IMAGES)
    assert message_of(lambda: image_table(model, IMAGES, measurement=measurement), QuantizationError) == (
        "the measurement is of another quantization of Small (QuantConfig(weight_bits=4)) than the model "
        "(QuantConfig()); take measurement.update(model)"
    )


def test_images_of_another_shape(calibrated: Calibrated) -> None:
    images = np.zeros((1, 3, 8, 8), np.float32)
    assert message_of(lambda: measure(calibrated.quantize(), images), InputError) == (
        "Small was captured for images of shape (3, 12, 12), got (3, 8, 8); resize them"
    )


@pytest.mark.parametrize("name", ["max_layers", "max_float_layers"])
def test_budget(name: str) -> None:
    assert message_of(lambda: Budget(10, **{name: -1}), QuantizationError) == f"{name} is -1, expected 0 or more layers"


@pytest.mark.parametrize(
    ("config", "remedy", "command"),
    [
        (
            QuantConfig(weights="per_tensor"),
            "Quantize with weights='per_channel'",
            "Deploy with --weights-scheme per_channel",
        ),
        (QuantConfig(weight_bits=4), "Give these layers 8 bits, or all of them", "Deploy with --activation-bits 8"),
        (
            QuantConfig(method="percentile"),
            "Quantize with method='mse', which cuts less than a percentile",
            "Deploy with --method mse, which cuts less than a percentile",
        ),
        (
            QuantConfig(method="minmax"),
            "Calibrate with images that look like yours and went through the model's preprocessing; if they did, keep "
            "these layers in float (keep_float=True), or let ectoolkit.analysis.sensitivity try what helps",
            "Calibrate with images that look like yours (--calibration); if they did, deploy with --accurate, or find "
            "out in a notebook which layers to keep in float: ectoolkit lab",
        ),
    ],
)
def test_collapse(calibrated: Calibrated, config: QuantConfig, remedy: str, command: str) -> None:
    measurement = measure(calibrated.quantize(config), IMAGES)
    known = {name: sums.sqnr_db for name, sums in measurement.isolated.items() if name != "input0"}
    worst = ", ".join(f"{name} ({known[name]:.1f} dB)" for name in sorted(known, key=known.__getitem__)[:3])
    with pytest.warns(PrecisionWarning) as caught:
        assert warn_of_collapse(measurement.model, measurement, least_sqnr_db=90)
    assert str(caught[0].message) == (
        f"Small does not survive this quantization: its result is at {measurement.output_sqnr_db:.1f} dB, expected 90 "
        f"dB or more on 4 images. Worst layers, each quantized alone: {worst}. {remedy}"
    )
    with on_command_line(), hearing() as heard:  # who has no Python at hand is told the options
        assert warn_of_collapse(measurement.model, measurement, least_sqnr_db=90)
    assert str(heard[0]).endswith(f" each quantized alone: {worst}. {command}")
    with pytest.warns(PrecisionWarning) as caught:
        assert warn_of_collapse(measurement.model, measurement, least_agreement=1.1)
    start = "Small does not survive this quantization: the top class stays for "
    text = str(caught[0].message)
    assert text.startswith(start)
    assert text.removeprefix(start).partition("%")[2].startswith(", expected 110% or more, on 4 images. Worst layers, ")


def test_collapsed_results_of_the_guides_way() -> None:
    scores = np.tile(np.array([[10, 12, 9]], np.float32), (4, 1))
    said = [
        (-scores, "its result is at -6.0 dB, expected 3 dB or more on 4 images"),
        (scores[:, [1, 0, 2]], "the top class stays for 0%, expected 50% or more, on 4 images"),
    ]
    for found, what in said:
        with pytest.warns(PrecisionWarning) as caught:
            assert warn_of_collapsed_outputs("tiny", scores, found)
        assert [str(warning.message) for warning in caught] == [
            f"tiny does not survive this quantization: {what}. Quantize with door='export' to see what each layer costs"
        ]
    assert not warn_of_collapsed_outputs("tiny", scores[:2], scores[:2, [1, 0, 2]])
    with on_command_line(), hearing() as heard:
        assert warn_of_collapsed_outputs("tiny", scores[:1], -scores[:1])
    assert [str(warning) for warning in heard] == [
        "tiny does not survive this quantization: its result is at -6.0 dB, expected 3 dB or more on 1 image. Deploy "
        "with --accurate, or with --door export, whose warning names the worst layers"
    ]
