"""The steps of an installation.  Each may be done again at any time, and leaves the same behind."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ectoolkit.mera.install.libraries import LOADER, Folders, complete
from ectoolkit.mera.install.recipe import MERA, NEEDED, PACKAGES_MB, TORCH, TORCH_MB
from ectoolkit.mera.install.tools import Watch, run_tool
from ectoolkit.mera.place import launcher, local_place
from ectoolkit.mera.session import Worker

_ELF, _STACK, _EXECUTABLE = b"\x7fELF\x02", 0x6474E551, 1
#: MERA asks the system for its processor by a name that Debian leaves empty; and its children need the launcher too
_SITECUSTOMIZE = """import os, platform, sys
if not platform.processor():
    platform.processor = platform.machine
launcher = os.environ.pop("ECTOOLKIT_MERA_LAUNCHER", "")
if launcher:
    sys.executable = launcher
os.environ.setdefault("TOPHUB_LOCATION", "NONE")
"""


@dataclass(frozen=True)
class Layout:
    """Where things are in an environment's folder."""

    folder: Path
    interpreter: Path

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    @property
    def packages(self) -> Path:
        """site-packages."""
        return self.venv / "lib" / "python3.10" / "site-packages"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def libraries(self) -> Folders:
        root = self.folder / "lib"
        return Folders(root / "runtime", root / "extra", self.folder / "debs")

    @property
    def ours(self) -> tuple[Path, ...]:
        """All that the steps make in the folder."""
        return (self.venv, self.temporary, self.folder / "lib", self.libraries.work, launcher(self.folder).parent)


@dataclass(frozen=True)
class Step:
    """One step: a name, what it is for people, its share of the whole, and what does it."""

    name: str
    title: str
    weight: int
    run: Callable[[Layout, Watch], None]


def _make_venv(layout: Layout, watch: Watch) -> None:
    shutil.rmtree(layout.venv, ignore_errors=True)
    run_tool([layout.interpreter, "-m", "venv", layout.venv], doing="making the environment", watch=watch)


def _pip(layout: Layout, doing: str, watch: Watch, *words: str) -> None:
    """pip, with all its temporary files in the folder and no cache outside it."""
    shutil.rmtree(layout.temporary, ignore_errors=True)
    layout.temporary.mkdir()
    # a broken package of an interrupted run is written over, not removed first
    options = ["--no-cache-dir", "--disable-pip-version-check", "--ignore-installed", "--no-input"]
    environment = {
        "PIP_CONSTRAINT": "",
        "PIP_REQUIRE_VIRTUALENV": "",
        # of the user's: they would lead out of the folder
        "PIP_PREFIX": "",
        "PIP_ROOT": "",
        "PIP_TARGET": "",
        "PIP_USER": "",
        "TMPDIR": str(layout.temporary),
        "PYTHONPATH": "",
    }
    run_tool(
        [layout.venv / "bin" / "python", "-m", "pip", "install", *options, *words],
        doing=doing,
        watch=lambda line: watch(downloading(layout.temporary) or line),
        environment=environment,
    )
    shutil.rmtree(layout.temporary)


def downloading(folder: Path) -> str:
    """The file that pip is writing, and how far it is; pip itself says so on terminals alone."""
    try:
        wheels = [(path.stat().st_size, path.name) for path in folder.glob("pip-unpack-*/*.whl")]
    except FileNotFoundError:  # pip removes its folders while we look
        return ""
    if not wheels:
        return ""
    size, name = max(wheels)
    return f"{name.partition('-')[0]}: {size / 1e6:.0f} MB"


def _install_torch(layout: Layout, watch: Watch) -> None:
    _pip(layout, f"installing {TORCH}", watch, "--no-deps", TORCH)


def _install_packages(layout: Layout, watch: Watch) -> None:
    _pip(layout, "installing MERA", watch, "--no-deps", *MERA)  # it would bring torch again
    _pip(layout, "installing what MERA needs", watch, *NEEDED)


def _bring_libraries(layout: Layout, watch: Watch) -> None:
    complete(layout.packages, layout.libraries, watch)


def _write_launcher(layout: Layout, watch: Watch) -> None:
    for library in sorted((layout.packages / "torch" / "lib").glob("*.so*")):
        watch(f"looking at {library.name}")
        clear_executable_stack(library)
    (layout.packages / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    program = launcher(layout.folder)
    program.parent.mkdir(exist_ok=True)
    program.write_text(launcher_text(layout))
    program.chmod(0o755)


def launcher_text(layout: Layout) -> str:
    """The program that runs the environment's Python with the right libraries."""
    folders = layout.libraries
    python, own = layout.venv / "bin" / "python", launcher(layout.folder)
    path = ":".join(folders.search_path())
    lines = ["#!/bin/sh", "# made by `ectoolkit mera install`", f"export ECTOOLKIT_MERA_LAUNCHER={_quoted(own)}"]
    if folders.private:
        loader = folders.runtime / LOADER
        lines.append("unset LD_LIBRARY_PATH LD_PRELOAD PYTHONHOME PYTHONPATH")
        words = [loader, "--library-path", path, "--argv0", python, layout.interpreter.resolve()]
    else:
        lines.append("unset PYTHONHOME PYTHONPATH")
        lines.append(f'export LD_LIBRARY_PATH={_quoted(path)}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"')
        words = [python]
    return "\n".join([*lines, f'exec {" ".join(map(_quoted, words))} "$@"', ""])


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "'\\''") + "'"


def clear_executable_stack(library: Path) -> None:
    """torch 1.12's libraries ask for an executable stack, which glibc from 2.41 on refuses; nothing needs it."""
    with library.open("r+b") as file:
        head = file.read(64)
        if head[:5] != _ELF:
            return
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        for index in range(count):
            file.seek(offset + index * size)
            kind, flags = struct.unpack("<II", file.read(8))
            if kind == _STACK and flags & _EXECUTABLE:
                file.seek(offset + index * size + 4)
                file.write(struct.pack("<I", flags & ~_EXECUTABLE))


def check(layout: Layout, watch: Watch) -> None:
    """Quantize, compile and run a small network there.

    Raises:
        WorkerError: it does not work; with what it printed.
    """
    worker = Worker(local_place(launcher(layout.folder)))
    try:
        worker.call("self_test", timeout_s=300, doing="the self-test", waiting=lambda seconds, line: watch(line))
    finally:
        worker.close()


STEPS = (
    Step("python", "an environment of CPython 3.10", 20, _make_venv),
    Step("torch", "torch 1.12.1", TORCH_MB, _install_torch),
    Step("packages", "MERA and what it needs", PACKAGES_MB, _install_packages),
    Step("libraries", "libraries that this system lacks", 150, _bring_libraries),
    Step("launcher", "the launcher", 10, _write_launcher),
    Step("check", "the self-test", 60, check),
)
