"""What quantization decided for each tensor: the one thing that an integer graph needs beside the float network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ectoolkit.core.types import QuantParams


@dataclass(frozen=True, eq=False)
class WeightScheme:
    """A layer's weights as integers.

    Attributes:
        codes: int8, OIHW or OI; within ``±(2**(bits - 1) - 1)``.
        scales: float32 ``(out_channels,)``, real units a code.
    """

    codes: np.ndarray
    scales: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """float32 ``codes * scales``: the weights that the integer layer computes with."""
        real = self.codes.astype(np.float32)  # first, so that the product needs no conversion on the way
        real *= self.scales.reshape(-1, *[1] * (self.codes.ndim - 1))
        return real


@dataclass(frozen=True, eq=False)
class LayerScheme:
    """One layer, or one input of the network.

    Attributes:
        grid: of the layer's output; None where it keeps its first input's, or stays float.
        weight: None for layers without weights and for those kept in float.
        bias: float32 ``(out_channels,)`` or None.
        keep_float: True where the layer runs in float although it has an integer form.
    """

    grid: QuantParams | None = None
    weight: WeightScheme | None = None
    bias: np.ndarray | None = None
    keep_float: bool = False


@dataclass(frozen=True, eq=False)
class Scheme:
    """All layers.

    Attributes:
        layers: by name of layer or network input.
        hardware: ``"dna"`` where the accelerator's arithmetic is wanted throughout, ``""`` where the most precise is.
    """

    layers: Mapping[str, LayerScheme]
    hardware: str = ""

    def __getitem__(self, name: str) -> LayerScheme:
        return self.layers[name]
