"""An ordered, immutable set of images, decoded one at a time.

Promises: the order never changes, memory holds one image however long the set is, and `ImageSet.sha256` is
the same wherever the pixels and the preprocessing are the same. Never resizes or normalizes without being
told how.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from ectoolkit.data.preprocess import Preprocess
from ectoolkit.data.sources import ArraySource, Item
from ectoolkit.data.thumbnails import row_of_pictures
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images with names and, where known, labels (class indices).

    Made by `sample_photos`, `image_folder` and `ImageSet.from_arrays`.

    Examples:
        >>> photos = sample_photos(8).with_preprocess(model.preprocess)
        >>> photos[0].shape                 # float32 (3, H, W)
        >>> photos[:4].batch().shape        # float32 (4, 3, H, W)
    """

    #: `origin` is the expression that makes the set again, for exported scripts; empty where there is none
    items: tuple[Item, ...]
    preprocess: Preprocess | None = None
    origin: str = ""

    @classmethod
    def from_arrays(
        cls, array: Any, names: Sequence[str] | None = None, labels: Sequence[int | None] | None = None
    ) -> ImageSet:
        """Make a set of model inputs that are preprocessed already.

        Args:
            array: float32, shape ``(N, 3, H, W)``, finite; copied. A CPU tensor is taken too.
            names: N names; ``array_0``, ``array_1``, ... where None.
            labels: N class indices or Nones.

        Raises:
            InputError: another shape or dtype, a number that is not finite, or not N names or labels.
        """
        copy = _checked_arrays(array)
        copy.setflags(write=False)
        count = len(copy)
        names = [f"array_{index}" for index in range(count)] if names is None else list(names)
        labels = [None] * count if labels is None else list(labels)
        for what, values in (("names", names), ("labels", labels)):
            if len(values) != count:
                raise InputError(f"Got {len(values)} {what} for {count} arrays. Expected one for each.")
        return cls(
            tuple(
                Item(str(name), ArraySource(one), None if label is None else operator.index(label))
                for name, one, label in zip(names, copy, labels, strict=True)
            )
        )

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: SupportsIndex) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> ImageSet: ...
    def __getitem__(self, index: SupportsIndex | slice) -> np.ndarray | ImageSet:
        """Return one model input, float32 ``(3, H, W)``, or a smaller set for a slice.

        Raises:
            InputError: the set has no preprocessing yet, or the image cannot be read.
            IndexError: no such image.
        """
        if isinstance(index, slice):
            return replace(self, items=self.items[index], origin=_sliced(self.origin, index) if self.origin else "")
        return self._input(self._item(index))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield each model input, float32 ``(3, H, W)``, decoding one at a time."""
        return (self._input(item) for item in self.items)

    def __repr__(self) -> str:
        labelled = sum(label is not None for label in self.labels)
        count = f"{len(self)} image" + ("" if len(self) == 1 else "s")
        return f"ImageSet({count}, {labelled} labelled, {self._state()})"

    def _repr_html_(self) -> str:
        return row_of_pictures(repr(self), self.items)

    @property
    def names(self) -> list[str]:
        """What each image is called."""
        return [item.name for item in self.items]

    @property
    def labels(self) -> list[int | None]:
        """The class index of each image, None where it is not known."""
        return [item.label for item in self.items]

    @property
    def is_ready(self) -> bool:
        """Whether indexing gives model inputs: there is a preprocess, or the set was made of arrays."""
        return self.preprocess is not None or all(isinstance(item.source, ArraySource) for item in self.items)

    def with_preprocess(self, preprocess: Preprocess) -> ImageSet:
        """Return the same images, preprocessed in this way.

        Raises:
            InputError: not a `Preprocess`, or the set was made of arrays, which are preprocessed already.
        """
        if not isinstance(preprocess, Preprocess):
            hint = " Pass its .preprocess." if hasattr(preprocess, "preprocess") else ""
            raise InputError(f"with_preprocess takes a Preprocess, got {type(preprocess).__name__}.{hint}")
        if any(isinstance(item.source, ArraySource) for item in self.items):
            raise InputError(
                "This set was made by ImageSet.from_arrays: its arrays are taken as preprocessed already and "
                "cannot be preprocessed again. Use it as it is, or make the set from image files."
            )
        return replace(self, preprocess=preprocess)

    def image(self, index: SupportsIndex) -> Image:
        """Return one image as it is before preprocessing: PIL, mode RGB.

        For a set made of arrays this is a picture to look at, scaled to its own range.

        Raises:
            InputError: the image cannot be read.
            IndexError: no such image.
        """
        return self._item(index).source.open()

    def batch(self) -> np.ndarray:
        """Return all model inputs at once, float32, shape ``(N, 3, H, W)``.

        Raises:
            InputError: the set is empty or has no preprocessing yet, or an image cannot be read.
        """
        if not self.items:
            raise InputError("This image set is empty: there is no batch to make. Take at least one image.")
        return np.stack(list(self))

    @cached_property
    def sha256(self) -> str:
        """Hash of the decoded pixels in order and of the preprocessing, hexadecimal.

        Names and labels are left out: renaming a file changes no calibration.
        """
        digest = hashlib.sha256((self.preprocess.sha256 if self.preprocess else "none").encode())
        for item in self.items:
            source = item.source
            pixels = source.array if isinstance(source, ArraySource) else np.asarray(source.open())
            # The shape goes in too: a 2x8 image and a 4x4 one may hold the same bytes.
            digest.update(f"{pixels.dtype}{pixels.shape}".encode())
            digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()

    def _item(self, index: SupportsIndex) -> Item:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"No image {position} in a set of {len(self)}.")
        return self.items[position]

    def _input(self, item: Item) -> np.ndarray:
        if isinstance(item.source, ArraySource):
            # A copy, because torch warns about tensors that share read-only memory.
            return item.source.array.copy()
        if self.preprocess is None:
            raise InputError(
                "These images have no preprocessing yet, so they are not inputs for a model. "
                "Call .with_preprocess(model.preprocess), or pass the set to ect.Flow, which does it."
            )
        return self.preprocess(item.source.open())

    def _state(self) -> str:
        if self.preprocess is not None:
            return f"preprocessed to 3x{self.preprocess.crop}x{self.preprocess.crop}"
        if self.items and self.is_ready:
            return "arrays " + "x".join(str(side) for side in self[0].shape)
        return "not preprocessed"


def _checked_arrays(array: Any) -> np.ndarray:
    found = np.asarray(array)
    if found.ndim != 4 or found.shape[1] != 3:
        raise InputError(
            f"from_arrays got shape {found.shape}. Expected (N, 3, H, W): images, channels first, red first."
        )
    if found.dtype != np.float32:
        raise InputError(
            f"from_arrays got dtype {found.dtype}. Expected float32, normalized as the model was trained; "
            "convert with array.astype(numpy.float32)."
        )
    if not np.isfinite(found).all():
        bad = int(np.argmin(np.isfinite(found).all(axis=(1, 2, 3))))
        raise InputError(
            f"from_arrays got a number that is not finite, first in array {bad}. Remove or repair that "
            "array: one such number spoils every range measured."
        )
    return np.array(found)


def _sliced(origin: str, index: slice) -> str:
    """The expression of a part; a part of a part is one slice where no end counts from behind."""
    start, stop, step = index.start, index.stop, index.step
    outer = re.fullmatch(r"(.+)\[(\d*):(\d*)\]", origin)
    if outer and step is None and min(start or 0, stop or 0) >= 0:
        first, last = int(outer[2] or 0), int(outer[3]) if outer[3] else None
        ends = [end for end in (last, None if stop is None else first + stop) if end is not None]
        origin, start, stop = outer[1], first + (start or 0) or None, min(ends, default=None)
    words = ["" if end is None else str(end) for end in (start, stop, step)]
    return f"{origin}[{':'.join(words).removesuffix(':') or ':'}]"
