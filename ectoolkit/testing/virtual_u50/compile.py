"""Compiles the fake driver at first use, into the user's cache; the key is its source and the compiler."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import platformdirs

from ectoolkit.core.atomic import replacing_file
from ectoolkit.devices.xrt.discovery import Obstacle
from ectoolkit.devices.xrt.libraries import LIBRARY, VIRTUAL_PACKAGES, find_library
from ectoolkit.errors import BuildError, MissingDependencyError

SOURCES = Path(__file__).parent / "driver"
HEADERS = (Path("/usr/include/xocl_ioctl.h"), Path("/usr/include/xrt/xclbin.h"), Path("/usr/include/uuid/uuid.h"))
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared")
_SECONDS = 120


def missing() -> Obstacle | None:
    """All that the virtual board lacks on this machine; None where it can be built and started."""
    lacking = [] if find_library() else [LIBRARY]
    lacking += [str(header) for header in HEADERS if not header.is_file()]
    lacking += [] if shutil.which("gcc") else ["gcc"]
    if not lacking:
        return None
    return Obstacle(f"not found: {', '.join(lacking)}", f"On Debian and Ubuntu: apt install {VIRTUAL_PACKAGES}")


def driver_library() -> Path:
    """The library to preload.

    Raises:
        MissingDependencyError: gcc or XRT's headers are not installed.
        BuildError: gcc failed.
    """
    lacking = missing()
    if lacking is not None:
        raise MissingDependencyError(f"The virtual U50 cannot be built: {lacking}")
    parts = sorted(SOURCES.iterdir())
    digest = hashlib.sha256(b"\0".join([*(part.read_bytes() for part in parts), *(h.read_bytes() for h in HEADERS)]))
    folder = Path(platformdirs.user_cache_dir("ectoolkit")) / "virtual_u50"
    library = folder / f"driver-{digest.hexdigest()[:16]}.so"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing_file(library) as temporary:
            command = ["gcc", *_FLAGS, "-o", str(temporary), *(str(p) for p in parts if p.suffix == ".c"), "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
            if done.returncode:
                raise BuildError(
                    f"the virtual U50's driver does not compile: {done.stderr.strip()}",
                    command=" ".join(command),
                    stdout=done.stdout,
                    stderr=done.stderr,
                )
    return library
