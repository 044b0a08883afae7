"""Finds XRT's user space: the C library, its folder, its Python module; nothing is loaded."""

from __future__ import annotations

import importlib.util
import os
import re
from contextlib import suppress
from pathlib import Path

import platformdirs

LIBRARY = "libxrt_coreutil.so.2"
VENDOR_FOLDER = Path("/opt/xilinx/xrt")
#: where distributions put libraries; Debian's XRT is in the first
SYSTEM_FOLDERS = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib"), Path("/usr/local/lib"))
REMEDY = (
    "Install AMD's XRT package for your distribution (from the Alveo U50's download page), or Debian's: "
    "apt install libxrt1"
)
#: Debian's packages for the virtual board: XRT, what its driver is compiled against, and what compiles it
VIRTUAL_PACKAGES = "libxrt1 libxrt-dev uuid-dev gcc"


def find_library() -> Path | None:
    """``libxrt_coreutil.so.2``: from XILINX_XRT, AMD's package, or the distribution's."""
    named = os.environ.get("XILINX_XRT")
    folders = [Path(named) / "lib"] if named else []
    for folder in (*folders, VENDOR_FOLDER / "lib", *SYSTEM_FOLDERS):
        if (folder / LIBRARY).exists():
            return folder / LIBRARY
    return None


def library_version() -> str:
    """``"2.13"``, from the library's file name; empty where there is no library."""
    library = find_library()
    match = re.search(r"\.so\.(\d+\.\d+)", library.resolve().name) if library else None
    return match[1] if match else ""


def has_pyxrt() -> bool:
    """Whether this Python, or XRT's folder, has the module."""
    return importlib.util.find_spec("pyxrt") is not None or bool(list(_python_folder().glob("pyxrt*.so")))


def _python_folder() -> Path:
    return xrt_folder() / "python"


def xrt_folder() -> Path:
    """What XILINX_XRT must name: a folder with XRT's libraries in ``lib``.

    Debian's package has none, and its libraries do not find their own plug-ins without; then it is a folder of links
    in the user's cache.
    """
    named = os.environ.get("XILINX_XRT")
    if named:
        return Path(named)
    library = find_library()
    if library is None or library.parent.parent == VENDOR_FOLDER:
        return VENDOR_FOLDER
    folder = Path(platformdirs.user_cache_dir("ectoolkit")) / "xrt" / library.resolve().name
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    for source in library.parent.glob("libxrt_*.so*"):
        link = folder / "lib" / source.name
        if not link.is_symlink():
            with suppress(FileExistsError):  # another process may be faster
                link.symlink_to(source)
    return folder
