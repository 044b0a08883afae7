"""Where the installed apache-tvm and apache-tvm-ffi wheels keep what a C++ program needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from ectoolkit._optional import require
from ectoolkit.errors import BuildError


@dataclass(frozen=True)
class TvmWheels:
    """Versions and places of the two wheels.

    Attributes:
        versions: of apache-tvm and apache-tvm-ffi.
        include: folder of the headers.
        ffi_library: ``libtvm_ffi.so``.
        runtime_library: ``libtvm_runtime.so``.
    """

    versions: tuple[str, str]
    include: Path
    ffi_library: Path
    runtime_library: Path


def find_wheels(feature: str, folder: Path | None = None) -> TvmWheels:
    """Find the wheels without importing them: that takes seconds and loads the compiler.

    Args:
        feature: what the user asked for, as the start of a sentence.
        folder: that they were installed into with ``pip install --target``; where this Python finds them if None.

    Raises:
        MissingDependencyError: apache-tvm is not installed.
        BuildError: it is, but not as its wheels install it.
    """
    tvm, ffi = (folder / name if folder is not None else _package(name, feature) for name in ("tvm", "tvm_ffi"))
    found = TvmWheels(
        versions=(_version("apache-tvm", folder), _version("apache-tvm-ffi", folder)),
        include=ffi / "include",
        ffi_library=ffi / "lib" / "libtvm_ffi.so",
        runtime_library=tvm / "lib" / "libtvm_runtime.so",
    )
    for path in (found.include / "tvm" / "ffi" / "function.h", found.ffi_library, found.runtime_library):
        if not path.is_file():
            raise BuildError(
                f"{path} is missing; expected it in apache-tvm {found.versions[0]}'s wheels. "
                "Install them again with: pip install --force-reinstall 'ectoolkit[tvm]'"
            )
    return found


def _package(name: str, feature: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        require(name, feature=feature)  # raises the error that names the extra
        raise BuildError(f"{name} has no folder of its own. Install it again with: pip install 'ectoolkit[tvm]'")
    return Path(spec.origin).parent


def _version(distribution: str, folder: Path | None) -> str:
    path = sys.path if folder is None else [str(folder)]
    found = importlib.metadata.distributions(name=distribution, path=path)
    return next((each.version for each in found), "unknown")
