"""From a photo to the array a model was trained on.

Promises the numbers that torchvision's ``Resize``, ``CenterCrop``, ``ToTensor``, ``Normalize`` give for a PIL
image, with PIL and numpy alone: a runner beside a board can preprocess without torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ectoolkit._optional import require
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocess:
    """Resize the shorter side, crop the centre, scale to [0, 1], normalize.

    Args:
        resize: length of the shorter side after resizing; pixels.
        crop: side of the square cut from the centre; pixels, at most ``resize``.
        mean: three numbers, red, green, blue, on the [0, 1] scale.
        std: three numbers above zero, on the [0, 1] scale.
        interpolation: ``"bilinear"`` or ``"bicubic"``.

    Raises:
        InputError: a setting is outside what is said above.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):
            object.__setattr__(self, name, _pixels(name, getattr(self, name)))
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three(name, getattr(self, name)))
        if self.crop > self.resize:
            raise InputError(
                f"crop={self.crop} is larger than resize={self.resize}: the crop would reach outside the "
                "image. Expected crop <= resize."
            )
        if min(self.std) <= 0:
            raise InputError(f"std={self.std} must be above zero in every channel: each channel is divided by it.")
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(f"interpolation={self.interpolation!r} is unknown. Expected 'bilinear' or 'bicubic'.")

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest value that a pixel can become, over all channels; unit: standard deviations."""
        ends = [((end - mean) / std) for mean, std in zip(self.mean, self.std, strict=True) for end in (0.0, 1.0)]
        return min(ends), max(ends)

    def __call__(self, image: Image) -> np.ndarray:
        """Turn one photo into a model's input.

        Args:
            image: a PIL image of any mode and size; converted to RGB.

        Returns:
            float32, shape ``(3, crop, crop)``, channels first, red first; unit: standard deviations.

        Raises:
            InputError: ``image`` is not a PIL image.
        """
        pil = require("PIL.Image", feature="Preprocessing a photo")
        if not isinstance(image, pil.Image):
            raise InputError(
                f"Preprocess takes a PIL image, got {type(image).__name__}. "
                "Open a file with PIL.Image.open(path), or an array with PIL.Image.fromarray(array)."
            )
        resized = self._shorter_side(image.convert("RGB"), pil.Resampling)
        left, top = (round((side - self.crop) / 2.0) for side in resized.size)
        square = resized.crop((left, top, left + self.crop, top + self.crop))
        # float32 throughout, in torchvision's order of operations: float64 would differ in the last bit.
        scaled = np.asarray(square, dtype=np.float32) / np.float32(255)
        normalized = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normalized.transpose(2, 0, 1))

    def _shorter_side(self, image: Image, resampling: Any) -> Image:
        width, height = image.size
        shorter = min(width, height)
        if shorter == self.resize:
            return image
        # torchvision truncates the longer side, it does not round.
        longer = int(self.resize * max(width, height) / shorter)
        size = (self.resize, longer) if width <= height else (longer, self.resize)
        method = resampling.BICUBIC if self.interpolation == "bicubic" else resampling.BILINEAR
        return image.resize(size, method)

    def describe(self) -> str:
        """Return the settings as one line for people."""
        mean, std = (" ".join(f"{number:.4g}" for number in triple) for triple in (self.mean, self.std))
        return (
            f"RGB, resize {self.resize} ({self.interpolation}), crop {self.crop}, scale 1/255, mean {mean}, std {std}"
        )

    @property
    def sha256(self) -> str:
        """Hash of the settings, hexadecimal; the same on every machine."""
        settings = [self.resize, self.crop, list(self.mean), list(self.std), self.interpolation]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


def _pixels(name: str, value: object) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise InputError(f"{name}={value!r} is not a size. Expected a whole number of pixels above zero.")


def _three(name: str, value: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(number) for number in value)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} is not one number per channel. Expected three: red, green, blue.") from None
    return (red, green, blue)


#: what most torchvision classifiers were trained with
IMAGENET = Preprocess(
    resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bilinear"
)
