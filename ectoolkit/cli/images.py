"""Images that a user names on the command line: a folder, or an array, as a graph takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ectoolkit.cli.files import read_npy

if TYPE_CHECKING:
    import numpy as np

    from ectoolkit.core.deployment import Deployment
    from ectoolkit.data import Preprocess


@dataclass(frozen=True)
class Images:
    """What goes in.

    Attributes:
        arrays: float32 in the graph's layout, one an input.
        source: where they come from, for the certificate.
        preprocess: what was done to them; None where they came preprocessed.
    """

    arrays: list[np.ndarray]
    source: str
    preprocess: Preprocess | None = None


def read_images(
    deployment: Deployment, images: Path | None, preprocess: Preprocess | None, limit: int | None
) -> Images:
    """Read them.

    Args:
        deployment: that they are for.
        images: a folder of photos, a folder of ``.npy`` files, or one; the deployment's own example where None.
        preprocess: for photos.
        limit: of a folder, no more than this.

    Raises:
        InputError: there are none, or they do not fit together.
    """
    from ectoolkit.core.deployment import from_layout

    if images is None:
        tensors = deployment.manifest.inputs
        own = [from_layout(a, t.layout) for a, t in zip(deployment.inputs(), tensors, strict=True)]
        return Images(own, "the directory's own example")
    if images.suffix == ".npy":
        return Images([read_npy(images)], f"{images.name}, preprocessed")
    files = sorted(images.expanduser().glob("*.npy"))[:limit] if images.is_dir() else []
    if files:
        return Images([_joined(files)], f"{len(files)} files of {images.name}, preprocessed")
    return _photos(images, preprocess, limit)


def _joined(files: list[Path]) -> np.ndarray:
    import numpy as np

    from ectoolkit.errors import InputError

    arrays = [read_npy(file) for file in files]
    for file, array in zip(files, arrays, strict=True):
        if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:]:
            raise InputError(
                f"{file} has shape {array.shape}, and {files[0].name} beside it {arrays[0].shape}: expected one shape, "
                "whatever the number of images in each"
            )
    return np.concatenate(arrays)


def _photos(images: Path, preprocess: Preprocess | None, limit: int | None) -> Images:
    import ectoolkit as ect

    if preprocess is None:
        raise typer.BadParameter(
            "--images is a folder of photos: say how they become the model's input, with --model NAME or "
            "--preprocess imagenet, or give preprocessed .npy files"
        )
    found = ect.image_folder(images, preprocess)[:limit]
    count = f"{len(found)} photo{'' if len(found) == 1 else 's'}"
    how = (
        f"resized to {preprocess.resize}, cropped to {preprocess.crop}, {preprocess.interpolation}, mean "
        f"{preprocess.mean}, std {preprocess.std}"
    )
    return Images([found.batch()], f"{count} of {images.name}, sha256 {found.sha256[:16]}…; {how}", preprocess)


def preprocess_named(name: str | None, deployment: Deployment) -> Preprocess | None:
    """``imagenet``: ImageNet's mean and standard deviation, at the size of the deployment's input.

    Raises:
        typer.BadParameter: another name, or an input that is no square of three channels.
    """
    if name is None:
        return None
    from dataclasses import replace

    from ectoolkit.data import IMAGENET

    if name != "imagenet":
        raise typer.BadParameter(
            f"--preprocess {name!r} is unknown; there is imagenet, and --model brings a model's own"
        )
    shape = deployment.manifest.inputs[0].graph_spec.shape
    if len(deployment.manifest.inputs) != 1 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        raise typer.BadParameter(
            f"--preprocess makes one square image of three channels, and {deployment.manifest.name} takes "
            f"{', '.join(str(tensor.graph_spec.shape) for tensor in deployment.manifest.inputs)}; give .npy files"
        )
    side = shape[2]
    return replace(IMAGENET, crop=side, resize=round(side * IMAGENET.resize / IMAGENET.crop))
