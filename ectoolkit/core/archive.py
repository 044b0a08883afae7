"""One zip file holding a JSON head and one ``.npy`` an array.  Never pickle; equal contents make equal bytes."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ectoolkit.core.atomic import replacing_file
from ectoolkit.errors import DeployFormatError

#: zip entries carry this time, so that equal contents make equal files
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: what zipfile and numpy raise on damaged bytes, by where the damage is
_DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, RuntimeError, OSError)


def write_archive(path: str | os.PathLike[str], entry: str, head: bytes, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write under a temporary name and rename.

    Args:
        path: of the file.
        entry: name of the head inside it, ``"graph.json"`` or the like.
        head: JSON.
        arrays: by name.

    Returns:
        The path, with ``~`` expanded.

    Raises:
        InputError: the folder is not there or not writable.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(entry, _EPOCH), head, zipfile.ZIP_DEFLATED)
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), data.getvalue(), zipfile.ZIP_DEFLATED)
    with replacing_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return Path(path).expanduser()


def read_archive(
    path: str | os.PathLike[str], entry: str, *, kind: str, writer: str, again: str
) -> tuple[bytes, dict[str, np.ndarray]]:
    """The head and the arrays of a file of `write_archive`.

    Args:
        path: of the file.
        entry: name of the head inside it.
        kind: what the file is, for errors: ``"graph file"``.
        writer: the function that writes such files, for errors.
        again: what to do about a damaged one, for errors.

    Raises:
        DeployFormatError: missing or damaged; names the file and the problem.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DeployFormatError(f"{path} is not there; expected a {kind} written by {writer}")
    try:
        with zipfile.ZipFile(path) as archive:
            head = archive.read(entry)
            arrays = {
                name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except _DAMAGE as error:
        raise DeployFormatError(f"{path} is not a {kind} or is damaged: {error}. {again}") from error
    return head, arrays
