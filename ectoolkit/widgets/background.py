"""Work beside the page's messages: the newest of what was asked for, one at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

Job = Callable[[], object]


class Latest:
    """Runs jobs in a thread; of those that wait, only the newest.

    A page asks for more than can be computed: a layer for each press of an arrow key.  What was asked for last counts.

    Args:
        name: of the thread.
        after: seconds a job waits, so that what the page is answered at once does not share the processor with it.
        on_error: is told what a job raised, in the thread; the log is where nobody is.  Later jobs run all the same.
    """

    def __init__(self, name: str, after: float = 0.0, on_error: Callable[[Exception], object] | None = None) -> None:
        self._name, self._after, self._on_error = name, after, on_error or _log
        self._lock = threading.Lock()
        self._waiting: Job | None = None
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Run a job next; it takes the place of one that waits."""
        with self._lock:
            self._waiting = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    @property
    def waits(self) -> bool:
        """True where a newer job waits: the one at work may stop."""
        return self._waiting is not None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing is at work."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._waiting is None:
                    self._thread = None
                    return
            time.sleep(self._after)
            with self._lock:
                job, self._waiting = self._waiting, None
            if job is not None:
                self._do(job)

    def _do(self, job: Job) -> None:
        try:
            job()
        except Exception as error:  # a thread that died would take no further job
            self._on_error(error)


def _log(error: Exception) -> None:
    logging.getLogger(__name__).error("a job of a card failed", exc_info=error)
