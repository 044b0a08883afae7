"""How far a candidate is from a reference.  Everything is computed in float64; ``e = x - y``.

Names are ectoolkit's own so that none can be mistaken: "SNR" elsewhere is linear here and decibels there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np


def _pair(reference: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(reference, np.float64).ravel(), np.asarray(candidate, np.float64).ravel()


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``20·log10(‖x‖ / ‖e‖)`` in decibels; +inf where equal, -inf where the reference is 0 and the candidate is not.

    Source:
        torch ``ao/ns/fx/utils.py``; onnxruntime ``qdq_loss_debug.py``.
    """
    x, y = _pair(reference, candidate)
    signal, noise = float(np.linalg.norm(x)), float(np.linalg.norm(x - y))
    if noise == 0:
        return float("inf")
    return float("-inf") if signal == 0 else float(20 * np.log10(signal / noise))


def cosine(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Cosine of the angle between the two; 1 where both are zero, 0 where one is.  Never NaN.

    Source:
        ai-edge-quantizer.
    """
    x, y = _pair(reference, candidate)
    lengths = float(np.linalg.norm(x)), float(np.linalg.norm(y))
    if 0.0 in lengths:
        return 1.0 if lengths == (0.0, 0.0) else 0.0
    return float(x @ y / (lengths[0] * lengths[1]))


def nmse(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``Σe² / Σx²``; 0 where equal, inf where only the reference is zero.

    Source:
        NNCF ``rank_functions.py``.
    """
    x, y = _pair(reference, candidate)
    signal, noise = float(x @ x), float((x - y) @ (x - y))
    if noise == 0:
        return 0.0
    return noise / signal if signal else float("inf")


def psnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``10·log10(range² / MSE)`` in decibels, range = max(x) - min(x); 100 where MSE is 0.

    Source:
        EdgeCortix MERA ``quantization_quality.py``: below 20 poor, 20-25 acceptable, 25-30 good, above 30 very good.
    """
    x, y = _pair(reference, candidate)
    mse = float(np.mean((x - y) ** 2))
    if mse == 0:
        return 100.0
    span = float(x.max() - x.min())
    return float(10 * np.log10(span**2 / mse)) if span else float("-inf")


def score(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``(1 - max|e| / range)·100`` in percent, range = max(x) - min(x); 100 where equal, -inf where the range is 0.

    Source:
        EdgeCortix MERA ``quantization_quality.py``.
    """
    x, y = _pair(reference, candidate)
    worst, span = float(np.abs(x - y).max()), float(x.max() - x.min())
    if worst == 0:
        return 100.0
    return (1 - worst / span) * 100 if span else float("-inf")


def max_abs_err(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Largest ``|e|``, in the arrays' unit."""
    x, y = _pair(reference, candidate)
    return float(np.abs(x - y).max())


def mean_abs_err(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Mean ``|e|``, in the arrays' unit."""
    x, y = _pair(reference, candidate)
    return float(np.abs(x - y).mean())


def rmse_over_scale(reference: np.ndarray, candidate: np.ndarray, scale: float) -> float:
    """``√MSE / scale``; a well-set layer sits near 1/√12 ≈ 0.289, above 0.7 is suspicious.

    Source:
        TFLite quantization debugger.
    """
    x, y = _pair(reference, candidate)
    return float(np.sqrt(np.mean((x - y) ** 2)) / scale)


def agreement(reference: np.ndarray, candidate: np.ndarray, k: int = 1) -> float:
    """Share of images whose reference top-1 is among the candidate's top `k`; scores are ``(images, classes)``."""
    best = np.asarray(reference).argmax(axis=1)
    top = np.argsort(-np.asarray(candidate, np.float64), axis=1, kind="stable")[:, :k]
    return float((top == best[:, None]).any(axis=1).mean())


@dataclass(frozen=True)
class ErrorSums:
    """What one pass over a pair of tensors leaves, enough for every measure above; sums of parts add up with ``+``.

    Attributes:
        count: elements.
        signal: Σx².
        noise: Σe².
        square: Σy².
        absolute: Σ|e|.
        largest: max|e|.
        minimum, maximum: of x.
        low, high: candidate's elements at the ends of its grid; NaN where it has none or nobody counted.
    """

    count: int = 0
    signal: float = 0.0
    noise: float = 0.0
    square: float = 0.0
    absolute: float = 0.0
    largest: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, reference: np.ndarray, candidate: np.ndarray) -> ErrorSums:
        """The sums of two arrays of one size, in float64."""
        x, y = _pair(reference, candidate)
        e = x - y
        absolute = np.abs(e)
        return cls(
            x.size,
            float(x @ x),
            float(e @ e),
            float(y @ y),
            float(absolute.sum()),
            float(absolute.max(initial=0)),
            float(x.min(initial=math.inf)),
            float(x.max(initial=-math.inf)),
        )

    def __add__(self, other: ErrorSums) -> ErrorSums:
        """The sums over both; one of no elements changes nothing."""
        if not self.count or not other.count:
            return self if self.count else other
        joined = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        joined["largest"] = max(self.largest, other.largest)
        joined["minimum"] = min(self.minimum, other.minimum)
        joined["maximum"] = max(self.maximum, other.maximum)
        return ErrorSums(**joined)

    @property
    def sqnr_db(self) -> float:
        """As `sqnr_db`, decibels."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    @property
    def cosine(self) -> float:
        """As `cosine`."""
        if self.signal == 0 or self.square == 0:
            return 1.0 if self.signal == self.square else 0.0
        product = (self.signal + self.square - self.noise) / 2  # x·y, by e² = x² - 2xy + y²
        return product / math.sqrt(self.signal * self.square)

    @property
    def nmse(self) -> float:
        """As `nmse`."""
        if self.noise == 0:
            return 0.0
        return self.noise / self.signal if self.signal else math.inf

    @property
    def mse(self) -> float:
        """Mean e², in the arrays' unit squared; NaN of nothing."""
        return self.noise / self.count if self.count else math.nan

    @property
    def psnr_db(self) -> float:
        """As `psnr_db`, decibels."""
        if self.noise == 0:
            return 100.0
        span = self.maximum - self.minimum
        return 10 * math.log10(span**2 / self.mse) if span else -math.inf

    @property
    def score(self) -> float:
        """As `score`, percent."""
        if self.largest == 0:
            return 100.0
        span = self.maximum - self.minimum
        return (1 - self.largest / span) * 100 if span else -math.inf

    @property
    def max_abs_err(self) -> float:
        """As `max_abs_err`, in the arrays' unit."""
        return self.largest

    @property
    def mean_abs_err(self) -> float:
        """As `mean_abs_err`, in the arrays' unit; NaN of nothing."""
        return self.absolute / self.count if self.count else math.nan

    @property
    def saturated_low(self) -> float:
        """Share of the candidate's elements at the smallest value of its grid; NaN where not counted."""
        return self.low / self.count if self.count else math.nan

    @property
    def saturated_high(self) -> float:
        """Share of the candidate's elements at the largest value of its grid; NaN where not counted."""
        return self.high / self.count if self.count else math.nan

    def rmse_over_scale(self, scale: float) -> float:
        """As `rmse_over_scale`."""
        return math.sqrt(self.mse) / scale
