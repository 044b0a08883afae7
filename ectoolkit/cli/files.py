"""Arrays from files that a user names on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ectoolkit.cli.console import note

if TYPE_CHECKING:
    import numpy as np

    from ectoolkit.core.manifest import TensorFile


def require_file(path: str) -> None:
    """Refuse a model's file that is not there, before anything else is asked of the user.

    Raises:
        InputError: it is missing, or a folder.
    """
    from ectoolkit.errors import InputError

    found = Path(path).expanduser()
    if not found.is_file():
        raise InputError(f"{found} is {'a folder' if found.is_dir() else 'not there'}; expected a TorchScript file")


def read_npy(path: Path) -> np.ndarray:
    """A float32 array from numpy's file format.

    Raises:
        InputError: missing, not such a file, or of another dtype.
    """
    import numpy as np

    from ectoolkit.errors import InputError

    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}; expected a .npy file")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a .npy file: {error}. Write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{path} holds several arrays (.npz); expected one array, written with numpy.save")
    if array.dtype != np.float32:
        raise InputError(
            f"{path} holds {array.dtype}, expected float32; write it with numpy.save(path, array.astype(numpy.float32))"
        )
    return array


def read_tensors(paths: Sequence[Path], tensors: Sequence[TensorFile], what: str) -> list[np.ndarray]:
    """One file for each input or output of a deployment.

    Args:
        paths: ``.bin`` (float32, flattened, in the tensor's layout) or ``.npy`` (in the tensor's layout, or NCHW).
        tensors: what the files should be, in order.
        what: ``"input"`` or ``"output"``, for errors.

    Returns:
        float32 in the graph's layout (NCHW where 4-D).

    Raises:
        InputError: another number of files than tensors, or a file does not fit.
        DeployFormatError: a ``.bin`` file is missing or of another size.
    """
    from ectoolkit.errors import InputError

    if len(paths) != len(tensors):
        names = ", ".join(tensor.name for tensor in tensors)
        raise InputError(f"got {len(paths)} file(s) for {len(tensors)} {what}(s): {names}. Give one for each, in order")
    return [_read_tensor(path, tensor) for path, tensor in zip(paths, tensors, strict=True)]


def _read_tensor(path: Path, tensor: TensorFile) -> np.ndarray:
    from ectoolkit.core.deployment import from_layout, read_tensor
    from ectoolkit.core.types import Layout
    from ectoolkit.errors import InputError

    if path.suffix != ".npy":
        return from_layout(read_tensor(path, tensor), tensor.layout)
    array = read_npy(path)
    own, graph = tensor.shape, tensor.graph_spec.shape
    if array.ndim == len(own) and array.shape[1:] == own[1:]:
        if own == graph and tensor.layout is Layout.NHWC:
            note(f"note: {path} fits NHWC and NCHW alike; it is taken as {tensor.layout}, the directory's layout")
        return from_layout(array, tensor.layout)
    if array.ndim == len(own) and array.shape[1:] == graph[1:]:
        return array
    expected = f"{own} ({tensor.layout})" + (f" or {graph} (NCHW)" if graph != own else "")
    raise InputError(f"{path} has shape {array.shape}; {tensor.name} is {expected}")
