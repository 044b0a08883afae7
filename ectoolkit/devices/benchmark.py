"""How a device runs a deployment: latency, throughput with several requests in flight, its own times, its sensors.

Two clocks are never mixed.  `Latency` is the host's: from the request to the result in this process.  What the device
itself measured stands under its own names and units (`Load.own`), and what is not measured is not there.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.atomic import replacing_file
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.interpreter import Progress
from ectoolkit.devices.latency import Latency
from ectoolkit.devices.sensors import Reading, SensorTrace, sampling
from ectoolkit.errors import DeviceError

if TYPE_CHECKING:
    import pandas as pd

#: columns of `Benchmark.to_frame` that are the host's
HOST_COLUMNS = (
    "in_flight",
    "runs",
    "mean_ms",
    "min_ms",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "runs_per_s",
)
#: seconds between two calls of `progress` while several requests are in flight
_TELL_S = 0.1
#: of a limit, at most this is for the warm-up
_WARMUP_SHARE = 0.1
_PERCENTILES = {"min_ms": 0, "p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "max_ms": 100}


@dataclass(frozen=True, eq=False)
class Load:
    """Runs with so many requests in flight.

    Attributes:
        in_flight: requests at a time; a device that does one thing at a time lets the others wait, and their latency
            holds that waiting.
        latency: host seconds of each request, from its start to its result.
        elapsed_s: host seconds of all together, without those of `progress`.
        own: what the device itself measured in each run, by its name with the unit; empty for most devices.
        sensors: what was read meanwhile.
    """

    in_flight: int
    latency: Latency
    elapsed_s: float
    own: Mapping[str, tuple[float, ...]]
    sensors: SensorTrace

    @property
    def runs_per_s(self) -> float:
        """Throughput, on the host's clock."""
        return self.latency.runs / self.elapsed_s

    def sensor_means(self) -> dict[str, float]:
        """Mean of what each sensor told, by its name with the unit; NaN where it never told."""
        found = {}
        for name, values in self.sensors.values.items():
            known = [value for value in values if value is not None]
            found[f"{name}, {self.sensors.units[name]}"] = float(np.mean(known)) if known else float("nan")
        return found

    def __str__(self) -> str:
        own = [f"{name} {np.mean(values):.4g}" for name, values in self.own.items()]
        power = [f"{value:.4g} W" for name, value in self.sensor_means().items() if name == "power, W"]
        measured = f"; the device's own: {', '.join(own)}" if own else ""
        watts = f"; {power[0]}" if power else ""
        return f"{self.in_flight} in flight: {self.runs_per_s:.1f} runs/s, {self.latency}{measured}{watts}"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What a device did in a benchmark.

    Attributes:
        device: its name.
        deployment: name of the directory.
        warmup: runs before each load that were not timed.
        loads: in the order they were asked for.
        notice: what to know before believing sensors and times; empty where nothing.
    """

    device: str
    deployment: str
    warmup: int
    loads: tuple[Load, ...]
    notice: str = ""

    @property
    def latency(self) -> Latency:
        """Of the first load: one request after another unless asked otherwise."""
        return self.loads[0].latency

    @property
    def sensors(self) -> SensorTrace:
        """What was read during the first load."""
        return self.loads[0].sensors

    def __str__(self) -> str:
        notice = [f"note: {self.notice}"] if self.notice else []
        return "\n".join([f"{self.device}, {self.deployment}", *map(str, self.loads), *notice])

    def to_frame(self) -> pd.DataFrame:
        """One row a load.

        Columns, of the host's clock: ``in_flight`` requests; ``runs`` timed; ``mean_ms``, ``min_ms``, ``p50_ms``,
        ``p90_ms``, ``p95_ms``, ``p99_ms``, ``max_ms`` milliseconds from request to result; ``runs_per_s``.  Of the
        device's own: ``device:``, a space and its name for it, the mean, in the unit that the name tells.  Of its
        sensors: name and unit, the mean while it ran.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        pandas = require("pandas", feature="A table")
        rows = [dict(_host_columns(load)) | _device_columns(load) | load.sensor_means() for load in self.loads]
        return pandas.DataFrame(rows, columns=list(dict.fromkeys([*HOST_COLUMNS, *chain.from_iterable(rows)])))

    def save(self, path: str | os.PathLike[str], facts: Mapping[str, str] | None = None) -> Path:
        """Write a JSON file: the rows of `to_frame`, every request's time, every sample of the sensors.

        Args:
            path: of the file.
            facts: what it holds for, such as `Device.identity`.

        Raises:
            InputError: it cannot be written.
            MissingDependencyError: pandas is not installed.
        """
        path = Path(path).expanduser()
        content = {
            "format": "ectoolkit-benchmark",
            "format_version": 1,
            "device": self.device,
            "deployment": self.deployment,
            "warmup": self.warmup,
            "notice": self.notice,
            "facts": dict(facts or {}),
            "rows": self.to_frame().to_dict("records"),
            "loads": [
                {
                    "in_flight": load.in_flight,
                    "elapsed_s": load.elapsed_s,
                    "seconds": load.latency.seconds,
                    "own": load.own,
                    "sensors": {"seconds": load.sensors.seconds, **load.sensors.values},
                }
                for load in self.loads
            ],
        }
        with replacing_file(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
        return path


def _host_columns(load: Load) -> Iterator[tuple[str, float]]:
    yield "in_flight", load.in_flight
    yield "runs", load.latency.runs
    yield "mean_ms", load.latency.mean_s * 1e3
    for name, percentile in _PERCENTILES.items():
        yield name, float(np.percentile(load.latency.seconds, percentile)) * 1e3
    yield "runs_per_s", load.runs_per_s


def _device_columns(load: Load) -> dict[str, float]:
    return {f"device: {name}": float(np.mean(values)) for name, values in load.own.items()}


@dataclass(frozen=True)
class _Run:
    """One run: when it began and ended on the host's clock, and what the device measured."""

    start: float
    end: float
    own: Mapping[str, float]


@dataclass(frozen=True)
class _Made:
    """Runs, and host seconds of all together without what `progress` took of them."""

    runs: list[_Run]
    elapsed_s: float


def require_runs(runs: int, warmup: int) -> None:
    """Refuse numbers that leave nothing to time.

    Raises:
        DeviceError: no run to time, or less than no warmup.
    """
    if runs < 1 or warmup < 0:
        raise DeviceError(
            f"runs={runs}, warmup={warmup}: expected at least one run to time, and no less than no warmup"
        )


@dataclass(frozen=True)
class Effort:
    """How much is run: see `Device.benchmark`."""

    runs: int
    warmup: int
    depths: tuple[int, ...]
    limit_s: float | None = None


class Measured(Protocol):
    """What is asked of a device besides its runs; a `Device` is one."""

    @property
    def name(self) -> str: ...

    @property
    def notice(self) -> str: ...

    def sensors(self) -> Sequence[Reading]: ...


def measure(
    device: Measured,
    deployment: Deployment,
    run: Callable[[], Mapping[str, float]],
    effort: Effort,
    progress: Progress | None,
) -> Benchmark:
    """See `Device.benchmark`.

    Args:
        device: open, with the deployment loaded.
        deployment: that is loaded.
        run: runs its example once and gives what the device itself measured; from any thread.
        effort: how much is run.
        progress: as of `Device.benchmark`.
    """
    runs, warmup, depths = effort.runs, effort.warmup, effort.depths
    require_runs(runs, warmup)
    if not depths or min(depths) < 1:
        raise DeviceError(f"depths={tuple(depths)}: expected one number of requests in flight or more, each at least 1")
    counter = _Counter(len(depths) * (runs + warmup), progress)
    loads = []
    for depth in depths:
        with _Requests(run, depth, counter) as requests:
            limit = math.inf if effort.limit_s is None else effort.limit_s
            begin = time.perf_counter()
            requests.make(warmup, "warm-up", begin + limit * _WARMUP_SHARE)
            with sampling(device.sensors, device.notice) as sensors:
                made = requests.make(runs, "run", begin + limit)
        latency = Latency.of([run.end - run.start for run in made.runs])
        loads.append(Load(depth, latency, made.elapsed_s, _columns([run.own for run in made.runs]), sensors))
    return Benchmark(device.name, deployment.path.name, warmup, tuple(loads), device.notice)


def _columns(measured: list[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """By name, of every run that has it."""
    names = dict.fromkeys(chain.from_iterable(measured))
    return {name: tuple(own[name] for own in measured if name in own) for name in names}


class _Counter:
    """Tells how many runs there were; in the calling thread alone."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress, self._before, self._told = total, progress, 0, 0

    def tell(self, done: int, what: str) -> None:
        """So many of those that are made now; nothing where there are no more than were told."""
        if self._progress is not None and self._before + done > self._told:
            self._told = self._before + done
            self._progress(self._told, self._total, what)

    def made(self, count: int) -> None:
        """Those that come are counted after these."""
        self._before += count


class _Requests:
    """Makes runs, as many at a time as asked; one at a time is made by the calling thread itself."""

    def __init__(self, run: Callable[[], Mapping[str, float]], depth: int, counter: _Counter) -> None:
        self._run, self._depth, self._counter = run, depth, counter
        self._pool = ThreadPoolExecutor(depth, thread_name_prefix="ect-requests") if depth > 1 else None

    def __enter__(self) -> _Requests:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def make(self, count: int, what: str, until: float) -> _Made:
        """So many runs, or those up to a time, one at least; the first error ends them and is raised."""
        if self._pool is None:
            made = self._one_by_one(count, what, until)
        else:
            made = self._at_once(self._pool, count, what, until)
        self._counter.made(count)
        return made

    def _timed(self) -> _Run:
        start = time.perf_counter()
        own = self._run()
        return _Run(start, time.perf_counter(), own)

    def _one_by_one(self, count: int, what: str, until: float) -> _Made:
        runs, telling_s = list[_Run](), 0.0
        begin = time.perf_counter()
        for number in range(count):
            if runs and time.perf_counter() >= until:
                break
            runs.append(self._timed())
            before = time.perf_counter()
            self._counter.tell(number + 1, what)
            telling_s += time.perf_counter() - before
        return _Made(runs, time.perf_counter() - begin - telling_s)

    def _at_once(self, pool: ThreadPoolExecutor, count: int, what: str, until: float) -> _Made:
        """Other threads make the runs, and this one tells: none of them waits for `progress`."""
        left, runs = iter(range(count)), list[_Run]()
        turn, over = threading.Lock(), threading.Event()

        def one_after_another() -> None:
            try:
                while not over.is_set():
                    with turn:
                        late = bool(runs) and time.perf_counter() >= until
                        if late or next(left, None) is None:
                            return
                    runs.append(self._timed())
            except BaseException:
                over.set()
                raise

        begin = time.perf_counter()
        workers = [pool.submit(one_after_another) for _ in range(self._depth)]
        try:
            pending = set(workers)
            while pending:
                ended, pending = wait(pending, _TELL_S, FIRST_EXCEPTION)
                for worker in ended:
                    worker.result()
                self._counter.tell(len(runs), what)
        finally:
            over.set()  # of an error or an interrupt: nobody waits for the rest
        return _Made(runs, max((run.end for run in runs), default=begin) - begin)
