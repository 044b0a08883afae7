"""What a user may decide about quantization."""

from __future__ import annotations

from dataclasses import dataclass

from ectoolkit.errors import QuantizationError

METHODS = ("mse", "minmax")
WEIGHTS = ("per_channel", "per_tensor")
ACTIVATION_BITS = (8, 7)


@dataclass(frozen=True)
class QuantConfig:
    """Settings of a quantization.

    Attributes:
        method: how an activation's range is chosen from the calibration images: ``"mse"`` takes the range with the
            least squared error over a histogram, ``"minmax"`` the smallest and largest value seen.
        weights: ``"per_channel"`` (one scale for each output channel) or ``"per_tensor"``.
        activation_bits: 8 spreads the range over all codes 0..255; 7 over half of them, as fbgemm's default does to
            keep int16 sums of older CPUs from saturating. Values beyond the range still use the codes above 127.
        fuse: lists of module names to fuse (convolution, batch norm, ReLU), for modules without ``fuse_model`` whose
            layers do not follow each other in an ``nn.Sequential``.
    """

    method: str = "mse"
    weights: str = "per_channel"
    activation_bits: int = 8
    fuse: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("method", METHODS), ("weights", WEIGHTS), ("activation_bits", ACTIVATION_BITS)):
            if getattr(self, name) not in allowed:
                raise QuantizationError(
                    f"{name} is {getattr(self, name)!r}, expected {' or '.join(repr(value) for value in allowed)}"
                )
        object.__setattr__(self, "fuse", tuple(tuple(group) for group in self.fuse))

    @classmethod
    def guide(cls) -> QuantConfig:
        """The U50 guide's setting: ``torch.ao.quantization.get_default_qconfig('fbgemm')``."""
        return cls(method="mse", weights="per_channel", activation_bits=7)
