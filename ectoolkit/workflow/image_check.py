"""Do the images look like what the model was trained on?  Asked before a calibration, of its first images.

What a module without preprocessing takes nobody knows; it is only asked whether its images look like raw pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit._notices import in_terms, warn
from ectoolkit.core.words import counted
from ectoolkit.data import ImageSet
from ectoolkit.data.sources import FileSource
from ectoolkit.errors import InputError, PrecisionWarning
from ectoolkit.quantization.calibration import batches

if TYPE_CHECKING:
    from ectoolkit.data import Preprocess

#: images looked at; of files, whose header alone is read
_LOOKED_AT, _FILES_LOOKED_AT = 4, 256
#: photos enlarged more than so many times hold next to nothing of what the model was trained on
_ENLARGED = 4
#: no normalized photo has a value as large
_RAW = 20


def warn_of_odd_images(
    name: str, preprocess: Preprocess | None, calibration: Iterable[Any], stacklevel: int = 2
) -> None:
    """Warn where the first images have another size or range than the model's preprocessing gives.

    Args:
        name: of the model.
        preprocess: the model's, None where it is not known.
        calibration: the images; a generator is left alone, since looking would use it up.
        stacklevel: of the caller, as `warnings.warn` counts.

    Warns:
        PrecisionWarning: says what the images look like and what was expected.
    """
    if isinstance(calibration, ImageSet):
        _warn_of_tiny_photos(name, calibration, stacklevel + 1)
    if isinstance(calibration, Iterator):
        return
    if preprocess is None:
        _warn_of_raw_pixels(name, calibration, stacklevel + 1)
        return
    images = np.concatenate(_first(calibration))
    for doubt in (_size(images, preprocess), _range(images, preprocess)):
        if doubt:
            warn(
                f"{name}: {doubt}. {_cure()}",
                PrecisionWarning,
                stacklevel=stacklevel + 1,
            )


def _warn_of_tiny_photos(name: str, photos: ImageSet, stacklevel: int) -> None:
    """Of files that the set's preprocessing enlarges many times."""
    if photos.preprocess is None:
        return
    least = photos.preprocess.resize / _ENLARGED
    files = [item for item in photos.items if isinstance(item.source, FileSource) and item.source.box is None]
    sizes = {item.name: item.source.size() for item in files[:_FILES_LOOKED_AT] if isinstance(item.source, FileSource)}
    tiny = {photo: size for photo, size in sizes.items() if min(size) < least}
    if not tiny:
        return
    smallest = min(tiny, key=lambda photo: min(tiny[photo]))
    width, height = tiny[smallest]
    crop = photos.preprocess.crop
    warn(
        f"{name}: {len(tiny)} of {counted(len(sizes), 'photo')} had to be enlarged more than {_ENLARGED} times; "
        f"{smallest} is {width}×{height} pixels. A blur has other ranges than a photo: give photos of {crop}×{crop} "
        "pixels or more",
        PrecisionWarning,
        stacklevel=stacklevel + 1,
    )


def _warn_of_raw_pixels(name: str, calibration: Iterable[Any], stacklevel: int) -> None:
    try:
        images = np.concatenate(_first(calibration))
    except InputError:  # several inputs, or what the calibration itself refuses
        return
    smallest, largest = float(images.min()), float(images.max())
    if smallest >= 0 and _RAW < largest <= 255:
        how = in_terms(": ect.image_folder(folder, ect.Preprocess(resize=256, crop=224, mean=..., std=...))", "")
        warn(
            f"{name}: calibration images hold values from {smallest:.3g} to {largest:.3g}, which looks like raw "
            f"pixels. Where the model was trained on normalized photos, give them normalized{how}; else there is "
            "nothing to do",
            PrecisionWarning,
            stacklevel=stacklevel + 1,
        )


def _cure() -> str:
    return in_terms(
        "Give photos without preprocessing (ect.image_folder(folder) gets the model's own), or preprocess them with "
        "model.preprocess",
        "Give photos (--calibration FOLDER), which get the model's preprocessing",
    )


def _first(calibration: Iterable[Any]) -> list[np.ndarray]:
    """Batches of one size, a few images in all."""
    found: list[np.ndarray] = []
    for batch in islice(batches(calibration), _LOOKED_AT):
        if found and batch.shape[1:] != found[0].shape[1:]:
            break
        found.append(batch[:_LOOKED_AT])
    return found


def _size(images: np.ndarray, preprocess: Preprocess) -> str:
    height, width = images.shape[2:]
    if (height, width) == (preprocess.crop, preprocess.crop):
        return ""
    return f"calibration images are {height}×{width}, and the model was trained on {preprocess.crop}×{preprocess.crop}"


def _range(images: np.ndarray, preprocess: Preprocess) -> str:
    smallest, largest = float(images.min()), float(images.max())
    low, high = preprocess.value_range
    span = high - low
    if low - 0.05 * span <= smallest and largest <= high + 0.05 * span and not (smallest >= 0 > low + 0.1 * span):
        return ""
    if smallest >= 0 and largest <= 1:
        looks = "like pixels scaled to 0..1 and not normalized"
    elif smallest >= 0 and largest > 20:
        looks = "like raw pixels"
    elif smallest < low - 0.6 * span or largest > high + 0.6 * span:
        looks = "as if normalized twice"
    else:
        looks = "like no photo"
    return (
        f"calibration images hold values from {smallest:.3g} to {largest:.3g}, which looks {looks}; the model's "
        f"preprocessing gives {low:.3g} to {high:.3g}"
    )
