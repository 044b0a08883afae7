"""What the columns of tables are called, what they are measured in, and which end of them is the good one."""

from __future__ import annotations

from dataclasses import dataclass


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
