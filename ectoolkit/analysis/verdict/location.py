"""Where two results part: the layer, the element, and how they differ there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.verdict.neighbourhood import Neighbourhood, around

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("layer", "op", "image", "index", "candidate", "reference", "mismatches", "elements", "ties", "how", "note")


@dataclass(frozen=True, eq=False)
class Location:
    """The first layer that differs although everything it reads is equal.

    Attributes:
        layer: its name.
        op: its operation.
        index: of the first differing element, ``(n, c, h, w)`` where 4-D; n counts images.
        candidate, reference: codes there (real numbers where the layer makes those).
        mismatches, elements: how many differ, of how many.
        steps: how often each difference (candidate - reference, in steps of the output's grid) occurs.
        ties: of the differing elements, how many had an accumulator exactly between two codes; None where the layer
            has no accumulator, or the layer was seen on another grid than its own.
        how: ``"taps"``, or how many truncated graphs were run.
        found: the device's codes (or real numbers) of the whole layer.
        expected: those of the reference.
        note: what the search had to change, and what the numbers point to.
        images: positions of the images that were searched, which the first number of `index` counts; empty for all.
    """

    layer: str
    op: str
    index: tuple[int, ...]
    candidate: float
    reference: float
    mismatches: int
    elements: int
    steps: Mapping[int, int] = field(default_factory=dict)
    ties: int | None = None
    how: str = "taps"
    found: np.ndarray | None = field(default=None, repr=False)
    note: str = ""
    expected: np.ndarray | None = field(default=None, repr=False)
    images: tuple[int, ...] = ()

    @property
    def image(self) -> int:
        """Position of the image with the first difference."""
        return self.images[self.index[0]] if self.images else self.index[0]

    @property
    def channel(self) -> int:
        """Of the first difference; -1 where the layer has one number an image."""
        return self.index[1] if len(self.index) > 1 else -1

    @property
    def element(self) -> int:
        """Of the first difference, the flat index within its own image; -1 where the layer was not kept."""
        if self.found is None or len(self.index) < 2:
            return -1
        return int(np.ravel_multi_index(self.index[1:], self.found.shape[1:]))

    def __str__(self) -> str:
        text = (
            f"{self.layer} ({self.op}) is the first layer that differs: {self.mismatches} of {self.elements} elements, "
            f"first at {self.index}: {self.candidate:g}, expected {self.reference:g}"
        )
        if self.images:
            text += f" (of image {self.image}; searched on images {', '.join(map(str, self.images))})"
        return f"{text}. {self.note}" if self.note else text

    def to_frame(self) -> pd.DataFrame:
        """One row.

        Columns: ``layer``; ``op``; ``image`` of the first differing element and its ``index`` as text; ``candidate``
        and ``reference`` there; ``mismatches`` of ``elements``; ``ties``; ``how``; ``note``.
        """
        row = {name: getattr(self, name) for name in COLUMNS if hasattr(self, name)}
        return frame([row | {"image": self.image, "index": str(self.index)}], COLUMNS)

    def neighbourhood(self) -> Neighbourhood | None:
        """What stands around the first differing element; None where the layer was not kept."""
        if self.found is None or self.expected is None:
            return None
        return around(self.found, self.expected, self.index, self.image)

    def histogram(self) -> pd.DataFrame:
        """Columns: ``lsb`` candidate - reference in steps of the output's grid, ``elements`` with that difference."""
        return frame(({"lsb": k, "elements": v} for k, v in sorted(self.steps.items())), ("lsb", "elements"))


def steps_between(candidate: np.ndarray, reference: np.ndarray) -> dict[int, int]:
    """How often each non-zero difference of codes occurs."""
    difference = candidate.astype(np.int64) - reference.astype(np.int64)
    found, counts = np.unique(difference[difference != 0], return_counts=True)
    return {int(step): int(count) for step, count in zip(found, counts, strict=True)}
