"""Images that a user names on the command line: a folder, or an array, as a graph takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        limit: no more images than this.

    Raises:
        InputError: there are none, or they do not fit together.
    """
    from ectoolkit.core.deployment import from_layout
    from ectoolkit.errors import InputError

    if images is None:
        tensors = deployment.manifest.inputs
        own = [from_layout(a, t.layout) for a, t in zip(deployment.inputs(), tensors, strict=True)]
        return Images(own, "the directory's own example")
    path = images.expanduser()
    if path.is_dir():
        files = _arrays_of(path)
        return _arrays(files, path, limit) if files else _photos(path, preprocess, limit)
    if path.suffix != ".npy":
        raise InputError(
            f"--images {images} is {'a file' if path.exists() else 'not there'}; expected a folder of photos, a folder "
            "of .npy files, or one .npy file"
        )
    array = _some(path)
    few = array[:limit]
    first = "" if len(few) == len(array) else f"the first {_images(len(few))} of "
    return Images([few], f"{first}{path.name}, preprocessed")


def calibration_images(path: Path, preprocess: Preprocess | None) -> Any:
    """What a model of the user's own is calibrated with.

    Args:
        path: a ``.npy`` file of preprocessed images, a folder of such files, or a folder of photos.
        preprocess: for photos; None where nobody knows it.

    Returns:
        float32 ``(N, C, H, W)``, or an image set.

    Raises:
        InputError: there is nothing of that kind.
        typer.BadParameter: photos for a model that does not say what is done to them.
    """
    import ectoolkit as ect
    from ectoolkit.errors import InputError

    path = path.expanduser()
    if path.suffix == ".npy":
        array = _some(path)
        if array.ndim != 4:
            raise InputError(
                f"--calibration {path.name} has shape {array.shape}, expected images: float32 N,C,H,W, as "
                "numpy.stack(images) makes them"
            )
        return array
    files = _arrays_of(path) if path.is_dir() else []
    if files:
        return _arrays(files, path, None).arrays[0]
    photos = ect.image_folder(path)
    if preprocess is None:
        raise typer.BadParameter(
            f"--calibration {path} is a folder of photos, and an nn.Module does not say how they become its input: "
            "return an ectoolkit.LoadedModel, which has a preprocess, or give preprocessed float32 N,C,H,W as .npy"
        )
    return photos.with_preprocess(preprocess)


def _some(path: Path) -> np.ndarray:
    from ectoolkit.errors import InputError

    array = read_npy(path)
    if array.ndim == 0:
        raise InputError(f"{path} holds a single number, expected images: float32 N,C,H,W")
    return array


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _arrays_of(folder: Path) -> list[Path]:
    """Its ``.npy`` files.

    Raises:
        InputError: there are photos beside them.
    """
    from ectoolkit.data.folder import EXTENSIONS
    from ectoolkit.errors import InputError

    files = sorted(folder.glob("*.npy"))
    photos = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if files and photos:
        raise InputError(
            f"{folder} holds .npy files, such as {files[0].name}, and photos, such as {photos[0]}: expected one kind. "
            "Move the others into a folder of their own"
        )
    return files


def _arrays(files: list[Path], folder: Path, limit: int | None) -> Images:
    """As many files as hold so many images."""
    import numpy as np

    from ectoolkit.errors import InputError

    arrays: list[np.ndarray] = []
    for file in files:
        left = None if limit is None else limit - sum(map(len, arrays))
        if left == 0:
            break
        array = _some(file)
        if arrays and array.shape[1:] != arrays[0].shape[1:]:
            raise InputError(
                f"{file} has shape {array.shape}, and {files[0].name} beside it {arrays[0].shape}: expected one shape, "
                "whatever the number of images in each"
            )
        arrays.append(array[:left])
    joined = np.concatenate(arrays)
    count = f"{len(arrays)} file{'' if len(arrays) == 1 else 's'} of {folder.name}"
    return Images([joined], f"{_images(len(joined))} in {count}, preprocessed")


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
