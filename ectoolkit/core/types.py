"""What describes a tensor: its shape and layout, and the integer grid its numbers lie on."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from ectoolkit.errors import GraphError, QuantizationError


class Layout(enum.StrEnum):
    """Order of a tensor's axes: N batch, C channels, H rows, W columns, O and I output and input channels."""

    NCHW = "NCHW"
    NHWC = "NHWC"
    NC = "NC"
    OIHW = "OIHW"
    OI = "OI"
    C = "C"
    ANY = "ANY"

    @classmethod
    def of_activation(cls, rank: int) -> Layout:
        """The layout of a graph's activation of this rank: NCHW where 4-D, NC where 2-D."""
        return {4: cls.NCHW, 2: cls.NC}.get(rank, cls.ANY)


class Rounding(enum.StrEnum):
    """How a real number becomes an integer; the names mean what they say, whatever a backend calls them.

    | value  | HALF_EVEN | HALF_AWAY_FROM_ZERO | HALF_TOWARD_POS_INF | FLOOR | TRUNCATE |
    |--------|-----------|---------------------|---------------------|-------|----------|
    | -1.5   | -2        | -2                  | -1                  | -2    | -1       |
    | -0.5   | 0         | -1                  | 0                   | -1    | 0        |
    | 0.5    | 0         | 1                   | 1                   | 0     | 0        |
    | 2.5    | 2         | 3                   | 3                   | 2     | 2        |
    """

    HALF_EVEN = "half_even"
    HALF_AWAY_FROM_ZERO = "half_away_from_zero"
    HALF_TOWARD_POS_INF = "half_toward_pos_inf"
    FLOOR = "floor"
    TRUNCATE = "truncate"


@dataclass(frozen=True)
class TensorSpec:
    """Shape, dtype and layout of a tensor.

    Attributes:
        shape: extents, in the order of `layout`.
        dtype: numpy name: ``"uint8"`` codes, ``"int8"`` weights, ``"int32"`` biases and accumulators,
            ``"float32"`` reals.
        layout: order of the axes.
    """

    shape: tuple[int, ...]
    dtype: str
    layout: Layout

    def __post_init__(self) -> None:
        if any(extent < 1 for extent in self.shape):
            raise GraphError(f"shape {self.shape} has an extent below 1; every axis needs at least one element")

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __str__(self) -> str:
        return f"{self.dtype} {'×'.join(map(str, self.shape))} {self.layout}"


@dataclass(frozen=True, eq=False)
class QuantParams:
    """The grid of a quantized tensor: ``real = scale * (quantized - zero_point)``.

    Attributes:
        scale: float32, shape ``()`` for one scale or ``(channels,)`` along `axis`; real units per step, > 0.
        zero_point: the integer that stands for real 0.
        quant_min: smallest integer in use.
        quant_max: largest integer in use.
        axis: the axis that `scale` runs along, None for one scale.
    """

    scale: np.ndarray
    zero_point: int
    quant_min: int
    quant_max: int
    axis: int | None = None

    def __post_init__(self) -> None:
        scale = np.asarray(self.scale, dtype=np.float32)
        scale.setflags(write=False)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "zero_point", int(self.zero_point))
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            worst = scale[~(np.isfinite(scale) & (scale > 0))].ravel()[0]
            raise QuantizationError(f"a scale must be finite and positive, got {worst}; look at the calibration data")
        if (scale.ndim == 0) != (self.axis is None) or scale.ndim > 1:
            raise QuantizationError(f"a scale of shape {scale.shape} does not fit axis {self.axis}")
        if not self.quant_min <= self.zero_point <= self.quant_max:
            raise QuantizationError(
                f"zero_point {self.zero_point} lies outside [{self.quant_min}, {self.quant_max}], the integers in use"
            )

    @classmethod
    def uint8(cls, scale: float, zero_point: int) -> QuantParams:
        """Activation codes 0..255 with one scale."""
        return cls(np.asarray(scale, np.float32), zero_point, 0, 255)

    @classmethod
    def int8_weight(cls, scale: np.ndarray) -> QuantParams:
        """Symmetric weights -128..127, one scale for each output channel; `scale`: float32 ``(channels,)``."""
        return cls(np.asarray(scale, np.float32), 0, -128, 127, axis=0)

    @classmethod
    def int32(cls, scale: np.ndarray, axis: int) -> QuantParams:
        """Biases and accumulators: int32, zero point 0, scale ``(channels,)`` along `axis`."""
        return cls(np.asarray(scale, np.float32), 0, -(2**31), 2**31 - 1, axis=axis)

    @property
    def scalar(self) -> np.float32:
        """The one scale.

        Raises:
            QuantizationError: there is one for each channel.
        """
        if self.axis is not None:
            raise QuantizationError(f"expected one scale, got {self.scale.size} along axis {self.axis}")
        return np.float32(self.scale)

    @property
    def bit_width(self) -> int:
        """Bits that hold quant_min..quant_max."""
        return int(self.quant_max - self.quant_min).bit_length()

    @property
    def per_channel(self) -> bool:
        """True where each channel has its own scale."""
        return self.axis is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QuantParams):
            return NotImplemented
        mine = (self.zero_point, self.quant_min, self.quant_max, self.axis)
        theirs = (other.zero_point, other.quant_min, other.quant_max, other.axis)
        return mine == theirs and np.array_equal(self.scale, other.scale)

    def __hash__(self) -> int:
        return hash((self.scale.tobytes(), self.zero_point, self.quant_min, self.quant_max, self.axis))

    def __repr__(self) -> str:
        scale = f"{float(self.scale):.6g}" if self.axis is None else f"<{self.scale.size} along axis {self.axis}>"
        return f"QuantParams(scale={scale}, zero_point={self.zero_point}, {self.quant_min}..{self.quant_max})"
