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
from typing import TYPE_CHECKING

import platformdirs

from ectoolkit._notices import warn
from ectoolkit.errors import EctoolkitWarning, UntrustedError

if TYPE_CHECKING:
    from ectoolkit.core.deployment import Deployment

#: the ledger is cut to its newest half when it is longer; what is forgotten is asked for once more
_MOST_LINES = 4096
_LINE_BYTES = 65  # a sha256 in hexadecimal, and the end of the line

#: of this process, whether or not they could be written down
_known: set[str] = set()


def ledger() -> Path:
    """The file with one hash a line, oldest first."""
    return platformdirs.user_state_path("ectoolkit") / "trusted_deployments"


def is_trusted(deployment: Deployment) -> bool:
    """Whether this user built the directory on this machine, or said that it may run."""
    digest = deployment.manifest.manifest_sha256
    if digest not in _known and digest in _read():
        _known.add(digest)
    return digest in _known


def trust(deployment: Deployment, *, remember: bool = True) -> Deployment:
    """Let a directory's native code run; returns the deployment.

    Args:
        deployment: what was built here, or what the user vouches for.
        remember: for this user's later processes too; a ledger that cannot be written is warned of.
    """
    digest = deployment.manifest.manifest_sha256
    if remember and digest not in _read():
        try:
            _append(digest)
        except OSError as error:
            warn(
                f"{ledger()} cannot be written ({error.strerror}), so other processes will ask again whether "
                f"{deployment.path} may run. Make the folder writable, or set XDG_STATE_HOME to one that is",
                EctoolkitWarning,
                stacklevel=2,
            )
    _known.add(digest)
    return deployment


def require_trust(deployment: Deployment, device: str) -> None:
    """Refuse native code of unknown origin.

    Args:
        deployment: about to be loaded.
        device: its name, for the error.

    Raises:
        UntrustedError: this user neither built it here nor said that it may run.
    """
    if is_trusted(deployment):
        return
    path, digest = deployment.path, deployment.manifest.manifest_sha256
    raise UntrustedError(
        f"{path} was not built here by this user (manifest {digest[:12]}…), and {device} would run the native code in "
        "it, which may do whatever you may. If you trust where it comes from, say so once: "
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
