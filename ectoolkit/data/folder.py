"""The user's own photos: every image of a folder, sorted, read when needed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Literal

from ectoolkit.data.image_set import ImageSet
from ectoolkit.data.labels import is_index, label_of_folder
from ectoolkit.data.preprocess import Preprocess
from ectoolkit.data.sources import FileSource, Item
from ectoolkit.errors import InputError

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def image_folder(
    path: str | os.PathLike[str],
    preprocess: Preprocess | None = None,
    *,
    labels: Literal["folder"] | None = None,
) -> ImageSet:
    """Collect every image in a folder and the folders below it, sorted by name.

    Files are opened here to check that they are images; pixels are decoded when used. Hidden files and
    folders are left out, such as ``.ipynb_checkpoints``. Photos are turned upright as the camera's tag says.

    Args:
        path: the folder; ``~`` is the home folder.
        preprocess: how to turn an image into a model's input; a model's own is ``model.preprocess``.
        labels: ``"folder"`` reads each image's class from the folder that it lies in, which is named after a
            class index or an ImageNet class name. None: no labels.

    Returns:
        The images; each is named by its path inside the folder.

    Raises:
        InputError: no such folder, no image in it, a file that is not an image, or a folder not named after
            a class.
    """
    if labels not in (None, "folder"):
        raise InputError(f"labels={labels!r} is unknown. Expected 'folder' or None.")
    root = Path(path).expanduser()
    if not root.exists():
        raise InputError(f"There is no folder {root}. Pass the folder that holds the images.")
    if not root.is_dir():
        raise InputError(f"{root} is a file. Pass the folder that holds the images, here {root.parent}.")
    files = _visible_files(root)
    images = [file for file in files if file.suffix.lower() in EXTENSIONS]
    if not images:
        raise InputError(_no_images(root, files))
    of_folder: dict[Path, int] = {}
    if labels == "folder":
        of_folder = {folder: label_of_folder(folder) for folder in sorted({file.parent for file in images})}
    # one name of ImageNet's among the folders tells what the indices of the others mean
    imagenet = not all(is_index(folder) for folder in of_folder)
    items = []
    for file in images:
        source = FileSource(file)
        source.check()
        items.append(Item(file.relative_to(root).as_posix(), source, of_folder.get(file.parent), imagenet))
    origin = f"ect.image_folder({str(path)!r}" + (f", labels={labels!r})" if labels else ")")
    chosen = ImageSet(tuple(items), origin=origin)
    return chosen if preprocess is None else chosen.with_preprocess(preprocess)


def _visible_files(root: Path) -> list[Path]:
    files = (file for file in root.rglob("*") if file.is_file())
    visible = (file for file in files if not any(part.startswith(".") for part in file.relative_to(root).parts))
    return sorted(visible, key=lambda file: file.relative_to(root).as_posix())


def _no_images(root: Path, files: list[Path]) -> str:
    kinds = Counter(file.suffix.lower() or "no extension" for file in files).most_common(5)
    found = ", ".join(f"{kind} ({count})" for kind, count in kinds) or "no files at all"
    return f"There is no image in {root}. Looked for {', '.join(EXTENSIONS)} in it and below; found {found}."
