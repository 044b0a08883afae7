"""Times and power of a board: kernels at several depths, copies bank by bank.

Times are the host's, taken in the process that talks to XRT; power is sampled meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ectoolkit.devices.benchmark import require_runs
from ectoolkit.devices.latency import Latency
from ectoolkit.devices.sensors import SAMPLE_S, Reading, sampling
from ectoolkit.devices.xrt import messages as m
from ectoolkit.devices.xrt.board import Board
from ectoolkit.devices.xrt.buffer import Buffer
from ectoolkit.devices.xrt.health import read_power_w
from ectoolkit.devices.xrt.host import current_host
from ectoolkit.errors import DeviceError

_COPY_S = 60.0


@dataclass(frozen=True)
class KernelTimes:
    """How a kernel ran.

    Attributes:
        latency: of one run, from its start to the notice of its end.
        depth: runs in flight.
        runs_per_s: throughput.
        power_w: mean while it ran; None where no sample was taken.
        samples: how many samples of the power sensor.
        reason: why there is no power; empty where there is.
        notice: what to know before believing the power; empty where nothing.
    """

    latency: Latency
    depth: int
    runs_per_s: float
    power_w: float | None
    samples: int
    reason: str
    notice: str

    def __str__(self) -> str:
        power = f"{self.power_w:.1f} W" if self.power_w is not None else f"power not known: {self.reason}"
        notice = f" ({self.notice})" if self.notice else ""
        return f"{self.latency}; {self.runs_per_s:.1f} runs/s at depth {self.depth}; {power}{notice}"


@dataclass(frozen=True)
class BankRate:
    """Copies to and from one bank, bytes in 1e9 a second, the best of several."""

    bank: str
    size_bytes: int
    to_device_gb_s: float
    from_device_gb_s: float


def measure_kernel(
    board: Board,
    kernel: str,
    *arguments: Buffer | int | float,
    runs: int = 100,
    depth: int = 1,
    warmup: int = 5,
    timeout_s: float = 10.0,
) -> KernelTimes:
    """Run a kernel often and time it.

    Args:
        board: open, with the kernel loaded.
        kernel: its name.
        *arguments: of each run.
        runs: how many are timed.
        depth: how many are in flight.
        warmup: runs before, not timed.
        timeout_s: of each run.

    Raises:
        DeviceError: there would be nothing to time, or a run failed.
    """
    require_runs(runs, warmup)
    if warmup:
        board.run_many(kernel, arguments, warmup, timeout_s=timeout_s)
    host = current_host()
    bdf = board.facts.bdf
    with sampling(lambda: [Reading("power", read_power_w(bdf, host), "W")], host.notice, SAMPLE_S) as trace:
        times = board.run_many(kernel, arguments, runs, depth=depth, timeout_s=timeout_s)
    watts = trace.values.get("power", [])[1:-1]  # the first and the last are of before and after
    known = [value for value in watts if value is not None]
    missing = "the driver shows no power sensor" if watts else "the runs ended before a first sample"
    reason = "" if known else trace.trouble or missing
    power = float(np.mean(known)) if known else None
    latency = Latency.of(times.seconds)
    return KernelTimes(latency, depth, runs / times.elapsed_s, power, len(known), reason, host.notice)


def measure_banks(board: Board, *, size_bytes: int = 16 * 1024 * 1024, repeats: int = 5) -> list[BankRate]:
    """Time copies to and from each memory bank that the loaded xclbin uses.

    Raises:
        DeviceError: a size or number below 1, or a copy failed.
    """
    if size_bytes < 1 or repeats < 1:
        raise DeviceError(f"size_bytes={size_bytes}, repeats={repeats}: expected at least one byte, copied once")
    found = []
    for memory in board.xclbin.memories:
        if memory.used:
            request = m.MeasureBank(memory.index, size_bytes, repeats)
            rates = board._ask(request, f"copy to and from {memory.name}", _COPY_S)
            to_device, from_device = min(rates.to_device_s), min(rates.from_device_s)
            found.append(
                BankRate(memory.name, size_bytes, size_bytes / to_device / 1e9, size_bytes / from_device / 1e9)
            )
    return found
