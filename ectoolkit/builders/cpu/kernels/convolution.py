"""What all convolutions share, their shapes; and the end of grouped ones, LANES channels at a time."""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.expressions import LANES, requantize_to_code


@dataclass(frozen=True)
class ConvSpec:
    """Shape and settings of one convolution; whatever is a grid comes as an array, so that equal shapes share a kernel.

    Attributes:
        x: input ``(N, H, W, C)``.
        weight: ``(O, C / groups, KH, KW)``.
        stride, dilation: rows, columns.
        padding: above and left of each image.
        groups: of channels.
        rank: of input and output, 4 or 2.
        epilogue: ``"codes"`` (fixed point), ``"accumulator"`` (raw int32) or ``"host"`` (float32 rounding).
        padding_after: below and right of each image; as `padding` where None.
    """

    x: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    rank: int
    epilogue: str
    padding_after: tuple[int, int] | None = None

    @property
    def output(self) -> tuple[int, int, int, int]:
        """``(N, rows, columns, O)``."""
        n, h, w, _ = self.x
        o, _, kh, kw = self.weight
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.padding, self.dilation
        below, right = self.padding_after or self.padding
        tall, wide = h + ph + below, w + pw + right
        return (n, (tall - dh * (kh - 1) - 1) // sh + 1, (wide - dw * (kw - 1) - 1) // sw + 1, o)

    @property
    def output_dtype(self) -> str:
        return "int32" if self.epilogue == "accumulator" else "uint8"

    def shaped(self, shape: tuple[int, int, int, int]) -> tuple[int, ...]:
        """A shape as the graph's tensor has it: 2-D for linear layers."""
        return shape if self.rank == 4 else (shape[0], shape[3])


def finish(spec, acc, factors, grids, channel):
    """Sums of LANES channels, not of a linear layer, as the output has them.

    Args:
        spec: of the convolution.
        acc: int32 lanes, the bias not added.
        factors: bias, multiplier, shift: int32, one a channel.
        grids: int32: the input's code of real 0; the output's, its smallest and its largest.
        channel: first of the lanes.
    """
    lanes = T.Ramp(channel, 1, LANES)
    total = acc + factors[0][lanes]
    if spec.epilogue == "accumulator":
        return total
    codes = requantize_to_code(total, factors[1][lanes], factors[2][lanes], grids[1], grids[2], grids[3])
    return T.Cast(f"uint8x{LANES}", codes)
