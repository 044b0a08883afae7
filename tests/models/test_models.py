"""Whole networks: calibrated, quantized, interpreted, compiled; the last two must agree.

The table printed at the end is the state of the art here: which layers run in float, and how close to float the
outputs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

import pytest
from model_zoo import NAMES

from ectoolkit.testing.captured import Verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: models with layers that have no integer form
IN_FLOAT = {"vgg11_bn", "convnext_tiny", "yolo_like", "unet", "two_ends"}
#: the least SQNR of an output in dB
LEAST = 15


@pytest.mark.parametrize("name", NAMES)
def test_model(name: str, verdicts: Mapping[str, Future[Verdict]], table: list[Verdict]) -> None:
    verdict = verdicts[name].result()
    table.append(verdict)
    assert bool(verdict.float_layers) == (name in IN_FLOAT)
    assert min(verdict.sqnr_db) > LEAST
    if name in IN_FLOAT:
        assert verdict.equal >= 0.999
        assert verdict.apart <= 1
    else:
        assert verdict.equal == 1
