"""Relax module → ``deploy.so``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ectoolkit._optional import require
from ectoolkit.builders.cpu.importer import ImportedModule
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
    isa = imported.isa
    target = tvm.target.Target({"kind": "llvm", "mcpu": isa.mcpu, "mattr": list(isa.llvm_features), "opt-level": 3})
    try:
        return tvm.compile(imported.module, target=target)
    except Exception as error:  # TVM raises many kinds; each is a failed build to the caller
        last = "\n".join(str(error).strip().splitlines()[-5:])
        raise BuildError(
            f"TVM could not compile {imported.graph.name} for {isa.name}: {last}. "
            "Try isa='generic', and please report the model",
            stderr=str(error),
        ) from error


def export(executable: Any, path: Path) -> None:
    """Write the library; it is linked by the C++ compiler of the host.

    Raises:
        BuildError: no C++ compiler, or linking failed.
    """
    cc = require("tvm.support.cc", feature=f"Linking {path.name}")
    if cc.get_cc() is None:
        raise BuildError(
            f"linking {path.name} failed: there is neither a compiler in PATH nor one named by CXX or CC. {_NEEDED}"
        )
    try:
        executable.export_library(str(path))
    except Exception as error:  # TVM's, Python's or the system's, of no stable kind
        raise BuildError(
            f"linking {path.name} failed: {str(error).strip()[-500:]}. {_NEEDED}", stderr=str(error)
        ) from error
