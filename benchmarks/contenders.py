"""What is measured, in turns: a contender prepares itself once and then runs as often as asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

#: what is measured
Run = Callable[[], Any]
#: called before each run, unmeasured: makes what it runs
Arrange = Callable[[], Run]


@dataclass(frozen=True, eq=False)
class Task:
    """What all contenders work on.

    Attributes:
        module: the user's float module, in eval mode.
        images: float32 ``(N, 3, H, W)``, for calibration.
        looked_at: float32 ``(K, 3, H, W)``, for layer analysis.
        threads: that each may use.
        folder: for files of all kinds.
    """

    module: Any
    images: np.ndarray
    looked_at: np.ndarray
    threads: int
    folder: Path


@dataclass
class Contender:
    """One row.

    Attributes:
        name: as in the table.
        prepare: what is done once.
        images: that one run sees; 0 where times are of the whole run.
        packages: whose absence is no failure.
        target_ms: that the median should not exceed, or None.
        cpu_s, wall_s: of each run.
        refusal: why there are none.
        result: of the last run.
    """

    name: str
    prepare: Callable[[Task], Arrange]
    images: int = 0
    packages: tuple[str, ...] = ()
    target_ms: float | None = None
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    refusal: str = ""
    result: Any = None
    _arrange: Arrange | None = None

    def start(self, task: Task) -> None:
        """Prepare; a contender that cannot says why and stays out."""
        try:
            self._arrange = self.prepare(task)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            self.refusal = f"not installed: {missing}" if missing in self.packages else _reason(error)
        except Exception as error:  # a peer's failure is its row, whatever it is
            self.refusal = _reason(error)

    def time(self, repeats: int = 1) -> None:
        """Run once more, or several times what was arranged once."""
        if self._arrange is None:
            return
        try:
            run = self._arrange()
            for _ in range(repeats):
                cpu, wall = time.process_time(), time.perf_counter()
                self.result = run()
                self.cpu_s.append(time.process_time() - cpu)
                self.wall_s.append(time.perf_counter() - wall)
        except Exception as error:
            self.refusal, self._arrange = _reason(error), None

    def times(self) -> dict[str, float]:
        """Milliseconds of CPU and wall time: minimum and median, of an image where there are some."""
        share = 1e3 / max(self.images, 1)
        series = {"cpu": self.cpu_s, "wall": self.wall_s}
        return {
            f"{name}_{which.__name__}_ms": which(values) * share
            for name, values in series.items()
            for which in (min, median)
            if values
        }


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:160]


def interleaved(contenders: list[Contender], task: Task, rounds: int, say: Callable[[str], None]) -> None:
    """Prepare all, then run each once a round."""
    for contender in contenders:
        say(f"preparing {contender.name}")
        contender.start(task)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for contender in contenders:
            contender.time()
