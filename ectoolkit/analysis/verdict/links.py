"""The links of the chain from the float model to the board, and what each must be.

*Close* links quantize: what counts is how far the result is.  *Equal* links compute the same integers twice: one
differing element breaks them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from ectoolkit.analysis.diffs import Diff
from ectoolkit.analysis.grades import CLOSE_AGREEMENT, CLOSE_SQNR_DB, LEAST_SQNR_DB, Grade, grade
from ectoolkit.core import metrics


class Must(enum.StrEnum):
    """What the two ends of a link must be."""

    CLOSE = "close"
    EQUAL = "equal"


#: what a broken link usually means, by what its ends must be and what stands at its far end
_CLOSE_MEANS = (
    "quantization took too much: look at the layer table for the first layer with a low SQNR, calibrate with images "
    "like yours, or keep that layer in float"
)
_EQUAL_MEANS = {
    "cpu": "the compiled library computes something else than the interpreter: a bug in ectoolkit, or a library that "
    "was built from another graph; build it again, and report it with the directory if it stays",
    "interpreter": "the same integers came out differently on this machine: damaged memory or a changed file",
    "mera": "EdgeCortix's compiler computes this layer differently: see the table of its failures in the documentation "
    "(zero points above 127, concatenations and adaptive pools on its Simulator)",
    "xrt": "the board got other bytes or computes something else: first the input proof, then a missed sync, the "
    "xclbin's build, and the board's memory",
    "rpc": "the far machine runs another library or another input: compare the hashes of both directories",
}
_EQUAL_ELSE = "the device computes something else than the interpreter, or was given something else"


@dataclass(frozen=True, eq=False)
class Link:
    """Two neighbours of the chain, compared.

    Attributes:
        source, target: their names.
        must: what they must be.
        ok: whether they are.
        diff: element by element.
        sqnr_db: of the target against the source, decibels.
        top1_agreement: share of images with the same top class; NaN where the outputs are no scores.
        images: how many there were.
        grade: how near they are, of ends that must be close; a link that holds may be far; None of others.
        least_sqnr_db: below, ends that must be close have collapsed.
    """

    source: str
    target: str
    must: Must
    ok: bool
    diff: Diff
    sqnr_db: float
    top1_agreement: float
    images: int = 0
    grade: Grade | None = None
    least_sqnr_db: float = LEAST_SQNR_DB

    @property
    def doubtful(self) -> bool:
        """True where it holds, and yet its ends are not close."""
        return self.ok and self.grade not in (None, Grade.CLOSE)

    @property
    def name(self) -> str:
        """As people write it."""
        return link_name(self.source, self.target)

    @property
    def meaning(self) -> str:
        """What a break here usually means; empty where the link holds."""
        if self.ok:
            return ""
        if self.must is Must.CLOSE:
            return _CLOSE_MEANS
        return _EQUAL_MEANS.get(self.target.partition(":")[0], _EQUAL_ELSE)

    @property
    def result(self) -> str:
        """What was found, in words."""
        if self.must is Must.CLOSE:
            scores = not np.isnan(self.top1_agreement)
            same = f"{round(self.top1_agreement * self.images)} of {self.images}" if scores else ""
            text = f"{self.sqnr_db:.1f} dB" + (f", top-1 agrees on {same}" if scores else "")
            if self.grade is Grade.CLOSE:
                return text
            of_images = f" with top-1 on {CLOSE_AGREEMENT:.0%}" if scores else ""
            close_db = max(CLOSE_SQNR_DB, self.least_sqnr_db)
            return f"{text}: {self.grade}, for close is {close_db:g} dB or more{of_images}"
        if self.ok:
            return f"{sum(tensor.elements for tensor in self.diff.tensors)} elements equal"
        return self.diff.summary().splitlines()[-1]

    def __str__(self) -> str:
        sign = "!" if self.doubtful else "✓" if self.ok else "✗"
        return f"{sign} {self.name}: must be {self.must}; {self.result}"


def link_name(source: str, target: str) -> str:
    """A link as people write it."""
    return f"{source} → {target}"


def link(
    source: str,
    target: str,
    must: Must,
    expected: list[np.ndarray],
    found: list[np.ndarray],
    diff: Diff,
    least_sqnr_db: float = LEAST_SQNR_DB,
) -> Link:
    """Judge a pair.

    Args:
        source, target: names.
        must: what they must be.
        expected: float32 outputs of the source.
        found: those of the target.
        diff: of both.
        least_sqnr_db: below, ends that must be close have collapsed.
    """
    flat = [np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays]) for arrays in (expected, found)]
    sqnr_db = metrics.sqnr_db(*flat)
    scores = len(expected) == 1 and expected[0].ndim == 2 and expected[0].shape[1] > 1
    agreement = metrics.agreement(expected[0], found[0]) if scores else float("nan")
    images = len(expected[0])
    if must is Must.EQUAL:
        return Link(source, target, must, bool(diff), diff, sqnr_db, agreement, images)
    found_grade = grade(sqnr_db, agreement, images, least_sqnr_db)
    ok = sqnr_db >= least_sqnr_db
    return Link(source, target, must, ok, diff, sqnr_db, agreement, images, found_grade, least_sqnr_db)
