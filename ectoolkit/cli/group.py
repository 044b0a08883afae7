"""How a command ends: errors as one message, the exit status, warnings without source lines."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ectoolkit._notices import on_command_line
from ectoolkit.errors import Cancelled, EctoolkitError, EctoolkitWarning

#: read by torch when it is imported, which is later.  Its C++ code announces the end of quantized tensors, about which
#: a user can do nothing; and threads that spin while they wait made calibration four times slower on a busy machine.
_TORCH = {"TORCH_CPP_LOG_LEVEL": "ERROR", "OMP_WAIT_POLICY": "PASSIVE"}

EXIT_DIFFERENT, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 130


class CommandGroup(TyperGroup):
    """The commands, with ectoolkit's way of ending them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exceptions become a message and an exit status."""
        for name, value in _TORCH.items():
            os.environ.setdefault(name, value)
        try:
            with _plain_warnings(), on_command_line():
                return super().invoke(ctx)
        except (KeyboardInterrupt, Cancelled):
            typer.echo("\ninterrupted: the last good state is kept, nothing is half written", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            raise  # the reader of our output went away, for example `| head`
        except Exception as error:
            if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code"):
                raise  # the command line's own: a usage error, or an exit status chosen by the command
            report(error, debug=bool(ctx.params.get("debug")))
            raise typer.Exit(EXIT_FAILED) from None


def report(error: Exception, *, debug: bool) -> None:
    """Say on standard error what went wrong; with the traceback where asked, or where it is a bug."""
    expected = isinstance(error, EctoolkitError | OSError)
    if debug or not expected:
        typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if expected:
        typer.echo(f"error: {error}", err=True)
    else:
        typer.echo(
            f"error: {type(error).__name__}: {error}\n"
            "This is a bug in ectoolkit; please report it with the lines above and the output of `ectoolkit doctor`.",
            err=True,
        )


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """ectoolkit's own warnings in one line; those of other libraries stay as they are."""
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, EctoolkitWarning):
            typer.echo(f"warning: {message}", err=True)
        else:
            usual(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual
