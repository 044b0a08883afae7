"""Between numpy and torch, and between the graph's NCHW order and channels last in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

#: elements that a chain of elementwise steps handles at once, so that what is between the steps stays in the cache
BLOCK = 1 << 18


def to_torch(array: np.ndarray) -> torch.Tensor:
    """A tensor on the same memory where torch takes it, else on a copy."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """An array on the same memory."""
    return tensor.numpy()


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """``(N, C, H, W)`` lying in memory as NHWC, a copy only where it does not."""
    return tensor.contiguous(memory_format=torch.channels_last)


def rows(tensor: torch.Tensor) -> torch.Tensor:
    """Any tensor as a matrix in memory order: channels are the columns where 4-D, one column else."""
    if tensor.ndim == 4:
        return tensor.permute(0, 2, 3, 1).reshape(-1, tensor.shape[1])
    return tensor.reshape(-1, 1)


def from_rows(matrix: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The inverse of `rows`, for a tensor of this shape in the graph's order."""
    if len(shape) == 4:
        n, channels, height, width = shape
        return matrix.view(n, height, width, channels).permute(0, 3, 1, 2)
    return matrix.view(shape)


def by_blocks(compute: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> torch.Tensor:
    """Codes of tensors of one shape, some rows of them at a time.

    Args:
        compute: takes as many matrices, ``(rows, columns)``, and gives uint8 of their shape.
        *tensors: any dtypes, one shape.
    """
    shape = tuple(tensors[0].shape)
    matrices = [rows(tensor) for tensor in tensors]
    count, columns = matrices[0].shape
    step = max(1, BLOCK // columns)
    if step >= count:
        return from_rows(compute(*matrices), shape)
    result = torch.empty((count, columns), dtype=torch.uint8, device="cpu")
    for begin in range(0, count, step):
        result[begin : begin + step] = compute(*(matrix[begin : begin + step] for matrix in matrices))
    return from_rows(result, shape)


def to_codes(steps: torch.Tensor) -> torch.Tensor:
    """float64 within [0, 256) as uint8, cut down to a whole number; by way of int32, which is several times faster."""
    return steps.to(torch.int32).to(torch.uint8)
