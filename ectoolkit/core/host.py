"""What the machine this runs on can do."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from ectoolkit.errors import BuildError


def host_architecture() -> str:
    """This machine's, as Linux names it: ``"x86_64"``, ``"aarch64"``."""
    return {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())


def host_cpu_features() -> frozenset[str]:
    """Flags of this machine's CPU, empty where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return frozenset()
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):  # x86, Arm
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def missing_features(features: Sequence[str]) -> list[str]:
    """Which of these this CPU lacks, in order."""
    have = host_cpu_features()
    return [feature for feature in features if feature not in have]


def cross_compiler(architecture: str, feature: str) -> str:
    """The C++ compiler that makes and links code for another architecture, by its path.

    Args:
        architecture: as Linux names it.
        feature: what the user asked for, as the start of a sentence.

    Raises:
        BuildError: it is not in PATH; names the package.
    """
    name = f"{architecture}-linux-gnu-g++"
    found = shutil.which(name)
    if found is None:
        raise BuildError(
            f"{feature} for {architecture} needs {name}, which is not in PATH. {cross_compiler_package(architecture)}"
        )
    return found


def cross_compiler_package(architecture: str) -> str:
    """How to install `cross_compiler`."""
    return f"On Debian and Ubuntu: apt install g++-{architecture.replace('_', '-')}-linux-gnu"
