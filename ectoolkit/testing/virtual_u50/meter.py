"""The invented power sensor: between idle and busy, by the share of time in which kernels ran."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ectoolkit.testing.virtual_u50.facts import BUSY_WATTS, IDLE_WATTS
from ectoolkit.testing.virtual_u50.tree import write_power

#: a real board's controller refreshes about as often
_PERIOD_S = 0.05


class PowerMeter:
    """Writes the sensor from a thread of its own, so that a kernel never waits for the file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._busy_s = 0.0
        self._since: float | None = None
        threading.Thread(target=self._work, name="sensors", daemon=True).start()

    def start(self) -> None:
        """A kernel begins."""
        with self._lock:
            self._since = time.perf_counter()

    def stop(self) -> None:
        """A kernel ended."""
        with self._lock:
            self._busy_s += time.perf_counter() - (self._since or time.perf_counter())
            self._since = None

    def _share(self) -> float:
        """Busy share of the last period."""
        with self._lock:
            now = time.perf_counter()
            busy = self._busy_s
            if self._since is not None:
                busy += now - self._since
                self._since = now
            self._busy_s = 0.0
            return min(busy / _PERIOD_S, 1.0)

    def _work(self) -> None:
        shown = IDLE_WATTS
        while True:
            time.sleep(_PERIOD_S)
            watts = round(IDLE_WATTS + (BUSY_WATTS - IDLE_WATTS) * self._share(), 1)
            if watts != shown:
                write_power(self._root, watts)
                shown = watts
