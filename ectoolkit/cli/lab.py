"""``ectoolkit lab``: JupyterLab on the notebooks."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ectoolkit.cli.console import note

HELP = """Start JupyterLab on the notebooks.

The folder is notebooks/ of the checkout that ectoolkit is installed from, else the current one. Options that are not
its own go to JupyterLab.

\b
Examples:
  ectoolkit lab
  ectoolkit lab notebooks/01_quickstart.ipynb
  ectoolkit lab notebooks/01_quickstart.ipynb --no-browser --port 9999

On a machine without a screen add --no-browser; on yours, `ssh -N -L 8888:localhost:8888 THAT_MACHINE`, and open the
address that JupyterLab prints.
"""
#: of typer's command: JupyterLab's options are passed on
SETTINGS = {"ignore_unknown_options": True}


def lab(
    notebook: Annotated[
        str | None, typer.Argument(metavar="NOTEBOOK", show_default=False, help="The notebook to open.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="OPTIONS", show_default=False, help="JupyterLab's.")
    ] = None,
) -> None:
    """See `HELP`."""
    given = [*([] if notebook is None else [notebook]), *(more or [])]
    named = next((text for text in given if text.endswith(".ipynb")), None)
    if named is None and given and not given[0].startswith("-"):  # a folder
        named = given[0]
    extra = [text for text in given if text is not named]
    folder, name = _place(None if named is None else Path(named))
    if importlib.util.find_spec("jupyterlab") is None:
        from ectoolkit._optional import require

        require("jupyterlab", feature="The notebook")  # raises the error that names the extra
    note(f"JupyterLab on {folder / name if name else folder}; end it with Ctrl-C")
    if "--no-browser" not in extra and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        note(
            "There is no screen here that a browser could open on: add --no-browser; on the machine that has one, "
            "`ssh -N -L 8888:localhost:8888 THIS_MACHINE`, then open the address that JupyterLab prints."
        )
    os.chdir(folder)
    # in place of this process, so that Ctrl-C is JupyterLab's
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *([name] if name else []), *extra])


def _place(notebook: Path | None) -> tuple[Path, str]:
    """The folder to start in, and the notebook's name in it."""
    if notebook is None:
        checkout = Path(__file__).parents[2] / "notebooks"
        return (checkout if checkout.is_dir() else Path.cwd()), ""
    from ectoolkit.errors import InputError

    path = notebook.expanduser().absolute()
    if path.is_dir():
        return path, ""
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("*.ipynb")) if path.parent.is_dir() else []
        hint = f"{path.parent} has {', '.join(near)}" if near else f"there is no notebook in {path.parent}"
        raise InputError(f"there is no notebook {path}; {hint}")
    return path.parent, path.name
