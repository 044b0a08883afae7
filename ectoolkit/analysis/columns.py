"""What the columns of tables are called, what they are measured in, and which end of them is the good one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Column:
    """How a column of a table is to be read.

    Attributes:
        label: for people, without the unit.
        unit: ``""`` where it is a count, a name or a share.
        better: ``"high"`` or ``"low"`` where one end of the column is the good one, ``""`` where it only tells size,
            None where its size means nothing.
    """

    label: str
    unit: str = ""
    better: str | None = None


#: endings that are units, the longest that fits counts
_UNITS = {
    "_db": "dB",
    "_ms": "ms",
    "_us": "µs",
    "_s": "s",
    "_w": "W",
    "_c": "°C",
    "_bytes": "bytes",
    "_mb": "MB",
    "_lsb": "codes",
}
_WORDS = {"sqnr": "SQNR", "psnr": "PSNR", "nmse": "NMSE", "macs": "MACs", "snr": "SNR"}
_REAL = "real"
_KNOWN = {
    "scale": ("scale", "real/code", None),
    "range_min": ("smallest", _REAL, None),
    "range_max": ("largest", _REAL, None),
    "minimum": ("minimum", _REAL, None),
    "maximum": ("maximum", _REAL, None),
    "mean": ("mean", _REAL, None),
    "weight_minimum": ("weight minimum", _REAL, None),
    "weight_maximum": ("weight maximum", _REAL, None),
    "weight_scale": ("weight scale", "real/code", None),
    "weight_scale_min": ("weight scale min", "real/code", None),
    "weight_scale_max": ("weight scale max", "real/code", None),
    "clip": ("clip", _REAL, None),
    "bits": ("bits", "", None),
    "weight_bits": ("weight bits", "", None),
    "macs": ("MACs", "", ""),
    "parameters": ("parameters", "", ""),
    "saturated_low": ("saturated low", "share", "low"),
    "saturated_high": ("saturated high", "share", "low"),
    "codes_used": ("codes used", "share", "high"),
    "bytes": ("size", "bytes", ""),
}
#: words of a column's name that tell its good end
_HIGH = ("sqnr", "psnr", "cosine", "score", "gain")
_LOW = ("nmse", "rmse", "err", "error", "mismatches")


def describe(name: str) -> Column:
    """How a column of this name is to be read; by its ending and words where it is none of the known."""
    if name in _KNOWN:
        return Column(*_KNOWN[name])
    ending = next((end for end in sorted(_UNITS, key=len, reverse=True) if name.endswith(end)), "")
    stem = name.removesuffix(ending) or name
    words = stem.split("_")
    better = "high" if any(word in _HIGH for word in words) else None
    if better is None:
        better = "low" if any(word in _LOW for word in words) else ("" if ending else None)
    return Column(" ".join(_WORDS.get(word, word) for word in words), _UNITS.get(ending, ""), better)


def extent(values: Iterable[float | None], better: str | None) -> list[Any]:
    """Between which values a column is shaded: ``[low, high, better]``; nothing where its finite values do not differ.

    A tenth of the values at the good end, where it has one, and a fiftieth at the other look alike: a layer at 140 dB
    must not make those at 20 and 30 dB look the same.
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if better is None or not finite or min(finite) == max(finite):
        return []
    shares = {"high": (0.02, 0.9), "low": (0.1, 0.98)}.get(better, (0.0, 1.0))
    low, high = (float(end) for end in np.quantile(finite, shares))
    return [low, high, better] if low < high else [float(min(finite)), float(max(finite)), better]


def strength(value: float | None, ends: Sequence[Any]) -> float | None:
    """How strongly a value is marked, 0 to 1: the bad end of `extent`, or a large size; None for no value."""
    if not ends or value is None or math.isnan(value):
        return None
    low, high, better = ends
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return 1 - share if better == "high" else share
