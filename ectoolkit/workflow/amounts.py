"""How large a network is, in units that leave digits to read."""

from __future__ import annotations

#: fewer than these are not told in the larger unit
_MANY_PARAMETERS, _MANY_MACS, _SOME_MACS = 100_000, 50_000_000, 50_000


def parameters_text(count: int) -> str:
    """Such as "3.5 M parameters" or "10,170 parameters"."""
    return f"{count / 1e6:.1f} M parameters" if count >= _MANY_PARAMETERS else f"{count:,} parameters"


def macs_text(count: int) -> str:
    """Such as "0.30 GMAC", "1.48 MMAC" or "2,304 MAC"."""
    if count < _SOME_MACS:
        return f"{count:,} MAC"
    return f"{count / 1e9:.2f} GMAC" if count >= _MANY_MACS else f"{count / 1e6:.2f} MMAC"
