"""The manifest of a deploy directory: what was built with what, and the hash of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ectoolkit._notices import in_terms
from ectoolkit.core.graph_file import check_format
from ectoolkit.core.types import Layout, TensorSpec
from ectoolkit.errors import DeployFormatError

FORMAT = "ectoolkit-deployment"
VERSION = 1
MANIFEST = "manifest.json"
LIBRARY, PROGRAM, PARAMETERS = "deploy.so", "deploy.json", "deploy.params"
#: only where ``deploy.json`` and ``deploy.params`` are another compiler's
GRAPH = "graph.ectgraph"


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


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``manifest.json`` alone.

    Raises:
        DeployFormatError: missing, damaged, altered, or of another format version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / LIBRARY).is_file() and (folder / PROGRAM).is_file():
            raise DeployFormatError(
                f"{path} is missing, and all else of a deploy directory is there: it was removed or not copied. "
                "Nothing can be checked without it. Copy it too, or build again"
            )
        state = "is a file" if folder.is_file() else "does not exist" if not folder.exists() else f"has no {MANIFEST}"
        maker = in_terms("ectoolkit.build", "`ectoolkit deploy`")
        raise DeployFormatError(f"{folder} {state}; expected a deploy directory made by {maker}")
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
