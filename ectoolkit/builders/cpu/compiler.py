"""Relax module → ``deploy.so``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ectoolkit._optional import require
from ectoolkit.builders.cpu.importer import ImportedModule
from ectoolkit.core.host import host_architecture
from ectoolkit.errors import BuildError

_NEEDED = "A C++ compiler is needed: on Debian and Ubuntu, apt install g++"


def compile_module(imported: ImportedModule) -> Any:
    """Compile with LLVM.

    Args:
        imported: from `ectoolkit.builders.cpu.importer.import_graph`.

    Returns:
        TVM's executable; `export` writes it.

    Raises:
        BuildError: TVM refused the module; its own words are in the message.
    """
    tvm = require("tvm", feature="Compiling deploy.so")
    try:
        return tvm.compile(imported.module, target=tvm.target.Target(imported.isa.target))
    except Exception as error:  # TVM raises many kinds; each is a failed build to the caller
        last = "\n".join(str(error).strip().splitlines()[-5:])
        raise BuildError(
            f"TVM could not compile {imported.graph.name} for {imported.isa.name}: {last}. "
            "Try isa='generic', and please report the model",
            stderr=str(error),
        ) from error


def export(executable: Any, path: Path, host_arch: str) -> None:
    """Write the library; it is linked by the C++ compiler of the host, or one that links for another architecture.

    Args:
        executable: from `compile_module`.
        path: of the library.
        host_arch: of the machine it will run on, as Linux names it.

    Raises:
        BuildError: no C++ compiler, or linking failed.
    """
    cc = require("tvm.support.cc", feature=f"Linking {path.name}")
    if host_arch != host_architecture():
        link, needed = {"fcompile": cc.cross_compiler(cross_compiler(host_arch))}, _package(host_arch)
    elif cc.get_cc() is None:
        raise BuildError(
            f"linking {path.name} failed: there is neither a compiler in PATH nor one named by CXX or CC. {_NEEDED}"
        )
    else:
        link, needed = {}, _NEEDED
    try:
        executable.export_library(str(path), **link)
    except Exception as error:  # TVM's, Python's or the system's, of no stable kind
        raise BuildError(
            f"linking {path.name} failed: {str(error).strip()[-500:]}. {needed}", stderr=str(error)
        ) from error


def cross_compiler(host_arch: str) -> str:
    """The C++ compiler that links for another architecture, by its path.

    Raises:
        BuildError: it is not in PATH; names the package.
    """
    name = f"{host_arch}-linux-gnu-g++"
    found = shutil.which(name)
    if found is None:
        raise BuildError(
            f"linking for {host_arch} on {host_architecture()} needs {name}, which is not in PATH. "
            f"{_package(host_arch)}"
        )
    return found


def _package(host_arch: str) -> str:
    name = host_arch.replace("_", "-")  # as Debian names packages
    return f"On Debian and Ubuntu: apt install g++-{name}-linux-gnu"
