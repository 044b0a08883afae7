"""What the build stage hands to EdgeCortix's compiler, which is not called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_numpy import IMAGES, Small
from torch import nn
from torch.ao.quantization import DeQuantStub, QuantStub

import ectoolkit as ect


class Stubbed(nn.Module):
    """The small network between stubs."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.conv, self.dequant = QuantStub(), nn.Conv2d(3, 8, 1), DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.conv(self.quant(x)))


@pytest.mark.parametrize("module", [Small, Stubbed])
def test_a_traced_module_goes_to_mera_as_it_was_traced(
    module: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("ectoolkit.workflow.stages.build.build", lambda *_, **options: given.update(options))
    flow = ect.Flow(module().eval(), calibration=IMAGES)
    quantized = flow.quantize.run().result
    flow.build.run("out", "mera:InterpreterHw", reference_input=IMAGES[:1])
    if module is Stubbed:
        assert given["torchscript"] is quantized.traced
    else:
        assert "torchscript" not in given
    assert given["calibration_sha256"] == quantized.calibration_sha256
