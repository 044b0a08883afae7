"""``ectoolkit device``: look at a board, measure it, start a virtual one, or serve this machine's CPU."""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import Annotated

import typer

from ectoolkit.cli import serve
from ectoolkit.cli.console import note, print_table, say

HELP = "Look at a board, measure it, start a virtual one, or serve this machine's CPU"
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

app.command(help=serve.HELP)(serve.serve)

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Of the board, as `ectoolkit devices` lists it.")]


def _address(name: str) -> str:
    from ectoolkit.errors import DeviceNotFoundError

    kind, colon, address = name.partition(":")
    if kind != "xrt" or not colon:
        raise DeviceNotFoundError(f"{name!r} is no board of XRT; expected a name as xrt:0, from `ectoolkit devices`")
    return address


@app.command(help=HEALTH_HELP)
def health(name: _NAME = "xrt:0") -> None:
    """See `HEALTH_HELP`."""
    from ectoolkit.devices.xrt import read_health

    say(str(read_health(_address(name))))


@app.command(help=BANKS_HELP)
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


@app.command(help=VIRTUAL_HELP)
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
