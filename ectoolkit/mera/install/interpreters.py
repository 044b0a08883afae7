"""Finds a CPython 3.10, which MERA's extension modules are made for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ectoolkit.errors import BuildError
from ectoolkit.mera.install.recipe import PYTHON

VARIABLE = "MERA_PYTHON310"
_NAME = f"python{PYTHON[0]}.{PYTHON[1]}"
_ASK = (
    "import json, platform, sys\n"
    "try:\n import ensurepip, venv; able = True\n"
    "except ImportError: able = False\n"
    "print(json.dumps([list(sys.version_info[:3]), platform.python_implementation(), platform.machine(), able]))"
)
_SECONDS = 20
_CURE = (
    f"Install one (pyenv install {PYTHON[0]}.{PYTHON[1]}; uv python install {PYTHON[0]}.{PYTHON[1]}; on Debian or "
    f"Ubuntu with such a package: apt install {_NAME}-venv), or name one with --python or {VARIABLE}"
)


def find_interpreter(given: str | os.PathLike[str] | None = None) -> Path:
    """A CPython 3.10 for x86-64 that can make environments.

    Args:
        given: where the user named one; else the variable ``MERA_PYTHON310``, PATH, pyenv's and uv's are searched.

    Raises:
        BuildError: there is none, or the one named is another; says what was found.
    """
    named = os.fspath(given) if given is not None else os.environ.get(VARIABLE, "").strip()
    if named:
        path = shutil.which(str(Path(named).expanduser()))
        if path is None:
            raise BuildError(f"{named} is no program that can be run; expected a CPython 3.10. {_CURE}")
        reason = _unfit(path)
        if reason:
            raise BuildError(f"{path} {reason}; MERA needs CPython 3.10 for x86-64, with venv. {_CURE}")
        return Path(path)
    seen = []
    for candidate in _candidates():
        reason = _unfit(str(candidate))
        if not reason:
            return candidate
        seen.append(f"{candidate} {reason}")
    found = f" Seen: {'; '.join(seen)}." if seen else ""
    raise BuildError(
        f"no CPython 3.10 was found, which MERA needs: not in PATH, and none of pyenv's or uv's.{found} {_CURE}"
    )


def _candidates() -> Iterator[Path]:
    inside = shutil.which(_NAME)
    if inside is not None:
        yield Path(inside)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    uv = Path(
        os.environ.get("UV_PYTHON_INSTALL_DIR")
        or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "uv" / "python"
    )
    for root, pattern in ((pyenv, "3.10.*"), (uv, "cpython-3.10.*")):
        for version in sorted(root.glob(pattern), reverse=True):
            program = version / "bin" / _NAME
            if program.is_file():
                yield program


def _unfit(program: str) -> str:
    """Why a program is not what is needed, empty where it is."""
    try:
        done = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS, check=False)
        version, kind, machine, able = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return "does not run"
    if tuple(version[:2]) != PYTHON or kind != "CPython":
        return f"is {kind} {'.'.join(map(str, version))}"
    if machine not in ("x86_64", "AMD64"):
        return f"is for {machine}"
    return "" if able else f"has no venv (on Debian or Ubuntu: apt install {_NAME}-venv)"
