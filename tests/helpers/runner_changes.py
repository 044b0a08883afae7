"""Changes to a deploy directory that leave its manifest true."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ectoolkit.core.deployment import Deployment
from ectoolkit.core.manifest import FileRecord, read_manifest, sha256_of

#: runs the program with arguments
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def change_manifest(folder: Path, **changes: Any) -> None:
    """Replaces fields and seals the manifest again, as a builder would have written it; trusted as what is built."""
    manifest = msgspec.structs.replace(read_manifest(folder), **changes).sealed()
    (folder / "manifest.json").write_bytes(manifest.to_json())
    Deployment(folder, manifest).let_run()


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """Writes a file and its new hash into the manifest."""
    path = folder / name
    path.write_bytes(data)
    files = read_manifest(folder).files | {name: FileRecord(sha256_of(path), len(data))}
    change_manifest(folder, files=files)
