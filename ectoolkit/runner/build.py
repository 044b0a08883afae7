"""Compile `inference` with the user's own C++ compiler, once, and keep it in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from ectoolkit.core.atomic import replacing_file
from ectoolkit.core.host import cross_compiler, host_architecture
from ectoolkit.errors import BuildError, InputError
from ectoolkit.runner.wheels import TvmWheels, find_wheels

PROGRAM = "inference"
_FEATURE = "Building the inference program"
_SOURCES = Path(__file__).parent
_LAST_LINES = 15

Progress = Callable[[int, int, str], None]


def build_runner(
    destination: str | os.PathLike[str] | None = None,
    *,
    host_arch: str = "",
    wheels: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Compile the C++ program, unless it was compiled for these sources and this TVM before.

    Args:
        destination: a file to write or an existing folder to write ``inference`` into; by default the program
            stays in the user's cache folder. The program finds TVM's libraries by their absolute path, so it
            runs on this machine, wherever it lies.
        host_arch: of the machine the program is for, as Linux names it, such as ``"aarch64"``; this one's where empty.
        wheels: folder that TVM's wheels were installed into with ``pip install --target``; needed for another
            architecture, whose wheels are not this Python's.
        progress: called with (steps done, steps in all, name) after each step.

    Returns:
        The program, absolute.

    Raises:
        MissingDependencyError: apache-tvm is not installed.
        BuildError: no compiler or no CMake, or one of them failed: then with its command and output; or no wheels of
            that architecture.
        InputError: the destination cannot be written.
    """
    architecture = host_arch or host_architecture()
    if wheels is None and architecture != host_architecture():
        raise BuildError(
            f"{_FEATURE} for {architecture} needs TVM's libraries for it, and wheels names no folder that has them. "
            f"Get them with: pip install --target FOLDER --platform manylinux_2_28_{architecture} "
            "--only-binary=:all: --no-deps apache-tvm apache-tvm-ffi, of the versions that build deploy.so"
        )
    found = find_wheels(_FEATURE, None if wheels is None else Path(wheels).expanduser().absolute())
    program = _cached_program(found, architecture)
    report = progress or (lambda done, total, name: None)
    if program.is_file():
        report(2, 2, "already built")
    else:
        _compile(found, architecture, program, report)
    return program if destination is None else _copy(program, Path(destination).expanduser().absolute())


def runner_path() -> Path | None:
    """The program of `build_runner` where it was built for these sources and this TVM, else None.

    Raises:
        MissingDependencyError: apache-tvm is not installed.
        BuildError: it is, but not as its wheels install it.
    """
    program = _cached_program(find_wheels("The inference program"), host_architecture())
    return program if program.is_file() else None


def _cached_program(wheels: TvmWheels, architecture: str) -> Path:
    """Where the program for these sources, this TVM and this kind of machine is kept."""
    key = hashlib.sha256()
    for path in sorted([_SOURCES / "CMakeLists.txt", *(_SOURCES / "src").iterdir()]):
        if path.is_file():
            key.update(f"{path.name}:{path.stat().st_size}:".encode() + path.read_bytes())
    key.update(repr((wheels, platform.system(), architecture)).encode())
    cache = Path(platformdirs.user_cache_dir("ectoolkit"))
    return cache / "runner" / key.hexdigest()[:16] / PROGRAM


def _compile(wheels: TvmWheels, architecture: str, program: Path, report: Progress) -> None:
    """Configure and build in a folder of this call's own, so that two calls at once do not meet."""
    cmake = _require_tool("cmake")
    own = architecture == host_architecture()
    toolchain = [*(_compiler_option() if own else _cross_options(architecture)), *_generator_options()]
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="build-", dir=program.parent)
    except OSError as error:
        raise BuildError(
            f"cannot build in {program.parent}: {error.strerror}. "
            "Make the folder writable, or set XDG_CACHE_HOME to one that is"
        ) from error
    with folder as build:
        _run(
            [
                cmake,
                *("-S", str(_SOURCES), "-B", build, "-DCMAKE_BUILD_TYPE=Release"),
                *toolchain,
                f"-DTVM_FFI_INCLUDE_DIR={wheels.include}",
                f"-DTVM_FFI_LIBRARY={wheels.ffi_library}",
                f"-DTVM_RUNTIME_LIBRARY={wheels.runtime_library}",
            ],
            "configuring",
        )
        report(1, 2, "configured")
        _run([cmake, "--build", build, "--parallel", str(os.cpu_count() or 1)], "compiling")
        os.replace(Path(build) / PROGRAM, program)
    report(2, 2, "compiled")


def _find_tool(name: str) -> str | None:
    """A program from PATH, else the one that its wheel put beside this Python."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def _require_tool(name: str) -> str:
    found = _find_tool(name)
    if found is None:
        raise BuildError(
            f"{_FEATURE} needs {name}, which is not in PATH nor beside {sys.executable}. "
            f"Install it with: pip install {name}"
        )
    return found


def _compiler_option() -> list[str]:
    """The compiler for CMake; none where CXX names one, which CMake reads itself."""
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        if shutil.which(shlex.split(chosen)[0]) is None:
            raise BuildError(
                f"{_FEATURE} needs the C++ compiler that CXX names, which is not there: {chosen!r}. "
                "Set CXX to a C++17 compiler, or unset it"
            )
        return []
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        raise BuildError(
            f"{_FEATURE} needs a C++17 compiler; found none of c++, g++, clang++ in PATH. "
            "Install one (Debian, Ubuntu: apt install g++; Fedora, RHEL: dnf install gcc-c++), "
            "or set CXX to where it is"
        )
    return [f"-DCMAKE_CXX_COMPILER={compiler}"]


def _cross_options(architecture: str) -> list[str]:
    """For a machine of another architecture."""
    system = ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={architecture}"]
    return [*system, f"-DCMAKE_CXX_COMPILER={cross_compiler(architecture, _FEATURE)}"]


def _generator_options() -> list[str]:
    ninja = _find_tool("ninja")
    if ninja is not None:
        return ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    if shutil.which("make") is None:
        raise BuildError(f"{_FEATURE} needs ninja or make; found neither. Install one with: pip install ninja")
    return ["-G", "Unix Makefiles"]


def _run(command: list[str], doing: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise BuildError(f"{_FEATURE} failed while {doing}: {error}", command=shlex.join(command)) from error
    if done.returncode:
        # Ninja prints the compiler's errors to stdout, CMake its own to stderr.
        lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise BuildError(
            f"{_FEATURE} failed while {doing} (exit status {done.returncode}). Its last lines:\n"
            + "\n".join(lines[-_LAST_LINES:]),
            command=shlex.join(command),
            stdout=done.stdout,
            stderr=done.stderr,
        )


def _copy(program: Path, destination: Path) -> Path:
    if destination.is_dir():
        destination /= PROGRAM
    if destination.is_file():
        with destination.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                raise InputError(
                    f"{destination} is there and is no program, so it is not replaced. Choose another name"
                )
    with replacing_file(destination) as temporary:
        shutil.copy(program, temporary)
    return destination
