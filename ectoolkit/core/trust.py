"""Which deploy directories this user built or trusts: the others hold native code of nobody knows whom.

What is kept is the hash of the manifest, which holds the hash of every file: a directory may be moved or copied and
stays trusted, and one changed byte makes it another one.  See docs/decisions/0018.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import platformdirs

from ectoolkit._notices import warn
from ectoolkit.errors import EctoolkitWarning, UntrustedError

#: the ledger is cut to its newest half when it is longer; what is forgotten is asked for once more
_MOST_LINES = 4096
_LINE_BYTES = 65  # a sha256 in hexadecimal, and the end of the line

#: of this process, whether or not they could be written down
_known: set[str] = set()


def ledger() -> Path:
    """The file with one hash a line, oldest first."""
    return platformdirs.user_state_path("ectoolkit") / "trusted_deployments"


def is_trusted(manifest_sha256: str) -> bool:
    """Whether this user built the directory on this machine, or said that it may run."""
    if manifest_sha256 not in _known and manifest_sha256 in _read():
        _known.add(manifest_sha256)
    return manifest_sha256 in _known


def trust(path: Path, manifest_sha256: str, *, remember: bool = True, stacklevel: int = 2) -> None:
    """Let a directory's native code run.

    Args:
        path: of what was built here, or what the user vouches for.
        manifest_sha256: what it is; its name is no matter.
        remember: for this user's later processes too.
        stacklevel: of the warning.

    Warns:
        EctoolkitWarning: the ledger cannot be written.
    """
    if remember and manifest_sha256 not in _read():
        try:
            _append(manifest_sha256)
        except OSError as error:
            warn(
                f"{ledger()} cannot be written ({error.strerror}), so other processes will ask again whether "
                f"{path} may run. Make the folder writable, or set XDG_STATE_HOME to one that is",
                EctoolkitWarning,
                stacklevel=stacklevel,
            )
    _known.add(manifest_sha256)


def require_trust(path: Path, manifest_sha256: str, device: str) -> None:
    """Refuse native code of unknown origin.

    Args:
        path: of what is about to be loaded.
        manifest_sha256: what it is.
        device: its name, for the error.

    Raises:
        UntrustedError: this user neither built it here nor said that it may run.
    """
    if is_trusted(manifest_sha256):
        return
    raise UntrustedError(
        f"{path} was not built here by this user (manifest {manifest_sha256[:12]}…), and {device} would run the native "
        "code in it, which may do whatever you may. If you trust where it comes from, say so once: "
        f"ect.load_deployment({str(path)!r}, trust=True), or --trust on the command line; this is remembered for "
        "exactly these files. The device 'interpreter' runs it without its native code"
    )


def _read() -> frozenset[str]:
    try:
        return frozenset(ledger().read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError):
        return frozenset()


def _append(digest: str) -> None:
    path = ledger()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_file() and path.stat().st_size > _MOST_LINES * _LINE_BYTES:
        _replace(path, path.read_text(encoding="ascii", errors="replace").split()[-_MOST_LINES // 2 :])
    # one short write at the end: processes that build at the same time do not mix their lines
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab", buffering=0) as file:
        file.write(f"{digest}\n".encode())


def _replace(path: Path, lines: Iterable[str]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
