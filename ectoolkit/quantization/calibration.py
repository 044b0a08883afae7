"""Calibration data of any kind, as one small batch after another."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from ectoolkit._notices import in_terms
from ectoolkit.errors import InputError


def batches(calibration: Iterable[Any]) -> Iterator[np.ndarray]:
    """Go once over calibration data.

    Args:
        calibration: an image set, DataLoader, array ``(N, C, H, W)``, or any iterable of images ``(C, H, W)``, batches
            ``(N, C, H, W)`` or ``(batch, labels)`` pairs, numpy or torch, float32.

    Yields:
        float32 ``(N, C, H, W)``.

    Raises:
        InputError: an item is none of these, holds NaN or an infinity, or there is none at all.
    """
    count = 0
    for item in calibration:
        array = _array(item[0] if isinstance(item, tuple | list) else item)
        if array.ndim == 3:
            array = array[None]
        if array.ndim != 4 or array.dtype != np.float32:
            raise InputError(
                f"calibration item {count} is {array.dtype} {array.shape}, expected float32 images (C, H, W) or "
                "batches (N, C, H, W) that went through the model's preprocessing"
            )
        if not len(array):
            raise InputError(f"calibration item {count} is an empty batch; expected at least one image")
        _require_finite(array, f"calibration item {count}")
        count += 1
        yield np.ascontiguousarray(array)
    if not count:
        raise InputError(_NONE)


_NONE = "there are no calibration images; give at least one, better 32 or more that look like yours"


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _require_finite(array: np.ndarray, what: str) -> None:
    if not np.isfinite(array).all():
        kind = "NaN" if np.isnan(array).any() else "an infinity"
        image = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
        place = f" in image {image} of its {len(array)}" if len(array) > 1 else ""
        raise InputError(f"{what} holds {kind}{place}; check the preprocessing")


def samples(calibration: Iterable[Any], names: Sequence[str]) -> Iterator[tuple[np.ndarray, ...]]:
    """Go once over calibration data, one run of the model after another.

    Args:
        calibration: for a model with one input, what `batches` takes; for one with several, any iterable of items that
            hold all inputs: a tuple in the order of ``forward``, or a dict by its argument names; float32 arrays with
            the batch as first axis.
        names: of the arguments of ``forward`` that the model needs.

    Yields:
        float32 ``(1, ...)`` for each input.

    Raises:
        InputError: an item is something else, or there is none at all.
    """
    if len(names) == 1:
        for batch in batches(calibration):
            yield from ((batch[index : index + 1],) for index in range(len(batch)))
        return
    count = 0
    for item in calibration:
        arrays = [_array(value) for value in _all_inputs(item, names, count)]
        _check_inputs(arrays, names, count)
        for index in range(len(arrays[0])):
            yield tuple(np.ascontiguousarray(array[index : index + 1]) for array in arrays)
        count += 1
    if not count:
        raise InputError(_NONE)


def _all_inputs(item: Any, names: Sequence[str], position: int) -> list[Any]:
    if isinstance(item, Mapping) and set(names) <= set(item):
        return [item[name] for name in names]
    if isinstance(item, tuple | list) and len(item) >= len(names):
        return list(item[: len(names)])
    found = f"keys {sorted(item)}" if isinstance(item, Mapping) else type(item).__name__
    raise InputError(
        f"calibration item {position} is {found}, expected the {len(names)} inputs of the model: "
        + in_terms(
            f"a tuple ({', '.join(names)}) or a dict with these keys, float32 arrays with the batch as first axis",
            f"{', '.join(names)}, which the command line cannot give; quantize and build it in a script",
        )
    )


def _check_inputs(arrays: Sequence[np.ndarray], names: Sequence[str], position: int) -> None:
    for name, array in zip(names, arrays, strict=True):
        if array.dtype != np.float32 or not array.size or len(array) != len(arrays[0]):
            raise InputError(
                f"calibration item {position} has {name} as {array.dtype} {array.shape}, expected float32 with the "
                f"batch of {names[0]}, {len(arrays[0]) if arrays[0].ndim else 1}, as first axis"
            )
        _require_finite(array, f"calibration item {position}, {name},")


def first_of(calibration: Iterable[Any], names: Sequence[str]) -> tuple[tuple[np.ndarray, ...], Iterable[Any]]:
    """The first run's inputs, and the data as they were: a generator's first item is put back.

    Raises:
        InputError: as for `samples`.
    """
    if not isinstance(calibration, Iterator):
        return next(samples(calibration, names)), calibration
    items = list(itertools.islice(calibration, 1))
    return next(samples(items, names)), itertools.chain(items, calibration)


def size_of(calibration: Iterable[Any]) -> int:
    """Number of items, 0 where unknown."""
    return len(calibration) if isinstance(calibration, Sized) else 0


def image_sha256(*arrays: np.ndarray) -> str:
    """Hash of one image: the inputs of one run, each with its shape."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def sha256_of(images: Iterable[str]) -> str:
    """Hash of images by their hashes, in order: whatever their batching was, and whether they came in one go."""
    return hashlib.sha256("".join(images).encode()).hexdigest()


class Hasher:
    """Hash of the images as they go by, whatever their batching."""

    def __init__(self) -> None:
        self.images: list[str] = []

    def add(self, batch: np.ndarray) -> None:
        self.images += [image_sha256(image) for image in batch]

    @property
    def sha256(self) -> str:
        return sha256_of(self.images)
