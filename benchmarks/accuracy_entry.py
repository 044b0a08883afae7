"""What a row of ``accuracy.py`` is: a toolkit, and how it quantizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from contenders import Task

#: float32 ``(N, 3, H, W)`` to float32 ``(N, classes)``
Logits = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        name: as in the table.
        quantize: calibrates on a task's images and gives what runs.
        packages: whose absence is no failure.
    """

    name: str
    quantize: Callable[[Task], Logits]
    packages: tuple[str, ...] = ()


def one_by_one(run: Callable[[np.ndarray], Any]) -> Logits:
    """What runs one image, for many."""
    return lambda images: np.concatenate([np.asarray(run(image[None]), np.float32) for image in images])


def of_module(module: Any) -> Logits:
    """A torch module, image by image."""
    import torch

    def run(image: np.ndarray) -> Any:
        with torch.no_grad():
            return module(torch.from_numpy(image))

    return one_by_one(run)
