"""Float runs that decide a graph, in one thread: then the same images give the same graph whatever the machine's cores.

How many threads torch has decides which kernels it takes and in which order they sum, and so the last place of what the
observers see.  One thread costs little: images come one by one, and the observers are serial anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ectoolkit._optional import require


@dataclass
class _Callers:
    """Who is inside: torch's setting is the calling thread's, but one that torch does not know yet gets the last."""

    inside: set[int] = field(default_factory=set)
    #: what the first of them had
    before: int = 1
    lock: threading.Lock = field(default_factory=threading.Lock)


_callers = _Callers()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch has one thread in the calling thread; afterwards as many as before."""
    torch = require("torch", feature="Running the float model")
    me = threading.get_ident()
    if me in _callers.inside:
        yield
        return
    with _callers.lock:
        before = torch.get_num_threads()
        if not _callers.inside:
            _callers.before = before
        elif before == 1:  # most likely because of the others
            before = _callers.before
        _callers.inside.add(me)
    try:
        torch.set_num_threads(1)
        yield
    finally:
        with _callers.lock:
            _callers.inside.remove(me)
            torch.set_num_threads(before)
