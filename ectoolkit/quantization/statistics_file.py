"""Statistics on disk: one zip file holding ``statistics.json`` and one ``.npy`` an array.  Never pickle."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np

from ectoolkit.core.archive import read_archive, write_archive
from ectoolkit.core.graph_file import check_format
from ectoolkit.errors import DeployFormatError
from ectoolkit.quantization.statistics import Statistics, TensorStatistics

FORMAT = "ectoolkit-statistics"
VERSION = 2
_ENTRY = "statistics.json"
#: arrays of a tensor's file, in order
_PER_CHANNEL = ("channel_minimum", "channel_maximum", "channel_total", "channel_squares", "channel_roots")


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
    arrays = {
        f"{index}.{key}": array
        for index, tensor in enumerate(tensors)
        for key, array in _arrays(statistics.tensors[tensor.name]).items()
    }
    return write_archive(path, _ENTRY, msgspec.json.encode(head), arrays)


def _arrays(tensor: TensorStatistics) -> dict[str, np.ndarray]:
    images = np.array([tensor.image_minimum, tensor.image_maximum], np.float64)
    return {"bins": tensor.bins, "images": images} | {key: getattr(tensor, key) for key in _PER_CHANNEL}


def load_statistics(path: str | os.PathLike[str]) -> Statistics:
    """Read a file of `save_statistics`.

    Raises:
        DeployFormatError: missing, damaged or of another format version; names the file and the problem.
    """
    again = "Collect them again"
    data, arrays = read_archive(path, _ENTRY, kind="statistics file", writer="save_statistics", again=again)
    path = Path(path).expanduser()
    check_format(data, FORMAT, VERSION, str(path))
    try:
        head = msgspec.json.decode(data, type=_StatisticsFile)
        tensors = {file.name: _tensor(file, index, arrays) for index, file in enumerate(head.tensors)}
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise DeployFormatError(f"{path} does not hold valid statistics: {error}. {again}") from error
    return Statistics(tensors, tuple(head.image_sha256), head.network_sha256, head.preprocessing)


def _tensor(file: _TensorFile, index: int, arrays: dict[str, np.ndarray]) -> TensorStatistics:
    minimum, maximum = arrays[f"{index}.images"].tolist()
    return TensorStatistics(
        count=file.count,
        exponent=file.exponent,
        first_bin=file.first_bin,
        bins=arrays[f"{index}.bins"],
        image_minimum=minimum,
        image_maximum=maximum,
        **{key: arrays[f"{index}.{key}"] for key in _PER_CHANNEL},
    )
