"""``ectoolkit runner``: the C++ program that runs a deploy directory without Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ectoolkit.cli.console import note, progress_bar, say

HELP = "The C++ program that needs no Python to run"
BUILD_HELP = """Compile the C++ program `inference`, and print where it is.

It needs a C++17 compiler and cmake, and is compiled once for each version of ectoolkit and TVM. It finds TVM's
libraries by their absolute path, so it is for this machine.

\b
Examples:
  ectoolkit runner build
  ectoolkit runner build .
  ./inference demo_deploy
"""

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps ``build`` a command of its own while it is the only one."""


@app.command(help=BUILD_HELP)
def build(
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="DEST",
            show_default=False,
            help="A file to write, or a folder to put `inference` in.  [default: the user's cache folder]",
        ),
    ] = None,
) -> None:
    """See `BUILD_HELP`."""
    from ectoolkit.runner import build_runner

    with progress_bar("compiling inference") as progress:
        program = build_runner(destination, progress=progress)
    say(str(program))
    note(f"run it with: {program} DIR")
