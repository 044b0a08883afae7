"""What the preparation of a layer is given and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ectoolkit.core.graph import Node, Value

#: what runs a layer: its tensors in, its tensor out
Run = Callable[..., torch.Tensor]


@dataclass(frozen=True, eq=False)
class Layer:
    """A node with what is known of it before it runs.

    Attributes:
        node: the layer.
        inputs: what it reads.
        output: what it makes.
        constants: the inputs' arrays, None for activations.
        bounds: the largest magnitude of each input, for a raw accumulator one a channel: int64 ``(channels,)``.
    """

    node: Node
    inputs: Sequence[Value]
    output: Value
    constants: Sequence[np.ndarray | None]
    bounds: Sequence[np.ndarray | int]


@dataclass(frozen=True, eq=False)
class Form:
    """A fast form of a layer.

    Attributes:
        run: takes the tensors at `reads`, in order.
        name: for people.
        reads: positions among the node's inputs; the rest went into the form.
    """

    run: Run
    name: str
    reads: tuple[int, ...]


#: gives the fast form of a layer, None where it has none
Prepare = Callable[[Layer], Form | None]
