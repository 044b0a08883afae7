"""What some output positions of a layer with weights are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.frontends.exported import FloatLayer


def drawn(shape: Sequence[int], count: int, seed: int) -> np.ndarray:
    """Positions of a layer's output, drawn without repetition.

    Args:
        shape: of the output, ``(rows, channels)`` or ``(1, channels, H, W)``.
        count: how many at most.
        seed: equal seeds give equal positions.

    Returns:
        int64 ``(positions,)``: rows, or indices into ``H·W``; in rising order.
    """
    there = int(np.prod(shape[2:])) if len(shape) == 4 else int(shape[0])
    if there <= count:
        return np.arange(there)
    return np.sort(np.random.default_rng(seed).choice(there, count, replace=False))


def outputs_at(value: Any, positions: np.ndarray) -> Any:
    """A layer's result at positions: torch ``(positions, channels)``, of its own memory."""
    torch = require("torch", feature="AdaRound")
    rows = value.flatten(2)[0].T if value.ndim == 4 else value
    return rows[torch.from_numpy(positions)].contiguous()


def inputs_at(layer: FloatLayer, x: Any, width: int, positions: np.ndarray) -> Any:
    """What the layer's weights are multiplied with at positions of its output.

    Args:
        layer: a ``linear`` or ``conv2d``.
        x: its input, torch float32 ``(rows, features)`` or ``(1, C, H, W)``.
        width: of its output; 1 for a ``linear``.
        positions: int64, from `drawn`.

    Returns:
        torch float32 ``(groups, positions, fan_in)``, `fan_in` in the order of the weights' own axes.
    """
    torch = require("torch", feature="AdaRound")
    chosen = torch.from_numpy(positions)
    if layer.op == "linear":
        return x[chosen][None]
    a: Any = layer.attributes
    assert layer.weight is not None  # patches are of layers with weights
    (top, left), (down, right), (rows, columns) = a["padding"], a["stride"], layer.weight.shape[2:]
    padded = torch.nn.functional.pad(x, (left, left, top, top))[0]
    row = (chosen // width * down)[:, None, None] + torch.arange(rows)[:, None] * a["dilation"][0]
    column = (chosen % width * right)[:, None, None] + torch.arange(columns) * a["dilation"][1]
    taken = padded[:, row, column]  # (C, positions, rows, columns)
    grouped = taken.reshape(a["groups"], -1, len(chosen), rows * columns)
    return grouped.transpose(1, 2).reshape(a["groups"], len(chosen), -1).contiguous()
