"""How near a quantized network's results are to those of the network that it stands for, in a word.

The thresholds are judgements, not laws; `docs/verdicts.md` states them.
"""

from __future__ import annotations

import enum

#: below, a third of what comes out and more is error: nothing of the network is left
LEAST_SQNR_DB = 3.0
#: of a classifier's images, the share whose top-1 must stay, or nothing is left
LEAST_AGREEMENT = 0.5
#: fewer images cannot show a collapse by their classes
AGREEMENT_IMAGES = 4
#: from here on the error has a tenth of the result's power or less
CLOSE_SQNR_DB = 10.0
#: of a classifier's images, the share whose top-1 stays where results are close
CLOSE_AGREEMENT = 0.9


class Grade(enum.StrEnum):
    """From the best to the worst."""

    CLOSE = "close"
    FAR = "far"
    COLLAPSED = "collapsed"


def grade(
    sqnr_db: float, top1_agreement: float = float("nan"), images: int = 0, least_sqnr_db: float = LEAST_SQNR_DB
) -> Grade:
    """Judge results.

    Args:
        sqnr_db: of the results against those they stand for, decibels.
        top1_agreement: share of images whose top class stays; NaN where the results are no scores.
        images: how many that were.
        least_sqnr_db: below, they have collapsed.
    """
    flipped = top1_agreement < LEAST_AGREEMENT and images >= AGREEMENT_IMAGES
    if not sqnr_db >= least_sqnr_db or flipped:
        return Grade.COLLAPSED
    if sqnr_db < CLOSE_SQNR_DB or top1_agreement < CLOSE_AGREEMENT:
        return Grade.FAR
    return Grade.CLOSE
