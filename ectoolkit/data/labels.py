"""ImageNet's 1000 classes: index to name, and a folder's name to index."""

from __future__ import annotations

import difflib
from pathlib import Path

from ectoolkit._optional import require
from ectoolkit.errors import InputError


def imagenet_names() -> tuple[str, ...]:
    """Return the 1000 class names in the order of a classifier's outputs (torchvision's list)."""
    meta = require("torchvision.models._meta", feature="Naming ImageNet's classes")
    return tuple(meta._IMAGENET_CATEGORIES)


def class_name(label: int) -> str:
    """Return one class's name.

    Raises:
        InputError: ``label`` is outside ``[0, 999]``.
    """
    names = imagenet_names()
    if not 0 <= label < len(names):
        raise InputError(f"Class {label} is not one of ImageNet's. Expected 0 to {len(names) - 1}.")
    return names[label]


def is_index(folder: Path) -> bool:
    """Whether a folder is named by a class's index, which may be of any set of classes."""
    return folder.name.isascii() and folder.name.isdigit()


def label_of_folder(folder: Path) -> int:
    """Read a folder's name as a class: an index, or a name in any case, ``_`` for a space.

    Raises:
        InputError: the name is neither.
    """
    text = folder.name
    if is_index(folder):
        return int(text)
    known = {name.lower(): index for index, name in enumerate(imagenet_names())}
    wanted = text.lower().replace("_", " ")
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, known, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise InputError(
        f"The folder {folder} is not named after a class: {text!r} is neither a class index nor an ImageNet "
        f"class name.{hint} Rename it, for example to '243' or 'bull mastiff', or leave out labels='folder'."
    )
