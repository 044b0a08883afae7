"""Stage cards as a person uses them, on a network of two layers."""

from __future__ import annotations

from notebook_page import OpenNotebook
from playwright.sync_api import expect

FLOW = """
import numpy as np, torch, ectoolkit as ect
from torch import nn
class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2), nn.ReLU())
    def forward(self, x):
        return self.dequant(self.body(self.quant(x)))
images = np.random.default_rng(0).normal(size=(6, 3, 16, 16)).astype(np.float32)
flow = ect.Flow(Tiny().eval(), calibration=images)
"""


def test_run_button(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([FLOW + "flow.quantize"])
    card = notebook.card("quantize")
    card.locator("button.ect-run").click()
    expect(card.locator(".ect-head")).to_contain_text("done")
    notebook.shoot(card, "tiny-quantize-light")
