"""Printing: colours and bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

#: of the commands that run a deploy directory
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run the native code of a directory that was not built here; remembered for these very files."
    ),
]
#: of the commands that open a device by name
Xclbin = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="For a board xrt:N: the design whose kernel runs deployments.  [default: the virtual board's own]",
    ),
]
#: seconds without a terminal's bar after which a line says that something is going on
SILENCE_S = 20.0
#: of sentences
WIDTH = 110
#: a last column is not squeezed below this
_LAST_COLUMN = 24


def say(text: str = "") -> None:
    """A line of the result, on standard output, at once."""
    typer.echo(text)


def note(text: str) -> None:
    """A line for people only, on standard error."""
    typer.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """A table on standard output.

    Args:
        columns: their names.
        rows: cells, as text.
        right: names of the columns that are aligned to the right.
    """
    if sys.stdout.isatty():
        _print_rich(columns, rows, right)
    else:
        _print_plain(columns, rows, right)


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        # only the last column holds sentences; a broken name or hash is worse than a long line
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column != columns[-1])
    for row in rows:
        table.add_row(*map(Text, row))
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    console = Console()
    console.width = max(console.width, sum(widths[:-1]) + min(widths[-1], _LAST_COLUMN))
    console.print(table)


def _print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        say("  ".join(cells).rstrip())


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yields what a stage calls with ``(done, total, label)``; a bar on standard error where that is a terminal.

    Elsewhere what takes long gets a line now and then.
    """
    if not sys.stderr.isatty():
        with _spoken(title) as told:
            yield told
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    look = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[label]}"))
    with Progress(*look, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, label="")
        yield lambda done, total, label: bar.update(task, completed=done, total=total or None, label=escape(label))


@contextmanager
def _spoken(title: str) -> Iterator[Callable[[int, int, str], None]]:
    start, over = time.monotonic(), threading.Event()
    last = [title]

    def speak() -> None:
        while not over.wait(SILENCE_S):
            note(f"… {last[0]}, {time.monotonic() - start:.0f} s so far")

    def told(done: int, total: int, label: str) -> None:
        last[0] = " ".join(filter(None, (f"{title}:", label, f"{done} of {total}" if total else ""))).rstrip(":")

    # a thread, for a run that hangs calls nobody
    speaker = threading.Thread(target=speak, daemon=True, name="ect-progress")
    speaker.start()
    try:
        yield told
    finally:
        over.set()
        speaker.join()


def size_text(size_bytes: int) -> str:
    """A size for people: ``"412 bytes"``, ``"6.7 MB"``."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= limit:
            return f"{size_bytes / limit:.1f} {unit}"
    return f"{size_bytes} bytes"


def shape_text(shape: Sequence[int]) -> str:
    """A shape for people: ``"1x3x224x224"``."""
    return "x".join(map(str, shape))
