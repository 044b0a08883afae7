"""What a device tells of itself besides results: sensor readings, now and while something runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ectoolkit.errors import EctoolkitError

#: seconds between two samples while something runs
SAMPLE_S = 0.05


@dataclass(frozen=True)
class Reading:
    """One value; where it is missing, `value` is None and `reason` says why."""

    name: str
    value: float | None
    unit: str
    reason: str = ""

    def __str__(self) -> str:
        shown = f"not known: {self.reason}" if self.value is None else f"{self.value:g} {self.unit}".rstrip()
        return f"{self.name}: {shown}"


@dataclass
class SensorTrace:
    """Readings over time.

    Attributes:
        notice: what to know before believing the values; empty where nothing.
        seconds: of each sample, since the first, to the millisecond.
        values: by the sensor's name, one a sample; None where it was not known.
        units: by the sensor's name.
        trouble: why sampling ended early; empty where it did not.
    """

    notice: str = ""
    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    trouble: str = ""

    def add(self, seconds: float, readings: Sequence[Reading]) -> None:
        """Keep one sample; a sensor that it lacks has no value there."""
        told = {reading.name: reading.value for reading in readings}
        before = len(self.seconds)
        for name in {**self.values, **told}:
            self.values.setdefault(name, [None] * before).append(told.get(name))
        self.seconds.append(seconds)
        self.units |= {reading.name: reading.unit for reading in readings}

    def __repr__(self) -> str:
        return f"SensorTrace({', '.join(self.values) or 'no sensor'}; {len(self.seconds)} samples)"


def trouble_of(error: Exception) -> str:
    """Why sensors could not be read, in words; an error that is none of ours says where it came from."""
    return str(error) if isinstance(error, EctoolkitError) else f"its sensors failed: {error!r}"


@contextmanager
def sampling(
    read: Callable[[], Sequence[Reading]], notice: str = "", period_s: float = SAMPLE_S
) -> Iterator[SensorTrace]:
    """Read sensors from another thread while the block runs; once at its start and end at the least.

    Args:
        read: all readings, quickly; where it fails, the sampling ends and not the block.
        notice: for the trace.
        period_s: between two samples.
    """
    found, over = SensorTrace(notice), threading.Event()
    first: list[float] = []

    def sample() -> bool:
        try:
            readings = read()
            if readings:
                now = time.perf_counter()
                first.append(now)
                found.add(round(now - first[0], 3), readings)
        except Exception as error:  # a third party's code may fail in any way
            found.trouble = trouble_of(error)
            return False
        return bool(readings)

    def watch() -> None:
        while not over.wait(period_s):
            if not sample():
                return

    thread = threading.Thread(target=watch, name="ect-sensors", daemon=True)
    if sample():
        thread.start()
    try:
        yield found
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()
            sample()
