"""Files and folders that appear whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ectoolkit.errors import InputError


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on any exception `path` stays as it was.

    Raises:
        InputError: the folder is missing, is a file or not writable, or `path` is a folder.
    """
    path = Path(path).expanduser()
    _require_writable_parent(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file to write")
    temporary = _beside(path)
    # the system applies the umask: asking for it would change it for every thread, and tempfile's modes are private
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | os.PathLike[str], is_ours: Callable[[Path], bool], kind: str) -> Iterator[Path]:
    """Yield a temporary folder; on success it becomes `path`, on any exception `path` stays as it was.

    Args:
        path: the folder to make or replace.
        is_ours: says whether an existing, non-empty folder may be replaced; may raise InputError with the reason.
        kind: what the folder is, for errors.

    Raises:
        InputError: `path` is a file, is a folder of something else, or its parent is missing or not writable.
    """
    path = require_replaceable(path, is_ours, kind)
    temporary = _beside(path)
    temporary.mkdir()  # under the umask, as above
    try:
        yield temporary
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_replaceable(path: str | os.PathLike[str], is_ours: Callable[[Path], bool], kind: str) -> Path:
    """The folder that `replacing_folder` would write, absolute; ask before long work.  Arguments and errors alike."""
    path = Path(path).expanduser().absolute()
    if path.is_symlink():  # the folder it names is replaced, the link stays
        path = path.resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; expected the name of a {kind} to write. Choose another name or remove it")
    if path.is_dir() and any(path.iterdir()) and not is_ours(path):
        raise InputError(
            f"{path} holds other files and is not a {kind}, so it will not be replaced. Choose another name or empty it"
        )
    _require_writable_parent(path)
    return path


def _beside(path: Path) -> Path:
    """A name that nothing has, in the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        os.rename(new, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    os.rename(path, old)  # an empty folder may be renamed onto
    try:
        os.rename(new, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _require_writable_parent(path: Path) -> None:
    parent = path.absolute().parent
    if not parent.is_dir():
        state = "is a file" if parent.exists() else "does not exist"
        raise InputError(f"cannot write {path}: the folder {parent} {state}. Create it, or choose another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: the folder {parent} is not writable. Choose another place")
