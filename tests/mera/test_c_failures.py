"""Each of EdgeCortix's failures, forced past the preflight: we survive, the error says it, the next build is well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mera_nets import PER_TENSOR, ConvNet, Net, conv, forced, traced, well
from torch import nn

from ectoolkit.errors import WorkerError

pytestmark = [pytest.mark.mera, pytest.mark.timeout(300)]

#: what ends the process or is refused there: the network, what the error says
FATAL: dict[str, tuple[Callable[[], tuple[Any, np.ndarray]], str]] = {
    "per-tensor weights": (lambda: traced(Net(conv(3, 8)), PER_TENSOR), "SIGABRT"),
    "hardtanh": (lambda: traced(Net(conv(3, 8), nn.Hardtanh(-0.5, 0.5))), "SIGABRT"),
    "grouped": (lambda: traced(Net(conv(3, 8), conv(8, 8, groups=2))), "compile failed: MeraError"),
    "leaky_relu": (lambda: traced(Net(conv(3, 8), nn.LeakyReLU(0.1))), "compile failed: NotImplementedError"),
    "named Conv": (lambda: traced(ConvNet(conv(3, 8))), "compile failed: AssertionError"),
}


@pytest.mark.parametrize("name", FATAL)
def test_forced(name: str, mera: Any, table: list[str]) -> None:
    make, words = FATAL[name]
    script, x = make()
    with pytest.raises(WorkerError, match=words) as caught:
        forced(script, x, "InterpreterHw")
    table.append(f"forced {name}: {str(caught.value).splitlines()[0][-150:]}")
    well()
