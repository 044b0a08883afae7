"""What a benchmark's numbers hold for: the processor, its cores, the versions of everything measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path


def cpus() -> set[int]:
    """Cores that this process may use."""
    return os.sched_getaffinity(0)


def cpu_name() -> str:
    """The processor as the system names it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of packages; those that are not installed are left out."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
