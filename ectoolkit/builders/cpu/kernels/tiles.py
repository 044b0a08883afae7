"""How a dense convolution is cut into register tiles: pixels × vectors of LANES output channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels.expressions import LANES

#: bytes of weights that a tile may leave in the second-level cache for the next
CACHED = 2**18


@dataclass(frozen=True)
class Tile:
    """A register tile.

    Attributes:
        pixels: neighbours in a row.
        vectors: of LANES output channels.
        pixels_first: whether all channels of some pixels are made before the next pixels (the weights stay in the
            cache), or all pixels of some channels before the next channels.
        pairs: how two vectors end together, see `pairs`: ``"apart"`` where even and odd lanes are rounded apart,
            ``"straight"`` where all at once, empty where they don't.
    """

    pixels: int
    vectors: int
    pixels_first: bool
    pairs: str = ""

    def __str__(self) -> str:
        return f"{self.pixels} pixels × {self.channels} channels"

    @property
    def channels(self) -> int:
        return self.vectors * LANES

    def groups(self, channels: int) -> int:
        """Tiles side by side over all output channels."""
        return -(-channels // self.channels)

    def begin(self, group, channels: int, least=min):
        """First channel of a group: the last begins early and makes some channels twice rather than be narrower."""
        return (
            group * self.channels
            if channels < self.channels
            else least(group * self.channels, channels - self.channels)
        )

    def made_by(self, vector, lane):
        """The channel of a lane, from the group's first.

        Pairs are packed four lanes of one vector and four of the other in turn, where apart with even lanes first.
        """
        if not self.pairs:
            return vector * LANES + lane
        place = lane % 2 * 2 + lane % 4 // 2 if self.pairs == "apart" else lane % 4
        return vector // 2 * (2 * LANES) + vector % 2 * 4 + lane // 4 * 8 + place

    def order(self, channels: int) -> np.ndarray:
        """int64 ``(groups * self.channels,)``: the channel that each lane makes, -1 where there is none."""
        begins = np.array([self.begin(group, channels) for group in range(self.groups(channels))])
        vector, lane = np.divmod(np.arange(self.channels), LANES)
        made = (begins[:, None] + self.made_by(vector, lane)).ravel()
        return np.where(made < channels, made, -1)


def choose_tile(columns: int, channels: int, steps: int, weight_bytes: int, isa: Isa, pairs: str) -> Tile:
    """The tile that needs the fewest cycles by a simple count: a dot product and a load each take one.

    Args:
        columns: pixels in a row, or in all where rows can be read as one.
        channels: output channels.
        steps: dot products that a sum takes.
        weight_bytes: packed.
        isa: instruction set.
        pairs: how vectors may end in pairs.
    """
    parts = LANES // isa.lanes
    best: tuple[float, int, int] | None = None
    for vectors in range(1, min(8, -(-channels // LANES)) + 1):
        for pixels in range(1, min(28, columns) + 1):
            dots = pixels * vectors * parts
            if dots + min(vectors * parts, 2) + 1 > isa.registers and dots > 1:
                break
            # a sum waits four cycles for its last dot product
            cycles = steps * (max(dots, pixels + vectors * parts, 4) + 0.5)
            cycles += dots * (4 if pairs and vectors % 2 == 0 else 6)
            cost = cycles * -(-columns // pixels) * -(-channels // (vectors * LANES))
            if best is None or cost < best[0]:
                best = (cost, pixels, vectors)
    assert best is not None
    return Tile(best[1], best[2], weight_bytes <= CACHED, pairs if best[2] % 2 == 0 else "")
