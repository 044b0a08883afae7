"""Runs the steps that are not done yet, and removes everything again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ectoolkit.core.atomic import replacing_file
from ectoolkit.errors import BuildError, InputError
from ectoolkit.mera.install.interpreters import find_interpreter
from ectoolkit.mera.install.recipe import PEAK_MB, VERSION
from ectoolkit.mera.install.steps import STEPS, Layout
from ectoolkit.mera.place import Place, config_path, default_folder, forget, kept, launcher, local_place, use

#: called as (weight done, weight in all, what is going on); may raise to cancel
Report = Callable[[int, int, str], None]
STATE, LOCK = "state.json", ".lock"
_FORMAT = "ectoolkit-mera-environment"


@dataclass(frozen=True)
class Installation:
    """An environment that `install` made or began.

    Attributes:
        folder: of it all.
        interpreter: the CPython 3.10 it was made with.
        done: names of the steps that are done.
    """

    folder: Path
    interpreter: str
    done: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Steps that are not done, for people."""
        return [step.title for step in STEPS if step.name not in self.done]

    @property
    def place(self) -> Place:
        """Its Python."""
        return local_place(launcher(self.folder), "`ectoolkit mera install`")

    def size_bytes(self) -> int:
        """Of the folder."""
        paths = (Path(root, name) for root, _, names in os.walk(self.folder) for name in names)
        return sum(path.lstat().st_size for path in paths)


def installation_at(folder: Path | None = None) -> Installation | None:
    """The environment in a folder (the default one where None); None where there is none.

    Raises:
        InputError: its state file is damaged.
    """
    path = (folder or default_folder()) / STATE
    if not path.is_file():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["format"] != _FORMAT:
            raise ValueError(state["format"])
        done = tuple(state["done"]) if state["recipe"] == VERSION else ()
        return Installation(path.parent, str(state["interpreter"]), done)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); remove the folder {path.parent} and install again") from error


def install(
    folder: Path | None = None, *, python: str | os.PathLike[str] | None = None, report: Report | None = None
) -> Installation:
    """Make an environment with MERA, or finish one that was begun.

    Args:
        folder: for it; the user's data folder where None.
        python: a CPython 3.10; found where None.
        report: told of progress; where it raises, what is done stays done.

    Raises:
        BuildError: a program failed (with its output), there is no CPython 3.10, or not enough room on the disk.
        WorkerError: the self-test failed.
        InputError: the folder holds something else, or another process is installing there.
    """
    folder = (folder or default_folder()).expanduser().absolute()
    known = _acceptable(folder)
    report = report or (lambda done, total, label: None)
    total = sum(step.weight for step in STEPS)
    chosen = known.interpreter if known is not None and python is None else str(find_interpreter(python))
    if known is not None and chosen != known.interpreter:
        known = None  # another Python: everything anew
    done = list(known.done) if known is not None else []
    if not done:
        _require_room(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _write_state(folder, chosen, done)
        layout, before = Layout(folder, Path(chosen)), 0
        for number, step in enumerate(STEPS, 1):
            if step.name not in done:
                label = f"{number}/{len(STEPS)} {step.title}"
                report(before, total, label)
                step.run(layout, _watching(report, before, total, label))
                done.append(step.name)
                _write_state(folder, chosen, done)
            before += step.weight
        report(total, total, "done")
    if folder != default_folder():
        use(local_place(launcher(folder), "`ectoolkit mera install`"))
    return Installation(folder, chosen, tuple(done))


def _watching(report: Report, before: int, total: int, label: str) -> Callable[[str], None]:
    return lambda line: report(before, total, f"{label} · {line}" if line else label)


def _acceptable(folder: Path) -> Installation | None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; expected a folder for MERA's environment. Choose another name")
    known = installation_at(folder)
    others = [entry.name for entry in folder.iterdir() if entry.name != LOCK] if folder.is_dir() else []
    if known is None and others:
        raise InputError(
            f"{folder} holds other files ({', '.join(sorted(others)[:3])}); expected an empty folder or one that "
            "`ectoolkit mera install` made. Choose another one"
        )
    return known


def _require_room(folder: Path) -> None:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free / 1e6
    if free < PEAK_MB:
        raise BuildError(
            f"{there} has {free / 1e3:.1f} GB free, and MERA needs {PEAK_MB / 1e3:.1f} GB while it is installed. Make "
            "room, or choose another folder: ectoolkit mera install DIR"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process is installing in {folder}; wait for it, or end it") from error
        yield


def _write_state(folder: Path, interpreter: str, done: list[str]) -> None:
    state = {"format": _FORMAT, "recipe": VERSION, "interpreter": interpreter, "done": done}
    with replacing_file(folder / STATE) as temporary:
        temporary.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


def uninstall(folder: Path | None = None) -> Path:
    """Remove an environment, and what names it; returns its folder, which stays where the user keeps other files in it.

    Raises:
        InputError: there is none there.
    """
    folder = (folder or default_folder()).expanduser().absolute()
    found = installation_at(folder)
    if found is None:
        raise InputError(
            f"{folder} holds no environment that `ectoolkit mera install` made, so nothing is removed. Name its "
            "folder: ectoolkit mera uninstall DIR"
        )
    with _locked(folder):
        for made in (*Layout(folder, Path(found.interpreter)).ours, folder / STATE, folder / LOCK):
            if made.is_dir() and not made.is_symlink():
                shutil.rmtree(made)
            else:
                made.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other files are in it; or it is a link, which is the user's
        folder.rmdir()
    named = kept()
    if named is not None and named.python == local_place(launcher(folder)).python:
        forget()
    for parent in (platformdirs.user_data_path("ectoolkit"), config_path().parent):
        with contextlib.suppress(OSError):  # not empty, or not there
            parent.rmdir()
    return folder
