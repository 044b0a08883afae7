"""What decides one tensor's grid, resolved from the user's configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RangeSettings:
    """Settings of one activation; equal settings give equal grids.

    Attributes:
        method: key of `ectoolkit.quantization.methods.METHODS`.
        percentile: for that method, percent.
        bits: of the codes.
        symmetric: real 0 in the middle of the codes.
        clip: the range by hand, real units; None leaves it to the method.
        highest_zero_point: largest zero point allowed.
        open_end: values beyond the range use the codes up to 255, as on the accelerator, instead of being cut.
        spare: for ``"typical"``, how many times a typical image's range this one may have.
    """

    method: str = "typical"
    percentile: float = 99.99
    bits: int = 8
    symmetric: bool = False
    clip: tuple[float, float] | None = None
    highest_zero_point: int = 255
    open_end: bool = False
    spare: float = 1.5

    @property
    def levels(self) -> int:
        """The code that the range ends at."""
        return 2**self.bits - 1


@dataclass(frozen=True)
class WeightSettings:
    """Settings of one layer's weights.

    Attributes:
        granularity: ``"per_channel"`` or ``"per_tensor"``.
        bits: of the codes, sign included.
    """

    granularity: str = "per_channel"
    bits: int = 8

    @property
    def largest(self) -> int:
        """The largest code; the smallest is its negative."""
        return 2 ** (self.bits - 1) - 1
