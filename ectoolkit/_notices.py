"""Warnings of the package, which one thread can hear without changing what the process does with warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_heard: ContextVar[list[Warning] | None] = ContextVar("heard", default=None)


def warn(message: str, category: type[Warning], stacklevel: int = 1) -> None:
    """`warnings.warn`, or a line in the list of who hears in this thread.

    Args:
        message: as in `warnings.warn`.
        category: as there.
        stacklevel: as there; 1 is who calls this.
    """
    heard = _heard.get()
    if heard is None:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
    else:
        heard.append(category(message))


@contextmanager
def hearing() -> Iterator[list[Warning]]:
    """A list that fills with what is warned of in this thread meanwhile; nobody else is told.

    `warnings.catch_warnings` would take the warnings of all threads, and leave the process changed where two overlap.
    """
    heard: list[Warning] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)
