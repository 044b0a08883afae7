"""What stands around the first differing element: both sides' codes, as a small table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit.analysis.frames import frame

if TYPE_CHECKING:
    import pandas as pd

#: rows above and below the element, columns left and right of it
ROWS, COLUMNS_ASIDE = 2, 3
COLUMNS = ("row", "column", "candidate", "reference", "difference")


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A window into one image and channel of a layer.

    Attributes:
        at: index of the element in the middle, ``(n, c, h, w)`` where 4-D.
        image: position of its image.
        axes: what rows and columns count: ``("h", "w")``; ``("n", "c")`` where 2-D.
        rows, columns: their indices in the layer.
        candidate, reference: codes, or real numbers where the layer makes those, ``(rows, columns)``.
    """

    at: tuple[int, ...]
    image: int
    axes: tuple[str, str]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    candidate: np.ndarray
    reference: np.ndarray

    @property
    def place(self) -> str:
        """The image and channel, for a caption."""
        return f"image {self.image}" + (f", channel {self.at[1]}" if len(self.at) == 4 else "")

    @property
    def difference(self) -> np.ndarray:
        """candidate - reference, in codes (int64) or real units (float64)."""
        kind = np.int64 if self.candidate.dtype.kind in "iu" else np.float64
        return self.candidate.astype(kind) - self.reference.astype(kind)

    def to_frame(self) -> pd.DataFrame:
        """One row an element.  Columns: ``row``, ``column``; ``candidate``, ``reference``; their ``difference``."""
        found = zip(self.candidate.ravel(), self.reference.ravel(), self.difference.ravel(), strict=True)
        places = ((row, column) for row in self.rows for column in self.columns)
        return frame(
            (dict(zip(COLUMNS, (*place, *numbers), strict=True)) for place, numbers in zip(places, found, strict=True)),
            COLUMNS,
        )


def around(candidate: np.ndarray, reference: np.ndarray, at: tuple[int, ...], image: int) -> Neighbourhood:
    """The window around an element.

    Args:
        candidate, reference: of the whole layer, one shape with at least two axes.
        at: the element.
        image: position of its image among all, where `candidate` holds some of them.
    """
    rows = _near(at[-2], candidate.shape[-2], ROWS if candidate.ndim > 2 else 0)
    columns = _near(at[-1], candidate.shape[-1], COLUMNS_ASIDE)
    window: Any = (*at[:-2], slice(rows.start, rows.stop), slice(columns.start, columns.stop))
    axes = ("h", "w") if candidate.ndim == 4 else ("n", "c") if candidate.ndim == 2 else ("row", "column")
    return Neighbourhood(at, image, axes, tuple(rows), tuple(columns), candidate[window], reference[window])


def _near(place: int, size: int, radius: int) -> range:
    """Indices around a place, as many as there are."""
    return range(max(0, place - radius), min(size, place + radius + 1))
