"""Statistics on disk: one zip file holding ``statistics.json`` and one ``.npy`` an array.  Never pickle."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path

import msgspec
import numpy as np

from ectoolkit.core.atomic import replacing_file
from ectoolkit.core.graph_file import check_format
from ectoolkit.errors import DeployFormatError
from ectoolkit.quantization.statistics import Statistics, TensorStatistics

FORMAT = "ectoolkit-statistics"
VERSION = 1
_ENTRY = "statistics.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, RuntimeError, OSError)
#: arrays of a tensor's file, in order
_PER_CHANNEL = ("channel_minimum", "channel_maximum", "channel_total", "channel_squares")


class _TensorFile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: int
    exponent: int
    first_bin: int


class _StatisticsFile(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    format_version: int
    network_sha256: str
    preprocessing: str
    image_sha256: list[str]
    tensors: list[_TensorFile]


def save_statistics(statistics: Statistics, path: str | os.PathLike[str]) -> Path:
    """Write statistics to one file; the same statistics always make the same bytes.

    Args:
        statistics: complete, or those of a pass that was broken off.
        path: by custom ending in ``.ectstats``.  Written under a temporary name and renamed.

    Returns:
        The path, with ``~`` expanded.

    Raises:
        InputError: the folder is not there or not writable.
    """
    tensors = [_TensorFile(name, t.count, t.exponent, t.first_bin) for name, t in statistics.tensors.items()]
    tensors.sort(key=lambda tensor: tensor.name)
    head = _StatisticsFile(
        FORMAT,
        VERSION,
        statistics.network_sha256,
        statistics.preprocessing,
        list(statistics.image_sha256),
        tensors,
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(_ENTRY, _EPOCH), msgspec.json.encode(head), zipfile.ZIP_DEFLATED)
        for index, tensor in enumerate(tensors):
            for key, array in _arrays(statistics.tensors[tensor.name]).items():
                data = io.BytesIO()
                np.lib.format.write_array(data, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{index}.{key}.npy", _EPOCH), data.getvalue(), zipfile.ZIP_DEFLATED)
    with replacing_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return Path(path).expanduser()


def _arrays(tensor: TensorStatistics) -> dict[str, np.ndarray]:
    images = np.array([tensor.image_minimum, tensor.image_maximum], np.float64)
    return {"bins": tensor.bins, "images": images} | {key: getattr(tensor, key) for key in _PER_CHANNEL}


def load_statistics(path: str | os.PathLike[str]) -> Statistics:
    """Read a file of `save_statistics`.

    Raises:
        DeployFormatError: missing, damaged or of another format version; names the file and the problem.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DeployFormatError(f"{path} is not there; expected a statistics file written by save_statistics")
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(_ENTRY)
            arrays = {
                name: np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except _DAMAGE as error:
        raise DeployFormatError(
            f"{path} is not a statistics file or is damaged: {error}. Collect them again"
        ) from error
    check_format(data, FORMAT, VERSION, str(path))
    try:
        head = msgspec.json.decode(data, type=_StatisticsFile)
        tensors = {file.name: _tensor(file, index, arrays) for index, file in enumerate(head.tensors)}
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise DeployFormatError(f"{path} does not hold valid statistics: {error}. Collect them again") from error
    return Statistics(tensors, tuple(head.image_sha256), head.network_sha256, head.preprocessing)


def _tensor(file: _TensorFile, index: int, arrays: dict[str, np.ndarray]) -> TensorStatistics:
    minimum, maximum = arrays[f"{index}.images.npy"].tolist()
    return TensorStatistics(
        count=file.count,
        exponent=file.exponent,
        first_bin=file.first_bin,
        bins=arrays[f"{index}.bins.npy"],
        image_minimum=minimum,
        image_maximum=maximum,
        **{key: arrays[f"{index}.{key}.npy"] for key in _PER_CHANNEL},
    )
