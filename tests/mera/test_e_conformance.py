"""EdgeCortix's interpreter and simulator, put to the conformance suite of devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from mera_nets import SHAPE, Net, conv, traced
from torch import nn

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.testing.conformance import DeviceConformance
from ectoolkit.testing.networks import two_ended_graph

pytestmark = [pytest.mark.mera, pytest.mark.timeout(300), pytest.mark.usefixtures("mera")]


@cache
def small() -> Graph:
    """Two convolutions, as the U50 guide quantizes them; their compiler's file of it is written anew."""
    script, _ = traced(Net(conv(3, 8), nn.ReLU(), conv(8, 5)))
    return ect.import_torchscript(script, SHAPE)


#: their layout is NHWC, and nothing may be in float
GRAPHS: dict[str, Callable[[], Graph]] = {"small": small, "two ends": two_ended_graph}


class TheirDevice(DeviceConformance):
    """What both have in common."""

    graphs = GRAPHS
    cases = (("small", "NHWC"), ("two ends", "NHWC"))


class TestInterpreterHw(TheirDevice):
    """Bit for bit the reference, as they define it."""

    device = target = "mera:InterpreterHw"


class TestSimulator(TheirDevice):
    """The accelerator, cycle by cycle; it is wrong where zero points are above 127, as in the other graph."""

    device = target = "mera:Simulator"
    cases = (("small", "NHWC"),)
