"""Frames: tensors with a border of real zeros around each image, so that a convolution's padding is there to be read.

A kernel that makes a tensor writes its border too, where a convolution that reads it wants one; where the maker
cannot, `frame` copies.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.script import tirx as T

from ectoolkit.builders.cpu.kernels.dot import taken


@dataclass(frozen=True)
class Frame:
    """A 4-D tensor as it lies in memory.

    Attributes:
        shape: ``(N, H, W, C)``, without its border.
        border: pixels above, left of, below and right of each image.
    """

    shape: tuple[int, int, int, int]
    border: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def stored(self) -> tuple[int, int, int, int]:
        """The shape with the border."""
        (n, h, w, c), (top, left, bottom, right) = self.shape, self.border
        return (n, top + h + bottom, left + w + right, c)

    @property
    def size(self) -> int:
        n, h, w, c = self.stored
        return n * h * w * c

    @property
    def bare(self) -> bool:
        """Whether there is no border."""
        return self.border == (0, 0, 0, 0)

    def at(self, image, row, column):
        """Place of a pixel's first channel; rows and columns may lie on the border."""
        _, tall, wide, c = self.stored
        return ((image * tall + row + self.border[0]) * wide + column + self.border[1]) * c


def frame(x_shape, settings, source: Frame, target: Frame, isa):
    """uint8 x and settings (x's code of real 0 first) to the target's frame, as the dot product takes its input."""
    n, h, w, c = source.shape
    top, left, _, right = target.border
    _, tall, wide, _ = target.stored
    dtype, y_shape = isa.activation_dtype, target.stored
    x_size, y_size = source.size, target.size

    @T.prim_func(s_tir=True)
    def kernel(x: T.handle, g: T.handle, y: T.handle):
        T.func_attr({"tirx.noalias": True})
        x_shaped = T.match_buffer(x, x_shape, "uint8")
        GRIDS = T.match_buffer(g, (settings,), "int32")
        y_shaped = T.match_buffer(y, y_shape, dtype)
        X = T.decl_buffer((x_size,), "uint8", data=x_shaped.data)
        Y = T.decl_buffer((y_size,), dtype, data=y_shaped.data)
        unused = T.sblock_alloc_buffer((1,), "uint8", scope="local")
        for r in T.parallel(n * tall):
            image: T.let = r // tall
            row: T.let = r % tall - top
            if row < 0 or row >= h:
                for i in T.serial(wide * c):
                    Y[r * wide * c + i] = taken(isa, GRIDS[0])
            else:
                for i in T.serial(left * c):
                    Y[r * wide * c + i] = taken(isa, GRIDS[0])
                for i in T.serial(w * c):
                    Y[(r * wide + left) * c + i] = taken(isa, X[source.at(image, row, 0) + i])
                for i in T.serial(right * c):
                    Y[(r * wide + left + w) * c + i] = taken(isa, GRIDS[0])

    return kernel
