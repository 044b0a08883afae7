"""Deployments that every device must run, and every device that runs here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ectoolkit.builders import build
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.testing.networks import example_input, island_graph, residual_graph, two_ended_graph

STAND_IN = Path(__file__).parents[1] / "helpers" / "stand_in"
#: a board of XRT is the virtual one; once through XRT's C library, once through a stand-in for pyxrt
DEVICES = ["cpu", "interpreter", "xrt:0", "xrt:0 through pyxrt"]
BUILDS = [
    ("residual", "NHWC"),
    ("residual", "NCHW"),
    ("batch of two", "NHWC"),
    ("two ends", "NHWC"),
    ("two ends", "NCHW"),
    ("island", "NHWC"),
    ("island", "NCHW"),
]


@dataclass(frozen=True)
class Built:
    """A deployment with what it was made from."""

    deployment: Deployment
    graph: Graph
    x: dict[str, np.ndarray]


def make(name: str, layout: str, factory: pytest.TempPathFactory) -> Built:
    graphs = {"residual": residual_graph, "batch of two": partial(residual_graph, 2), "two ends": two_ended_graph}
    graph = {**graphs, "island": island_graph}[name]()
    x = example_input(graph)
    out = factory.mktemp("built") / "deploy"
    return Built(build(graph, out, reference_input=x, layout=layout), graph, x)


@pytest.fixture(scope="session", params=BUILDS, ids=lambda p: f"{p[0]} {p[1]}")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return make(*request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return make("residual", "NHWC", tmp_path_factory)


@pytest.fixture(params=DEVICES)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a device."""
    device, _, way = str(request.param).partition(" through ")
    if device.startswith("xrt"):
        request.getfixturevalue("virtual")
    if way:
        monkeypatch.syspath_prepend(str(STAND_IN))
        monkeypatch.setenv("ECTOOLKIT_PYXRT_API", "2.23")
    return device
