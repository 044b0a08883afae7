"""The deploy directory and its manifest: what is on disk, and the proof that it is still what was built.

| file | holds |
|---|---|
| ``deploy.so`` | the compiled library |
| ``deploy.json`` | how to call it, and the graph it was made from |
| ``deploy.params`` | weights and requantize parameters (TVM's parameter file) |
| ``graph.ectgraph`` | the graph and its weights, where another compiler made the three files above |
| ``input0.bin``, ... | one input, float32, flattened in the layout that the manifest states |
| ``ref_result_0.bin``, ... | the interpreter's result for it, float32, flattened likewise |
| ``manifest.json`` | versions, hashes, interface; its own hash too |
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ectoolkit.core import trust as ledger
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import graph_from_json, load_graph
from ectoolkit.core.inputs import Inputs, check_inputs, split_batch
from ectoolkit.core.manifest import (
    FORMAT,
    GRAPH,
    MANIFEST,
    PROGRAM,
    FileRecord,
    Manifest,
    TensorFile,
    read_manifest,
    sha256_of,
)
from ectoolkit.core.program import Program, ProgramFile, read_program
from ectoolkit.core.types import Layout
from ectoolkit.errors import DeployFormatError, InputError

#: names that every version has used
_KNOWN_NAME = re.compile(r"deploy\.(so|json|params)|(input|ref_result_)\d+\.bin|manifest\.json", re.ASCII)


@dataclass(frozen=True)
class Deployment:
    """A deploy directory that was checked when this object was made.

    Attributes:
        path: the directory, absolute.
        manifest: its manifest.
    """

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        return f"Deployment({str(self.path)!r}, {self.manifest.name}, target={self.manifest.target})"

    def inputs(self) -> list[np.ndarray]:
        """The example inputs, float32, in the manifest's shapes and layouts."""
        return [self._read(tensor) for tensor in self.manifest.inputs]

    def references(self) -> list[np.ndarray]:
        """The reference results, float32, in the manifest's shapes and layouts."""
        return [self._read(tensor) for tensor in self.manifest.outputs]

    def runs(self, inputs: Inputs) -> list[list[np.ndarray]]:
        """A user's inputs as one list of arrays for each run, in the deployment's layouts.

        Args:
            inputs: float32 in the graph's layout (NCHW where 4-D), any multiple of the batch.

        Raises:
            InputError: they do not fit.
        """
        tensors = self.manifest.inputs
        specs = {tensor.name: tensor.graph_spec for tensor in tensors}
        checked = check_inputs(self.manifest.name, specs, inputs)
        return [[to_layout(part[t.name], t.layout) for t in tensors] for part in split_batch(specs, checked)]

    def read_file(self, name: str) -> bytes:
        """One of the directory's files, checked against the manifest once more: what is used is what was checked.

        Raises:
            DeployFormatError: it is missing, or another one by now.
        """
        path, record = self.path / name, self.manifest.files[name]
        if not path.is_file():
            raise DeployFormatError(_missing(path, record))
        data = path.read_bytes()
        _require_same(path, record, len(data), lambda: hashlib.sha256(data).hexdigest())
        return data

    def let_run(self, *, remember: bool = True, stacklevel: int = 2) -> Deployment:
        """Let its native code run, which was built here or comes from where the user trusts it to; returns itself.

        Args:
            remember: for this user's later processes too.
            stacklevel: of the warning.

        Warns:
            EctoolkitWarning: it cannot be written down for later processes.
        """
        ledger.trust(self.path, self.manifest.manifest_sha256, remember=remember, stacklevel=stacklevel + 1)
        return self

    def require_trust(self, device: str) -> None:
        """Refuse native code of unknown origin.

        Args:
            device: that is about to load it, for the error.

        Raises:
            UntrustedError: this user neither built it here nor said that it may run.
        """
        ledger.require_trust(self.path, self.manifest.manifest_sha256, device)

    def program(self) -> Program:
        """How to call the library, from ``deploy.json``.

        Raises:
            DeployFormatError: the file is damaged or of another version.
        """
        return self._program_file().program

    @property
    def holds_graph(self) -> bool:
        """Whether the graph is in a file of its own; else in ``deploy.json`` and ``deploy.params``."""
        return GRAPH in self.manifest.files

    def graph(self, constants: dict[str, np.ndarray] | None = None) -> Graph:
        """The graph that the library was made from.

        Args:
            constants: the arrays of ``deploy.params``; none where `holds_graph`.

        Raises:
            DeployFormatError: the file is damaged or of another version.
        """
        if self.holds_graph:
            return load_graph(self.path / GRAPH)
        assert constants is not None
        return graph_from_json(bytes(self._program_file().graph), constants, str(self.path / PROGRAM))

    def _program_file(self) -> ProgramFile:
        return read_program(self.path / PROGRAM)

    def _read(self, tensor: TensorFile) -> np.ndarray:
        return read_tensor(self.path / tensor.file, tensor)


def read_tensor(path: str | os.PathLike[str], tensor: TensorFile) -> np.ndarray:
    """Read a ``.bin`` file as the float32 tensor it should be.

    Raises:
        DeployFormatError: missing, or of another size.
    """
    path = Path(path)
    if not path.is_file():
        raise DeployFormatError(f"{path} is missing; expected {tensor.size_bytes} bytes of float32 {tensor.shape}")
    size = path.stat().st_size
    if size != tensor.size_bytes:
        raise DeployFormatError(
            f"{path} has {size} bytes, expected {tensor.size_bytes}: float32 {tensor.shape} in {tensor.layout}"
        )
    return np.fromfile(path, dtype="<f4").astype(np.float32).reshape(tensor.shape)


def to_layout(array: np.ndarray, layout: Layout) -> np.ndarray:
    """An array of the graph (NCHW where 4-D) in the layout of a deployment, contiguous."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if layout is Layout.NHWC else array)


def from_layout(array: np.ndarray, layout: Layout) -> np.ndarray:
    """An array of a deployment in the graph's layout (NCHW where 4-D), contiguous."""
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2) if layout is Layout.NHWC else array)


def is_deployment(folder: Path) -> bool:
    """True where a folder is a deploy directory of any version and holds nothing else: a new build may replace it.

    Raises:
        InputError: it is a deploy directory, and a file or folder that is not part of it would be lost.
    """
    head = _read_any_manifest(folder / MANIFEST)
    if head is None:
        return False
    listed = head.get("files")
    names = set(listed) if isinstance(listed, dict) else set()
    for entry in sorted(folder.iterdir()):
        if not entry.is_file() or not (entry.name in names or _KNOWN_NAME.fullmatch(entry.name)):
            raise InputError(
                f"{folder} is a deploy directory that also holds {entry.name}, which is not part of it and would be "
                "lost, so it will not be replaced. Move that away, or choose another name"
            )
    return True


def _read_any_manifest(path: Path) -> dict[str, Any] | None:
    """A manifest of ours of any format version, unchecked; None where the file is missing or something else."""
    try:
        head = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return head if isinstance(head, dict) and head.get("format") == FORMAT else None


def load_deployment(path: str | os.PathLike[str], *, trust: bool = False) -> Deployment:
    """Open a deploy directory and check every byte of it against its manifest.

    Args:
        path: the directory.
        trust: its native code may run, now and later: asked for where a directory was not built here.  No code runs
            before a device loads it.

    Raises:
        DeployFormatError: a file is missing, truncated, altered or unknown, or the manifest is of another format
            version; names the file and the problem.
    """
    folder = Path(path).expanduser().absolute()
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        _check_file(folder / name, record)
    strangers = sorted({entry.name for entry in folder.iterdir()} - set(manifest.files) - {MANIFEST})
    if strangers:
        raise DeployFormatError(
            f"{folder / strangers[0]} is not in {MANIFEST}: the directory was changed after it was built. "
            "Remove the file, or build again"
        )
    deployment = Deployment(folder, manifest)
    return deployment.let_run(stacklevel=3) if trust else deployment


def _check_file(path: Path, record: FileRecord) -> None:
    if not path.is_file():
        raise DeployFormatError(_missing(path, record))
    _require_same(path, record, path.stat().st_size, lambda: sha256_of(path))


def _missing(path: Path, record: FileRecord) -> str:
    return f"{path} is missing; the manifest lists {record.size_bytes} bytes. Build it again"


def _require_same(path: Path, record: FileRecord, size: int, sha256: Callable[[], str]) -> None:
    """Size first: a hash of what has another length need not be taken."""
    if size != record.size_bytes:
        change = "truncated" if size < record.size_bytes else "longer than it was built"
        raise DeployFormatError(f"{path} is {change}: {size} bytes, expected {record.size_bytes}. Build it again")
    digest = sha256()
    if digest != record.sha256:
        raise DeployFormatError(
            f"{path} was altered: its sha256 is {digest[:12]}…, expected {record.sha256[:12]}…. Build it again"
        )
