"""Models are loaded once: reading weights and building modules is most of these tests' time."""

from __future__ import annotations

import pytest

from ectoolkit.data import LoadedModel, load_model


@pytest.fixture(scope="session")
def mobilenet() -> LoadedModel:
    return load_model("mobilenet_v2")


@pytest.fixture(scope="session")
def lite0() -> LoadedModel:
    return load_model("efficientnet_lite0")


@pytest.fixture(scope="session")
def shufflenet() -> LoadedModel:
    return load_model("torchvision/shufflenet_v2_x0_5", weights=None)
