"""Reads something again and again while somebody looks, and costs next to nothing."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

#: share of one CPU that the reading may take
SHARE = 0.005
#: seconds after the last sign of a viewer until reading ends
PATIENCE_S = 15.0
#: seconds between two readings
PERIOD_S = 2.0


class Refresher:
    """A thread that lives while `seen` is called from time to time.

    Args:
        read: reads and shows; a method, which is held weakly, so that its object can go.
        period_s: between two readings, at the least; longer where a reading takes long, so that all of them together
            take no more than `SHARE` of a CPU.
        patience_s: how long after `seen` it still reads.
    """

    def __init__(self, read: Callable[[], None], period_s: float = PERIOD_S, patience_s: float = PATIENCE_S) -> None:
        self._read = weakref.WeakMethod(read)
        self._period_s, self._patience_s = period_s, patience_s
        self._until = 0.0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether it reads now."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def seen(self) -> None:
        """Somebody looks: read, or go on reading."""
        with self._lock:
            self._until = time.monotonic() + self._patience_s
            if not self.running and not self._over.is_set():
                self._thread = threading.Thread(target=self._work, name="ect-health", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End for good."""
        self._over.set()

    def _work(self) -> None:
        while True:
            read = self._read()
            if read is None:
                return
            start = time.thread_time()
            read()
            del read  # its object may go while this one waits
            pause = max(self._period_s, (time.thread_time() - start) / SHARE)
            if self._over.wait(pause):
                return
            with self._lock:  # seen() must find either a thread that goes on, or none
                if time.monotonic() > self._until:
                    self._thread = None
                    return
