"""Relax module → ``deploy.so``.

LLVM takes most of a build's time and uses one core for a module, so the kernels are compiled in `PARTS` modules side by
side.  Their number is fixed, whatever this machine has: the same graph must make the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from ectoolkit._optional import require
from ectoolkit.builders.cpu.importer import ImportedModule
from ectoolkit.core.host import cross_compiler, cross_compiler_package, host_architecture
from ectoolkit.errors import BuildError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: modules that the kernels are compiled in
PARTS = 4

#: steps of ``tvm.compile`` and ``export_library`` that TVM has no public name for: module and name
_PRIVATE = (
    ("tvm.relax.vm_build", "_vmcodegen"),
    ("tvm.relax.vm_build", "_filter_tir"),
    ("tvm.relax.vm_build", "_ffi_api.VMLink"),
    ("tvm.runtime", "Module._collect_dso_modules"),
    ("tvm.runtime", "_ffi_api.ModulePackImportsToLLVM"),
)

LINKING = "Linking deploy.so"
_NEEDED = "A C++ compiler is needed: on Debian and Ubuntu, apt install g++"


def compile_module(imported: ImportedModule) -> Any:
    """Compile with LLVM.

    Args:
        imported: from `ectoolkit.builders.cpu.importer.import_graph`.

    Returns:
        TVM's executable; `export` writes it.

    Raises:
        BuildError: TVM refused the module, with its own words; or it is a release that this file does not know.
    """
    tvm = require("tvm", feature="Compiling deploy.so")
    _require_private_names(tvm.__version__)
    try:
        return _compiled(tvm, imported.module, tvm.target.Target(imported.isa.target))
    except Exception as error:  # TVM raises many kinds; each is a failed build to the caller
        last = "\n".join(str(error).strip().splitlines()[-5:])
        raise BuildError(
            f"TVM could not compile {imported.graph.name} for {imported.isa.name}: {last}. "
            "Try isa='generic', and please report the model",
            stderr=str(error),
        ) from error


def _require_private_names(version: str) -> None:
    for module, name in _PRIVATE:
        try:
            attrgetter(name)(require(module, feature="Compiling deploy.so"))
        except AttributeError as error:
            raise BuildError(
                f"apache-tvm {version} has no {module}.{name}, which building deploy.so needs. ectoolkit is written "
                "for apache-tvm 0.27: pip install 'apache-tvm>=0.27,<0.28'"
            ) from error


def _compiled(tvm: Any, module: Any, target: Any) -> Any:
    """What ``tvm.compile`` does, with the kernels in several modules."""
    vm_build = require("tvm.relax.vm_build", feature="Compiling deploy.so")
    with target:
        lowered = tvm.relax.get_pipeline("default")(module)
    builder = tvm.relax.ExecBuilder()
    kernels = vm_build._filter_tir(vm_build._vmcodegen(builder, lowered, "bytecode"))
    named = sorted(kernels.functions.items(), key=lambda item: item[0].name_hint)
    parts = [tvm.IRModule(dict(named[first::PARTS]), attrs=kernels.attrs) for first in range(min(PARTS, len(named)))]
    first, *others = _side_by_side(lambda part: tvm.tirx.build(part, target=target), parts)
    return tvm.relax.VMExecutable(vm_build._ffi_api.VMLink(builder, target, first, others, {}))


def _side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """TVM lets other threads run while it compiles."""
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), len(items))) as pool:
        return list(pool.map(work, items))


def export(executable: Any, path: Path, host_arch: str) -> None:
    """Write the library; it is linked by the C++ compiler of the host, or one that links for another architecture.

    Args:
        executable: from `compile_module`.
        path: of the library.
        host_arch: of the machine it will run on, as Linux names it.

    Raises:
        BuildError: no C++ compiler, or linking failed.
    """
    cc = require("tvm.support.cc", feature=LINKING)
    if host_arch != host_architecture():
        link, needed = cc.cross_compiler(cross_compiler(host_arch, LINKING)), cross_compiler_package(host_arch)
    elif cc.get_cc() is None:
        raise BuildError(
            f"linking {path.name} failed: there is neither a compiler in PATH nor one named by CXX or CC. {_NEEDED}"
        )
    else:
        link, needed = cc.create_shared, _NEEDED
    try:
        with tempfile.TemporaryDirectory(prefix="ectoolkit-") as folder:
            link(str(path), _objects(executable.mod, Path(folder)))
    except Exception as error:  # TVM's, Python's or the system's, of no stable kind
        raise BuildError(
            f"linking {path.name} failed: {str(error).strip()[-500:]}. {needed}", stderr=str(error)
        ) from error


def _objects(module: Any, folder: Path) -> list[str]:
    """Object files of an executable as ``export_library`` makes them, one after another."""
    runtime = require("tvm.runtime", feature=LINKING)
    libraries = module._collect_dso_modules()
    files = [str(folder / f"lib{index}.o") for index in range(len(libraries))]

    def write(pair: tuple[Any, str]) -> None:
        pair[0].write_to_file(pair[1])

    _side_by_side(write, list(zip(libraries, files, strict=True)))
    target = libraries[0].get_function("_get_target_string")()
    # the virtual machine's program, and which modules there are
    rest = str(folder / "devc.o")
    runtime._ffi_api.ModulePackImportsToLLVM(module, False, target, "").write_to_file(rest)
    return [*files, rest]
