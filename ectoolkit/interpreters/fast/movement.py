"""Layers that only move or select elements."""

from __future__ import annotations

import numpy as np
import torch

from ectoolkit.core.ops.base import whole, wholes
from ectoolkit.core.ops.movement import places_of
from ectoolkit.interpreters.fast.layer import Form, Layer


def reshape(layer: Layer) -> Form:
    """Counted in the graph's order, whatever the order in memory."""
    shape = layer.output.spec.shape
    return Form(lambda x: x.reshape(shape), "moves", (0,))


def slice_(layer: Layer) -> Form:
    """A range along an axis."""
    axis, begin, end = (whole(layer.node, name) for name in ("axis", "begin", "end"))
    return Form(lambda x: x.narrow(axis, begin, end - begin), "moves", (0,))


def transpose(layer: Layer) -> Form:
    """Other axes."""
    order = wholes(layer.node, "order")
    return Form(lambda x: x.permute(order), "moves", (0,))


def gather(layer: Layer) -> Form:
    """Places along axes."""
    picked = {axis: torch.from_numpy(np.array(places)) for axis, places in places_of(layer.node).items()}

    def run(x: torch.Tensor) -> torch.Tensor:
        for axis, places in picked.items():
            x = x.index_select(axis, places)
        return x

    return Form(run, "moves", (0,))
