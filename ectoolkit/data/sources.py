"""Where one image of a set comes from, and how it is decoded.

A source is a recipe, not pixels: nothing is read before it is asked for, and nothing is kept after.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

#: what PIL raises for a damaged file, depending on its format
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error)


@dataclass(frozen=True)
class FileSource:
    """An image file, or a fixed part of one.

    Args:
        path: the file.
        box: left, top, right, bottom of the part to keep, as fractions of width and height.
        mirror: flip left and right, after cutting.
    """

    path: Path
    box: tuple[float, float, float, float] | None = None
    mirror: bool = False

    def open(self) -> Image:
        """Decode the image.

        Returns:
            A PIL image, mode RGB, upright (a camera's orientation tag is applied).

        Raises:
            InputError: the file cannot be decoded.
        """
        pil = require("PIL.Image", feature="Reading an image file")
        ops = require("PIL.ImageOps", feature="Reading an image file")
        try:
            with pil.open(self.path) as file:
                image = to_rgb(ops.exif_transpose(file))
        except (*_DAMAGE, pil.DecompressionBombError) as error:
            raise _unreadable(self.path, error) from error
        if self.box is not None:
            width, height = image.size
            left, top, right, bottom = self.box
            image = image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
        return ops.mirror(image) if self.mirror else image

    def size(self) -> tuple[int, int]:
        """Width and height of the file's image, pixels, from its header alone.

        Raises:
            InputError: the file is not an image.
        """
        pil = require("PIL.Image", feature="Reading an image file")
        try:
            with pil.open(self.path) as file:
                return tuple(file.size)
        except (*_DAMAGE, pil.DecompressionBombError) as error:
            raise _unreadable(self.path, error) from error

    def check(self) -> None:
        """Read the file's header only, so that a folder of thousands is checked in seconds.

        Raises:
            InputError: the file is not an image.
        """
        self.size()


@dataclass(frozen=True, eq=False)
class ArraySource:
    """A model input that exists already; float32 ``(3, H, W)``, read-only."""

    array: np.ndarray

    def open(self) -> Image:
        """Return a picture of the array for looking at: its own minimum black, its own maximum white."""
        pil = require("PIL.Image", feature="Showing an array as a picture")
        low, high = float(self.array.min()), float(self.array.max())
        scaled = (self.array - low) / ((high - low) or 1.0) * 255
        return pil.fromarray(np.rint(scaled).astype(np.uint8).transpose(1, 2, 0))


def to_rgb(image: Any) -> Image:
    """Convert a PIL image of any mode to RGB.

    PIL's own conversion clips 16-bit greyscale to white, and warns about palettes with transparency.
    """
    if image.mode.startswith("I;16"):
        pil = require("PIL.Image", feature="Reading an image file")
        image = pil.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _unreadable(path: Path, error: BaseException) -> InputError:
    # PIL's own text repeats the path, or names an object's address; its first line up to that is enough.
    reason = (
        "it is not in an image format PIL knows" if type(error).__name__ == "UnidentifiedImageError" else str(error)
    )
    return InputError(f"Cannot read the image {path}: {reason}. Repair it, or move it out of the set.")


@dataclass(frozen=True)
class Item:
    """One image of a set.

    Attributes:
        name: what it is called.
        source: where it comes from.
        label: index of the class that it shows; None: nobody said.
        imagenet: whether the index is known to be one of ImageNet's classes, so that it has a name.
    """

    name: str
    source: FileSource | ArraySource
    label: int | None = None
    imagenet: bool = False
