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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import check_format, graph_from_json, load_graph
from ectoolkit.core.inputs import Inputs, check_inputs, split_batch
from ectoolkit.core.program import Program, ProgramFile, read_program
from ectoolkit.core.trust import trust as let_run
from ectoolkit.core.types import Layout, TensorSpec
from ectoolkit.errors import DeployFormatError, InputError

FORMAT = "ectoolkit-deployment"
VERSION = 1
MANIFEST = "manifest.json"
LIBRARY, PROGRAM, PARAMETERS = "deploy.so", "deploy.json", "deploy.params"
#: only where ``deploy.json`` and ``deploy.params`` are another compiler's
GRAPH = "graph.ectgraph"
#: names that every version has used
_KNOWN_NAME = re.compile(r"deploy\.(so|json|params)|(input|ref_result_)\d+\.bin|manifest\.json", re.ASCII)


class TensorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output: its name in the graph, float32 shape in `layout`, and the file with its example values."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: Layout
    file: str

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return int(np.prod(self.shape)) * 4

    @property
    def graph_spec(self) -> TensorSpec:
        """What the tensor is in the graph: NCHW where 4-D."""
        shape = self.shape
        if self.layout is Layout.NHWC:
            shape = (shape[0], shape[3], shape[1], shape[2])
        return TensorSpec(shape, self.dtype, Layout.of_activation(len(shape)))


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file must be."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a deploy directory is and must contain.

    Attributes:
        name: of the model.
        target: builder that made it: ``"cpu"``, ``"mera:IP"``.
        platform: accelerator platform, empty for the cpu.
        host_arch: of the machine it runs on: ``"x86_64"``.
        isa: instruction set that the kernels use: ``"avx2"``, ``"generic"``; empty where another compiler chose.
        cpu_features: what a CPU must have to run it, as the operating system names them.
        tools: version by name of what made it.
        model_sha256: of the source model, empty where it was not a file.
        calibration_sha256: of the calibration data, empty where unknown.
        graph_sha256: of the integer graph.
        quantization_sha256: of all scales and zero points.
        inputs: with their files.
        outputs: with the files of the reference result.
        files: hash and size by name, of every file but the manifest.
        manifest_sha256: of this manifest with this field empty.
    """

    format: str = FORMAT
    format_version: int = VERSION
    name: str
    target: str
    platform: str
    host_arch: str
    isa: str
    cpu_features: tuple[str, ...]
    tools: dict[str, str]
    model_sha256: str
    calibration_sha256: str
    graph_sha256: str
    quantization_sha256: str
    inputs: tuple[TensorFile, ...]
    outputs: tuple[TensorFile, ...]
    files: dict[str, FileRecord]
    manifest_sha256: str = ""

    def sealed(self) -> Manifest:
        """The same manifest with its own hash filled in."""
        blank = msgspec.structs.replace(self, manifest_sha256="")
        digest = hashlib.sha256(msgspec.json.encode(blank, order="sorted")).hexdigest()
        return msgspec.structs.replace(self, manifest_sha256=digest)

    def to_json(self) -> bytes:
        """As written to disk."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"


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


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Hash and size of each file in a folder, the manifest aside."""
    return {
        path.name: FileRecord(sha256_of(path), path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    return let_run(deployment) if trust else deployment


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``manifest.json`` alone.

    Raises:
        DeployFormatError: missing, damaged, altered, or of another format version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        state = "is a file" if folder.is_file() else "does not exist" if not folder.exists() else f"has no {MANIFEST}"
        raise DeployFormatError(f"{folder} {state}; expected a deploy directory made by ectoolkit.build")
    data = path.read_bytes()
    check_format(data, FORMAT, VERSION, str(path))
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise DeployFormatError(f"{path} is not a valid manifest: {error}. Build the directory again") from error
    if manifest.sealed() != manifest:
        raise DeployFormatError(f"{path} was altered: its content does not match its own hash. Build it again")
    strange = [name for name in manifest.files if Path(name).name != name or name in ("", ".", "..")]
    if strange:
        raise DeployFormatError(f"{path} lists {strange[0]!r}, which is not a plain file name; do not trust it")
    needed = [LIBRARY, PROGRAM, PARAMETERS, *(tensor.file for tensor in (*manifest.inputs, *manifest.outputs))]
    missing = [name for name in needed if name not in manifest.files]
    if missing:
        raise DeployFormatError(f"{path} does not list {missing[0]}, which every deploy directory has. Build it again")
    return manifest


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


def tensor_files(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], layout: Layout, pattern: str
) -> tuple[TensorFile, ...]:
    """Describe the inputs or outputs of a deployment.

    Args:
        names: of the graph's values.
        shapes: in the graph's layout.
        layout: NCHW or NHWC for 4-D tensors; others keep theirs.
        pattern: of the file name, with ``{}`` for the position.
    """
    described = []
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        own = layout if len(shape) == 4 else Layout.of_activation(len(shape))
        if own is Layout.NHWC:
            shape = (shape[0], shape[2], shape[3], shape[1])
        described.append(TensorFile(name, tuple(shape), "float32", own, pattern.format(position)))
    return tuple(described)
