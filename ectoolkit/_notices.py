"""Warnings of the package, which one thread can hear without changing what the process does with warnings; and whose
words a message uses: a script's or the command line's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: who hears in this thread, the outermost first: the list, and whether nobody further out is told
_hearers: ContextVar[tuple[tuple[list[Warning], bool], ...]] = ContextVar("hearers", default=())

#: whether it is the command line that asks
_on_command_line: ContextVar[bool] = ContextVar("on_command_line", default=False)


def in_terms(python: str, command: str) -> str:
    """Advice that whoever asks can follow.

    Args:
        python: as a script or a notebook would do it.
        command: as the command line would.
    """
    return command if _on_command_line.get() else python


@contextmanager
def on_command_line() -> Iterator[None]:
    """Messages made in this thread meanwhile advise in the command line's terms."""
    token = _on_command_line.set(True)
    try:
        yield
    finally:
        _on_command_line.reset(token)


def warn(message: str, category: type[Warning], stacklevel: int = 1) -> None:
    """`warnings.warn`, unless somebody hears alone in this thread; whoever hears gets it into a list.

    Args:
        message: as in `warnings.warn`.
        category: as there.
        stacklevel: as there; 1 is who calls this.
    """
    for heard, alone in reversed(_hearers.get()):
        heard.append(category(message))
        if alone:
            return
    warnings.warn(message, category, stacklevel=stacklevel + 1)


@contextmanager
def hearing(*, alone: bool = True) -> Iterator[list[Warning]]:
    """A list that fills with what is warned of in this thread meanwhile.

    `warnings.catch_warnings` would take the warnings of all threads, and leave the process changed where two overlap.

    Args:
        alone: whether nobody else is told: neither who hears further out, nor `warnings`.
    """
    heard: list[Warning] = []
    token = _hearers.set((*_hearers.get(), (heard, alone)))
    try:
        yield heard
    finally:
        _hearers.reset(token)
