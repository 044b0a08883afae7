"""``ectoolkit``: puts the commands together."""

from __future__ import annotations

from typing import Annotated

import typer

import ectoolkit
from ectoolkit.cli import demo, deploy, device, devices, lab, mera, run, runner, verdict, verify
from ectoolkit.cli.console import WIDTH
from ectoolkit.cli.doctor import command as doctor
from ectoolkit.cli.group import CommandGroup

HELP = """Take a PyTorch CNN, quantized, to an EdgeCortix accelerator.

A model becomes integer arithmetic, a deploy directory is built from it, and the result is compared with the exact
reference in every element. All of this runs on any x86-64 Linux machine, with no accelerator.

\b
First steps:
  ectoolkit doctor                            what is installed, and what is missing
  ectoolkit demo                              the whole way on MobileNetV2 and real photos
  ectoolkit run demo_deploy                   run what the demo built, and compare
  ectoolkit deploy torchvision/resnet18 out   build another model
  ectoolkit lab                               the same in a notebook

\b
Exit status of every command:
  0    well; where results are compared, they are equal
  1    results differ (doctor: something is missing)
  2    it could not be done; the reason is on standard error
  130  interrupted with Ctrl-C
"""

app = typer.Typer(
    cls=CommandGroup,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ectoolkit {ectoolkit.__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error, show where in the code it happened too.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command; `CommandGroup` reads ``--debug`` itself."""


app.command(help=demo.HELP, short_help="From a float model to a verified deploy directory")(demo.demo)
app.command(help=deploy.HELP, short_help="Make a deploy directory of a model")(deploy.deploy)
app.command(help=run.HELP, short_help="Run a deploy directory, and compare")(run.run)
app.command(help=verify.HELP, short_help="Check that a deploy directory is intact")(verify.verify)
app.command(help=verdict.HELP, short_help="Say which link, layer and element differs")(verdict.verdict)
app.command(help=devices.HELP, short_help="List where a deploy directory can run")(devices.devices)
app.add_typer(device.app, name="device", help=device.HELP)
app.command(help=doctor.HELP, short_help="What is installed, what is missing")(doctor.doctor)
app.add_typer(mera.app, name="mera", help=mera.HELP)
app.add_typer(runner.app, name="runner", help=runner.HELP)
app.command(help=lab.HELP, short_help="Start JupyterLab on the notebooks", context_settings=lab.SETTINGS)(lab.lab)
