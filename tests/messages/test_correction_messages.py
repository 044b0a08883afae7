"""The full text of every error of ectoolkit.quantization.corrections, so that each one is known to render."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from messages import message_of
from torch import nn

from ectoolkit.errors import InputError, QuantizationError
from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.corrections import correct_bias, equalize, round_adaptively
from ectoolkit.quantization.derivation import Deriver
from ectoolkit.quantization.scheme import Scheme

IMAGES = np.ones((1, 3, 4, 4), np.float32)


def prepared() -> tuple[FloatNetwork, Scheme]:
    network = capture(nn.Conv2d(3, 2, 1).eval(), [(1, 3, 4, 4)], name="Net")
    return network, Deriver(network, Collector(network).run(IMAGES)).derive(QuantConfig())


@pytest.mark.parametrize(("correct", "what"), [(correct_bias, "bias correction"), (round_adaptively, "AdaRound")])
def test_no_image(correct: Callable[..., object], what: str) -> None:
    assert message_of(lambda: correct(*prepared(), []), QuantizationError) == (
        f"{what} got no image, expected at least one; give calibration images, best 16 or more"
    )


@pytest.mark.parametrize("correct", [correct_bias, round_adaptively])
def test_images_of_another_shape(correct: Callable[..., object]) -> None:
    images = [(np.ones((1, 3, 5, 5), np.float32),)]
    assert message_of(lambda: correct(*prepared(), images), InputError) == (
        "Net was captured for images of shape (3, 4, 4), got (3, 5, 5); resize them"
    )


def test_statistics_of_another_network() -> None:
    network = prepared()[0]
    other = capture(nn.Conv2d(3, 2, 1).eval(), [(1, 3, 4, 4)])
    statistics = Collector(other).run(IMAGES)
    assert message_of(lambda: equalize(network, statistics), QuantizationError) == (
        "the statistics are of another network than Net, or of other weights: they name "
        f"{other.sha256[:12]}, the network is {network.sha256[:12]}. Collect them again"
    )
