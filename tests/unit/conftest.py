"""What tests of several rooms share: a real model is loaded and calibrated once."""

from __future__ import annotations

import pytest

import ectoolkit as ect
from ectoolkit.data import ImageSet
from ectoolkit.quantization.calibrated import Calibrated, calibrate


@pytest.fixture(scope="session")
def lite0_photos() -> ImageSet:
    """80 photos as EfficientNet-Lite0 takes them: 20 labelled, 32 for calibration, the rest unseen."""
    return ect.sample_photos(80).with_preprocess(ect.load_model("efficientnet_lite0").preprocess)


@pytest.fixture(scope="session")
def lite0(lite0_photos: ImageSet) -> Calibrated:
    """EfficientNet-Lite0 with its real weights, calibrated on 32 photos."""
    return calibrate(ect.load_model("efficientnet_lite0").module, lite0_photos[20:52])
