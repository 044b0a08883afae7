"""``ectoolkit device``: measure a device, look at a board, start a virtual one, or serve this machine's CPU."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ectoolkit.cli import serve
from ectoolkit.cli.console import Trust, Xclbin, note, print_table, progress_bar, say

if TYPE_CHECKING:
    from ectoolkit.devices import Benchmark

HELP = "Measure a device, look at a board, start a virtual one, or serve"
BENCHMARK_HELP = """Time a deploy directory on a device: latency, throughput, the device's own times, its sensors.

The directory's example runs again and again, after a warm-up. A row a number of requests in flight: times are the
host's, from request to result, and a device that does one thing at a time lets the others wait. What the device itself
measured is in columns of its own ("device: ..."), the mean; so is what its sensors told meanwhile.

\b
Examples:
  ectoolkit device benchmark cpu demo_deploy
  ectoolkit device benchmark xrt:0 demo_deploy --in-flight 1 --in-flight 4 --report times.json
"""
HEALTH_HELP = """Show a board's temperatures, power, clocks and memory in use.

What the driver does not tell is shown with the reason. Nothing is opened, so a running program is not disturbed.
"""
BANKS_HELP = """Measure copies to and from each memory bank of a board.

The best of several copies counts, on the host's clock.
"""
VIRTUAL_HELP = """Run a command with a virtual Alveo U50, or start one for other terminals.

XRT's own user space runs on a fake driver; kernels are numpy models and sensor values are invented, so it shows that a
program is right, and nothing of speed or power. It needs XRT's library and headers, and gcc.

\b
Examples:
  ectoolkit device virtual -- ectoolkit run demo_deploy --device xrt:0
  ectoolkit device virtual -- python my_program.py
  ectoolkit device virtual
"""

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

app.command(help=serve.HELP, short_help="Let other machines run directories on this CPU")(serve.serve)

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Of the board, as `ectoolkit devices` lists it.")]


def _address(name: str) -> str:
    from ectoolkit.errors import DeviceNotFoundError

    kind, colon, address = name.partition(":")
    if kind != "xrt" or not colon:
        raise DeviceNotFoundError(f"{name!r} is no board of XRT; expected a name as xrt:0, from `ectoolkit devices`")
    return address


@app.command(help=BENCHMARK_HELP, short_help="Time a deploy directory on a device")
def benchmark(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the device, as `ectoolkit devices` lists it.", show_default=False)
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The deploy directory.", show_default=False)],
    runs: Annotated[int, typer.Option(min=1, help="Timed runs of each row.")] = 100,
    warmup: Annotated[int, typer.Option(min=0, help="Runs before each row that are not timed.")] = 10,
    in_flight: Annotated[
        list[int] | None,
        typer.Option(min=1, show_default=False, help="Requests at a time; once for each row.  [default: 1, 2 and 4]"),
    ] = None,
    xclbin: Xclbin = None,
    trust: Trust = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", show_default=False, help="Write the rows and every run's time as JSON."),
    ] = None,
) -> None:
    """See `BENCHMARK_HELP`."""
    import ectoolkit as ect
    from ectoolkit.cli.opening import open_with

    if report is not None and report.suffix != ".json":
        raise typer.BadParameter(f"--report {report.name} ends in {report.suffix!r}; times are saved as .json")
    deployment = ect.load_deployment(directory, trust=trust)
    with open_with(name, xclbin=xclbin) as device, progress_bar(f"timing on {name}") as progress:
        found = device.benchmark(deployment, runs=runs, warmup=warmup, depths=in_flight or [1, 2, 4], progress=progress)
        identity = device.identity()
    _print_benchmark(found)
    if report is not None:
        note(f"written: {found.save(report, {'deployment manifest': deployment.manifest.manifest_sha256, **identity})}")


def _print_benchmark(found: Benchmark) -> None:
    from ectoolkit.devices.benchmark import HOST_COLUMNS

    table = found.to_frame().drop(columns=["min_ms", "p90_ms", "max_ms"])
    whole = {"in_flight": "in flight", "runs": "runs"}
    titles = [whole.get(name, name.replace("_ms", ", ms").replace("_per_s", "/s")) for name in table.columns]
    rows = []
    for row in table.to_dict("records"):
        digits = {name: ".0f" if name in whole else ".3f" if name in HOST_COLUMNS else "" for name in row}
        rows.append([f"{v:{digits[str(k)]}}" if digits[str(k)] else _measured(v) for k, v in row.items()])
    say(f"{found.device}, {found.deployment}: after {found.warmup} runs to warm up")
    print_table(titles, rows, right=titles)
    if found.notice:
        note(f"note: {found.notice}")


def _measured(value: float) -> str:
    """Four digits, or all before the point: no powers of ten."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


@app.command(help=HEALTH_HELP, short_help="Temperatures, power, clocks of a board")
def health(name: _NAME = "xrt:0") -> None:
    """See `HEALTH_HELP`."""
    from ectoolkit.devices.xrt import read_health

    say(str(read_health(_address(name))))


@app.command(help=BANKS_HELP, short_help="Measure copies to and from a board's memory")
def banks(
    name: _NAME = "xrt:0",
    xclbin: Annotated[
        str, typer.Option(help="File whose banks are measured.  [default: the virtual board's own]", show_default=False)
    ] = "",
    size_mib: Annotated[int, typer.Option(min=1, help="Size of the copies, MiB.")] = 16,
) -> None:
    """See `BANKS_HELP`."""
    from ectoolkit.devices.xrt import Board, measure_banks
    from ectoolkit.devices.xrt.host import current_host
    from ectoolkit.errors import DeviceError

    host = current_host()
    if not (xclbin or host.xclbin):
        raise DeviceError("which banks there are is written in an xclbin: give one with --xclbin FILE")
    with Board(_address(name)) as board:
        board.load(xclbin or host.xclbin)
        rates = measure_banks(board, size_bytes=size_mib << 20)
    rows = [[rate.bank, f"{rate.to_device_gb_s:.2f}", f"{rate.from_device_gb_s:.2f}"] for rate in rates]
    print_table(["bank", "to device, GB/s", "from device, GB/s"], rows, right=["to device, GB/s", "from device, GB/s"])
    if host.notice:
        note("note: on a virtual board these are copies in this machine's memory")


@app.command(help=VIRTUAL_HELP, short_help="A virtual Alveo U50, for a command or for other terminals")
def virtual(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run with it.", show_default=False)
    ] = None,
) -> None:
    """See `VIRTUAL_HELP`."""
    from ectoolkit.devices.xrt.host import VARIABLE
    from ectoolkit.testing.virtual_u50 import virtual_u50

    with virtual_u50() as board:
        if command:
            raise typer.Exit(subprocess.run(command).returncode)
        over = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # first: who reads the line may end this at once
            signal.signal(number, lambda *_: over.set())
        say(f"export {VARIABLE}={board.host_file}")
        note("The virtual board runs until Ctrl-C. In another terminal, give the line above, then: ectoolkit devices")
        over.wait()
