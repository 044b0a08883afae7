"""Float runs that decide a graph, in one thread: then the same images give the same graph whatever the machine's cores.

How many threads torch has decides which kernels it takes and in which order they sum, and so the last place of what the
observers see.  One thread costs little: images come one by one, and the observers are serial anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ectoolkit._optional import require


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch has one thread in the calling thread; afterwards as many as before."""
    torch = require("torch", feature="Running the float model")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
