"""Photos that installed packages ship, so that every example runs without a download.

Never reads the network and never triggers another package's download: only files inside installed packages
are used, and those that an installed version does not hold are left out.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from ectoolkit._optional import require
from ectoolkit.data.folder import image_folder
from ectoolkit.data.image_set import ImageSet
from ectoolkit.data.sources import FileSource, Item
from ectoolkit.errors import InputError

__all__ = ["image_folder", "sample_photos"]

#: natural colour photos; package, folder inside it, files
UNLABELLED = (
    (
        "skimage",
        "data",
        ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"),
    ),
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)

#: variants of each photo, used in this order when more photos are asked for than exist
VARIANTS: tuple[tuple[str, tuple[float, float, float, float] | None, bool], ...] = (
    ("top left", (0.0, 0.0, 0.5, 0.5), False),
    ("bottom right", (0.5, 0.5, 1.0, 1.0), False),
    ("top right", (0.5, 0.0, 1.0, 0.5), False),
    ("bottom left", (0.0, 0.5, 0.5, 1.0), False),
    ("mirrored", None, True),
)


def sample_photos(n: int | None = None, labelled: bool = False) -> ImageSet:
    """Return photos that packages ship, the same ones in the same order every time.

    First foolbox's 20 photos of ImageNet classes, with labels; then scikit-image's and scikit-learn's,
    without; then quarters and mirror images of all of these, without labels: a quarter may not show the
    object, and a mirror image would count one photo twice.

    Args:
        n: how many; None is 32, or all that have a label when ``labelled``.
        labelled: only photos with a label, to count right answers.

    Raises:
        InputError: ``n`` is below 1 or above the number that exist.
        MissingDependencyError: a package that ships the photos is not installed.
    """
    photos = _labelled_photos()
    if not labelled:
        photos += _unlabelled_photos()
        photos += [variant for recipe in VARIANTS for variant in _variants(photos, *recipe)]
    count = n if n is not None else (len(photos) if labelled else min(32, len(photos)))
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(photos):
        kind = "labelled sample photos" if labelled else "sample photos, counting quarters and mirror images,"
        raise InputError(
            f"n={count!r} is out of range: {len(photos)} {kind} exist. Expected 1 to {len(photos)}. "
            "For more, use image_folder(path) with a folder of your own."
        )
    arguments = f"{count}, labelled=True" if labelled else f"{count}"
    return ImageSet(tuple(photos[:count]), origin=f"ect.sample_photos({arguments})")


def _labelled_photos() -> list[Item]:
    files = sorted(_package_folder("foolbox", "data").glob("imagenet_*.jpg"))
    # imagenet_00_243.jpg: photo 0 shows class 243
    return [Item(file.stem, FileSource(file), int(file.stem.rpartition("_")[2]), imagenet=True) for file in files]


def _unlabelled_photos() -> list[Item]:
    files = [_package_folder(package, folder) / name for package, folder, names in UNLABELLED for name in names]
    return [Item(file.stem, FileSource(file)) for file in files if file.is_file()]


def _variants(
    photos: list[Item], suffix: str, box: tuple[float, float, float, float] | None, mirror: bool
) -> list[Item]:
    return [
        Item(f"{photo.name}, {suffix}", replace(photo.source, box=box, mirror=mirror))
        for photo in photos
        if isinstance(photo.source, FileSource)
    ]


def _package_folder(package: str, folder: str) -> Path:
    # Found, not imported: importing foolbox or scikit-learn costs seconds, and only their files are wanted.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        module = require(package, feature="Loading the sample photos")
        return Path(str(module.__file__)).parent / folder
    return Path(next(iter(spec.submodule_search_locations))) / folder
