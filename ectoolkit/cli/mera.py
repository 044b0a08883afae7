"""``ectoolkit mera``: install EdgeCortix's compiler, choose another, look, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ectoolkit.cli.console import note, progress_bar, say, size_text
from ectoolkit.cli.group import EXIT_DIFFERENT

HELP = "EdgeCortix's compiler (MERA): install, choose, look, remove"
INSTALL_HELP = """Install EdgeCortix's compiler, MERA 1.6, in a folder of its own.

MERA needs CPython 3.10, torch 1.12, a TVM of its own and newer libraries than many systems have. All that goes into
DIR, from the Python package index and, where libraries are missing, the distribution's package archive; nothing else on
this machine is changed. An installation that was interrupted goes on where it stopped when the command is given again.

\b
Examples:
  ectoolkit mera install
  ectoolkit mera install ~/mera --python ~/.pyenv/versions/3.10.13/bin/python3.10

Then: ectoolkit mera status
"""
STATUS_HELP = """Say where EdgeCortix's compiler is, its versions, and whether it works.

Exits with 0 where it works, 1 where there is none, 2 where it does not work.
"""
USE_HELP = """Use a MERA that is elsewhere: another Python, a container's, another machine's.

\b
Examples:
  ectoolkit mera use /opt/mera/bin/python
  ectoolkit mera use ssh=user@host//python=/opt/mera/bin/python
  ectoolkit mera use --forget

It is kept in the user's configuration folder; the environment variable MERA_PYTHON goes before it.
"""
UNINSTALL_HELP = "Remove what `ectoolkit mera install` made, and nothing else."

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

FOLDER = typer.Argument(metavar="DIR", show_default=False, help="Its folder.  [default: in the user's data folder]")


@app.command(help=INSTALL_HELP)
def install(
    folder: Annotated[Path | None, FOLDER] = None,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", show_default=False, help="A CPython 3.10.  [default: MERA_PYTHON310, or searched]"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """See `INSTALL_HELP`."""
    import shutil

    from ectoolkit.mera.install import install as run
    from ectoolkit.mera.install import installation_at
    from ectoolkit.mera.install.interpreters import find_interpreter
    from ectoolkit.mera.install.recipe import DEBS_MB, FINAL_MB, PACKAGES_MB, TORCH_MB
    from ectoolkit.mera.place import default_folder

    target = (folder or default_folder()).expanduser().absolute()
    begun = installation_at(target)
    if begun is not None and not begun.missing:
        say(f"MERA is installed in {target}; see `ectoolkit mera status`")
        return
    interpreter = begun.interpreter if begun is not None and python is None else find_interpreter(python)
    say(f"MERA 1.6 goes into {target}, made with {interpreter}:")
    say(f"  from the Python package index   torch 1.12.1 ({TORCH_MB} MB), MERA and what it needs ({PACKAGES_MB} MB)")
    say(f"  from the package archive        libraries that this system lacks (up to {DEBS_MB} MB)")
    say(f"  on the disk                     {FINAL_MB / 1e3:.1f} GB")
    if begun is not None:
        say(f"  already begun; still to do      {', '.join(begun.missing)}")
    if shutil.which("g++") is None:
        note("there is no g++, with which MERA links what it builds; get it with: apt install g++")
    if not yes and not typer.confirm("Go on?"):
        raise typer.Exit(EXIT_DIFFERENT)
    with progress_bar("installing MERA") as progress:
        made = run(folder, python=python, report=progress)
    say(f"MERA is installed in {made.folder} ({size_text(made.size_bytes())}), and its self-test went well")


@app.command(help=STATUS_HELP)
def status(
    environment: Annotated[
        str | None,
        typer.Argument(metavar="PLACE", show_default=False, help="As for `use`.  [default: the one that is used]"),
    ] = None,
) -> None:
    """See `STATUS_HELP`."""
    from ectoolkit.errors import MissingDependencyError
    from ectoolkit.mera.install import installation_at
    from ectoolkit.mera.place import find_place, launcher
    from ectoolkit.mera.session import Worker

    try:
        place = find_place(environment)
    except MissingDependencyError as error:
        say(str(error))
        raise typer.Exit(EXIT_DIFFERENT) from None
    say(f"place      {place}")
    if not place.ssh:
        program = Path(place.words[0])
        found = installation_at(program.parents[1]) if program.name == launcher(Path()).name else None
        if found is not None:
            unfinished = f", unfinished: {', '.join(found.missing)}" if found.missing else ""
            say(f"folder     {found.folder}, {size_text(found.size_bytes())}{unfinished}")
    worker = Worker(place)
    try:
        facts = worker.facts
        say(f"python     {facts['python']} on {facts['host']}, answers in {worker.start_s:.2f} s")
        for name, version in facts["versions"].items():
            say(f"{name:<17}{version or 'absent'}")
        if not any("vnni" in flag for flag in facts["cpu_flags"]):
            say("cpu        has no VNNI: MERA's own results differ from the accelerator's for 8-bit activations here")
        with progress_bar("self-test"):
            done = worker.call("self_test", timeout_s=300, doing="the self-test")
        seconds, elements = done["compile_seconds"], done["elements"]
        say(f"self-test  compiled a network in {seconds:.1f} s; its {elements} results are right")
    finally:
        worker.close()


@app.command(help=USE_HELP)
def use(
    place: Annotated[
        str | None, typer.Argument(metavar="PLACE", show_default=False, help="A path, or ssh=HOST//python=PATH.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to the installed one.")] = False,
) -> None:
    """See `USE_HELP`."""
    from ectoolkit.mera import place as places

    if (place is None) != forget:
        raise typer.BadParameter("give a place, or --forget")
    if place is None:
        say("forgotten" if places.forget() else "there was nothing to forget")
        return
    chosen = places.parse_place(place)
    path = places.use(chosen)
    say(f"{chosen} is used from now on (kept in {path}); try it: ectoolkit mera status")


@app.command(help=UNINSTALL_HELP)
def uninstall(
    folder: Annotated[Path | None, FOLDER] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """See `UNINSTALL_HELP`."""
    from ectoolkit.mera.install import installation_at
    from ectoolkit.mera.install import uninstall as run
    from ectoolkit.mera.place import default_folder

    target = (folder or default_folder()).expanduser().absolute()
    found = installation_at(target)
    if found is not None and not yes:
        say(f"MERA in {target} ({size_text(found.size_bytes())}) will be removed")
        if not typer.confirm("Go on?"):
            raise typer.Exit(EXIT_DIFFERENT)
    left = run(folder)
    say(f"MERA is removed from {left}, which holds other files" if left.exists() else f"{left} is removed")
