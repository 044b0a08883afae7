"""The CPU, and the programs beside Python."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ectoolkit.cli.doctor.finding import Finding
from ectoolkit.core.host import host_architecture, host_cpu_features
from ectoolkit.errors import EctoolkitError

#: flags of /proc/cpuinfo that matter to integer kernels
FEATURES = ("avx2", "fma", "bmi2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "amx_int8")
#: where TVM looks for a compiler to link with, in its order
COMPILERS = ("g++", "gcc", "clang++", "clang", "c++", "cc")
_SECONDS = 10


def cpu() -> list[Finding]:
    """The CPU's name, its features, and what the cpu target makes of them."""
    cores = len(os.sched_getaffinity(0))
    found = [Finding("CPU", True, f"{cpu_name()}, {cores} core{'s' if cores > 1 else ''} to use here")]
    have = host_cpu_features()
    shown = [feature for feature in FEATURES if feature in have]
    found.append(Finding("features", True, ", ".join(shown) or "none of those that the kernels look for"))
    return [*found, cpu_target()]


def cpu_name() -> str:
    """As the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_target() -> Finding:
    """Which instruction set ``target="cpu"`` builds for on this machine."""
    from ectoolkit.builders.cpu.isa import choose_isa

    try:
        isa = choose_isa()
    except EctoolkitError as error:
        return Finding("cpu target", False, str(error), "an x86-64 or 64-bit Arm machine", True)
    return Finding("cpu target", True, f"builds for isa '{isa.name}' here", "", True)


#: what the fast interpreter's way to sum means
_SUMS = {
    "int8": "sums in int8, which is exact here (tested now)",
    "float32": "sums in float32, exact but slower: torch's int8 convolutions are wrong on this CPU, which lacks VNNI",
    "float64": "sums in float64, exact but much slower: torch's int8 and float32 convolutions are not exact here",
}


def fast_interpreter() -> Finding:
    """How the fast interpreter sums on this CPU, found in a process of its own: torch takes long to load."""
    code = "from ectoolkit.interpreters.fast.self_test import exact_method; print(exact_method())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, errors="replace", timeout=6 * _SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("fast interpreter", False, f"does not answer: {error}", "pip install 'ectoolkit[torch]'")
    method = done.stdout.strip()
    if method in _SUMS:
        return Finding("fast interpreter", True, _SUMS[method])
    reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return Finding("fast interpreter", False, f"does not run: {reason}", "pip install 'ectoolkit[torch]'")


def compiler() -> Finding:
    """The C++ compiler that links ``deploy.so`` and compiles ``inference``."""
    cure = "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora, RHEL)"
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        path = shutil.which(shlex.split(chosen)[0])
        if path is None:
            return Finding("C++ compiler", False, f"CXX names {chosen!r}, which is not there", "unset CXX", True)
        return Finding("C++ compiler", True, f"{version_line(path)}, {path} (from CXX)", "", True)
    path = next(filter(None, map(shutil.which, COMPILERS)), None)
    if path is None:
        return Finding("C++ compiler", False, "not found", cure, True)
    return Finding("C++ compiler", True, f"{version_line(path)}, {path}", "", True)


def other_architecture() -> list[Finding]:
    """What builds for Arm on x86, and what runs it there."""
    if host_architecture() != "x86_64":
        return [Finding("64-bit Arm", host_architecture() == "aarch64", f"this machine is {host_architecture()}")]
    linker = program("aarch64-linux-gnu-g++", "apt install g++-aarch64-linux-gnu (Debian, Ubuntu)")
    return [linker, program("qemu-aarch64", "apt install qemu-user (Debian, Ubuntu)")]


def program(name: str, cure: str) -> Finding:
    """A program from PATH, or beside this Python, where its wheel puts it."""
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        return Finding(name, False, "not found", cure)
    return Finding(name, True, f"{version_line(path)}, {path}")


def inference() -> Finding:
    """The C++ program, where it was built."""
    from ectoolkit.runner import runner_path

    cure = "ectoolkit runner build"
    try:
        path = runner_path()
    except EctoolkitError as error:
        return Finding("inference (C++ program)", False, f"cannot be built: {error}", cure)
    if path is None:
        return Finding("inference (C++ program)", False, "not built yet for these versions", cure)
    return Finding("inference (C++ program)", True, str(path))


def chromium() -> Finding:
    """A browser that the browser tests can drive."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None) or _playwright_chromium()
    if path is None:
        cure = "apt install chromium, or: pip install playwright && playwright install chromium"
        return Finding("Chromium", False, "not found", cure)
    return Finding("Chromium", True, f"{version_line(path)}, {path}")


def _playwright_chromium() -> str | None:
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    found = sorted(cache.glob("chromium-*/chrome-linux*/chrome"))
    return str(found[-1]) if found else None


def version_line(path: str) -> str:
    """The first line of ``--version``; says so where the program does not answer."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return "does not tell its version"
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines and not done.returncode else "does not tell its version"
