"""Times of repeated runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Latency:
    """Times of repeated runs, in host seconds.

    Attributes:
        runs: how many were timed.
        mean_s, p50_s, p99_s: mean, median, 99th percentile.
        seconds: each run's, in order; empty where they were not kept.
    """

    runs: int
    mean_s: float
    p50_s: float
    p99_s: float
    seconds: tuple[float, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Of the times of single runs, at least one."""
        p50, p99 = np.percentile(seconds, [50, 99])
        return cls(len(seconds), float(np.mean(seconds)), float(p50), float(p99), tuple(seconds))

    @property
    def p95_s(self) -> float:
        """95th percentile; NaN where single runs were not kept."""
        return float(np.percentile(self.seconds, 95)) if self.seconds else float("nan")

    def __str__(self) -> str:
        return (
            f"latency over {self.runs} runs: mean {self.mean_s * 1e3:.3f} ms, "
            f"p50 {self.p50_s * 1e3:.3f} ms, p99 {self.p99_s * 1e3:.3f} ms"
        )
