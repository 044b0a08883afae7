"""Calibration data of any kind, as one small batch after another."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np

from ectoolkit.errors import InputError


def batches(calibration: Iterable[Any]) -> Iterator[np.ndarray]:
    """Go once over calibration data.

    Args:
        calibration: an image set, DataLoader, array ``(N, C, H, W)``, or any iterable of images ``(C, H, W)``, batches
            ``(N, C, H, W)`` or ``(batch, labels)`` pairs, numpy or torch, float32.

    Yields:
        float32 ``(N, C, H, W)``.

    Raises:
        InputError: an item is none of these, holds NaN, or there is none at all.
    """
    count = 0
    for item in calibration:
        batch = item[0] if isinstance(item, tuple | list) else item
        array = np.asarray(batch.detach().cpu().numpy() if hasattr(batch, "detach") else batch)
        if array.ndim == 3:
            array = array[None]
        if array.ndim != 4 or array.dtype != np.float32:
            raise InputError(
                f"calibration item {count} is {array.dtype} {array.shape}, expected float32 images (C, H, W) or "
                "batches (N, C, H, W) that went through the model's preprocessing"
            )
        if np.isnan(array).any():
            raise InputError(f"calibration item {count} holds NaN; check the preprocessing")
        count += 1
        yield np.ascontiguousarray(array)
    if not count:
        raise InputError("there are no calibration images; give at least one, better 32 or more that look like yours")


def first_of(calibration: Iterable[Any]) -> tuple[np.ndarray, Iterable[Any]]:
    """The first batch, and the data as they were: a generator's first item is put back.

    Raises:
        InputError: as for `batches`.
    """
    if not isinstance(calibration, Iterator):
        return next(batches(calibration)), calibration
    items = list(itertools.islice(calibration, 1))
    return next(batches(items)), itertools.chain(items, calibration)


def size_of(calibration: Iterable[Any]) -> int:
    """Number of items, 0 where unknown."""
    return len(calibration) if isinstance(calibration, Sized) else 0


class Hasher:
    """Hash of the images as they go by, whatever their batching."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, batch: np.ndarray) -> None:
        for image in batch:
            self._digest.update(str(image.shape).encode())
            self._digest.update(np.ascontiguousarray(image).tobytes())

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
