"""A network of two layers, quantized in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.widgets.cards import card_of

pytest.register_assert_rewrite("parity_shown", "parity_walk", "session_state")


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.body(self.quant(x)))


def _tiny() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny().eval()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 3, 16, 16)).astype(np.float32)


@pytest.fixture
def make_flow(images: np.ndarray) -> Callable[..., ect.Flow]:
    """A flow of the network; the calibration is `images` unless given."""
    return lambda calibration=images: ect.Flow(_tiny(), calibration=calibration)


@pytest.fixture
def flow(make_flow: Callable[..., ect.Flow]) -> ect.Flow:
    return make_flow()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook: there is somebody to carry messages."""

    class Shell:
        kernel = object()

    monkeypatch.setattr("ectoolkit.widgets.cards.get_ipython", Shell)


@pytest.fixture
def press() -> Callable[[Any], Any]:
    """Press a stage's Run button and wait; returns the card."""

    def run(stage: Any) -> Any:
        card = card_of(stage)
        card.run_button.click()
        card.wait(60)
        return card

    return run
