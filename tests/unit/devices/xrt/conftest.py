"""The ways to XRT: its C library, and pyxrt old and new (a stand-in, for pyxrt is on no package index)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.devices.xrt import Board
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.testing.virtual_u50 import VirtualBoard

STAND_IN = Path(__file__).parents[3] / "helpers" / "stand_in"


@pytest.fixture(params=["ctypes", "pyxrt 2.13", "pyxrt 2.23"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The backend's name; pyxrt is found by the child as an installed one would be."""
    name, _, version = str(request.param).partition(" ")
    if version:
        monkeypatch.syspath_prepend(str(STAND_IN))
        monkeypatch.setenv("ECTOOLKIT_PYXRT_API", version)
    return name


@pytest.fixture
def board(virtual: VirtualBoard) -> Iterator[Board]:
    """Open, through the C library, with the virtual board's own xclbin."""
    with Board("0", backend="ctypes") as opened:
        opened.load(virtual.xclbin)
        yield opened


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Of the residual network, whose one output is 2-D: its references are in the graph's layout."""
    graph = residual_graph()
    return ect.build(graph, tmp_path_factory.mktemp("board") / "deploy", reference_input=example_input(graph))
