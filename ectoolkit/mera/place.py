"""Where EdgeCortix's compiler is: a Python on this machine, or one on another that ssh reaches."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ectoolkit.core.atomic import replacing_file
from ectoolkit.errors import InputError, MissingDependencyError

#: environment variable that names a place, before everything else
VARIABLE = "MERA_PYTHON"
_CONFIG_FORMAT, _CONFIG_VERSION = "ectoolkit-mera", 1
_KEYS = ("ssh", "python", "ssh_config")


@dataclass(frozen=True)
class Place:
    """A Python that has MERA.

    Attributes:
        python: its path; words after it are arguments.  Quoted as for a shell.
        ssh: host, as ssh's command line takes it: ``"user@host"``, ``"-p 2222 user@host"``; empty for this machine.
        ssh_config: file for ssh's ``-F``, empty for the user's own.
        named_by: who named it, for people.
    """

    python: str
    ssh: str = ""
    ssh_config: str = ""
    named_by: str = ""

    def __str__(self) -> str:
        where = f" on {self.ssh}" if self.ssh else ""
        source = f" (named by {self.named_by})" if self.named_by else ""
        return f"{self.python}{where}{source}"

    @property
    def words(self) -> list[str]:
        """The program on this machine, and its first arguments.

        Raises:
            InputError: a quotation mark has no partner.
        """
        try:
            return shlex.split(self.python)
        except ValueError as error:
            raise InputError(
                f"{self.python!r} is not understood ({error}); expected /path/to/python, words quoted as for a shell"
            ) from error

    @property
    def what(self) -> str:
        """What is expected there, for errors."""
        here = f" on {self.ssh}, reached without a password" if self.ssh else ""
        return f"a CPython 3.8 or 3.10 that imports mera{here}"

    @property
    def spec(self) -> str:
        """As `parse_place` reads it."""
        parts = [f"ssh={self.ssh}"] if self.ssh else []
        parts += [f"python={self.python}"]
        parts += [f"ssh_config={self.ssh_config}"] if self.ssh_config else []
        return "//".join(parts)


def parse_place(text: str, named_by: str = "") -> Place:
    """Read ``/path/to/python`` or ``ssh=user@host//python=/path/to/python``.

    Args:
        text: one of these; ``//ssh_config=FILE`` may follow the second.
        named_by: who said it, for errors.

    Raises:
        InputError: neither; says what is wrong.
    """
    text = text.strip()
    if not re.match(r"(popen//)?(ssh|python|ssh_config)=", text):
        if not text:
            raise InputError(f"{named_by or 'the place of MERA'} is empty; expected the path of a Python, or ssh=…")
        path = Path(text).expanduser()
        if path.is_file():  # as a whole, whatever is in its name; and it is found from other folders too
            return local_place(path.absolute(), named_by)
        return Place(str(path) if text.startswith("~") else text, named_by=named_by)
    known: dict[str, str] = {}
    for part in text.removeprefix("popen//").split("//"):
        key, equals, value = part.partition("=")
        if key not in _KEYS or not equals or not value:
            raise InputError(
                f"{part!r} in {text!r} is not understood; expected /path/to/python, or "
                "ssh=user@host//python=/path/to/python, and //ssh_config=FILE where needed"
            )
        known[key] = value
    if "python" not in known:
        raise InputError(f"{text!r} names no Python; add //python=/path/to/python, the one with MERA")
    return Place(known["python"], known.get("ssh", ""), known.get("ssh_config", ""), named_by)


def config_path() -> Path:
    """The file in which `use` keeps its choice."""
    return platformdirs.user_config_path("ectoolkit") / "mera.json"


def default_folder() -> Path:
    """Where `ectoolkit mera install` puts the environment unless told."""
    return platformdirs.user_data_path("ectoolkit") / "mera"


def launcher(folder: Path) -> Path:
    """The program of an installed environment that runs its Python."""
    return folder / "bin" / "mera-python"


def local_place(program: Path, named_by: str = "") -> Place:
    """A program of this machine, whatever is in its name."""
    return Place(shlex.quote(str(program)), named_by=named_by)


def use(place: Place) -> Path:
    """Keep a place for later sessions; returns the file it is kept in.

    Raises:
        InputError: the file cannot be written.
    """
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"format": _CONFIG_FORMAT, "format_version": _CONFIG_VERSION, "place": place.spec}
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    return path


def forget() -> bool:
    """Drop what `use` kept; whether there was anything."""
    path = config_path()
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there


def kept() -> Place | None:
    """What `use` kept.

    Raises:
        InputError: the file is damaged.
    """
    path = config_path()
    if not path.is_file():
        return None
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        right = (head["format"], head["format_version"]) == (_CONFIG_FORMAT, _CONFIG_VERSION)
        text = head["place"] if right else None
    except (ValueError, KeyError, TypeError):
        text = None
    if not isinstance(text, str):
        raise InputError(
            f"{path} is damaged or of another version; choose again with `ectoolkit mera use`, or remove it"
        )
    return parse_place(text, named_by="`ectoolkit mera use`")


def find_place(given: str | Place | None = None) -> Place:
    """The Python with MERA: as given, else as ``MERA_PYTHON`` says, as `use` kept it, or as installed.

    Args:
        given: a place, or text for `parse_place`.

    Raises:
        MissingDependencyError: there is none; says how to get one.
        InputError: what names it is not understood.
    """
    if isinstance(given, Place):
        return given
    if given is not None:
        return parse_place(given)
    variable = os.environ.get(VARIABLE, "").strip()
    if variable:
        return parse_place(variable, named_by=VARIABLE)
    place = kept()
    if place is not None:
        return place
    program = launcher(default_folder())
    if program.is_file():
        return local_place(program, "`ectoolkit mera install`")
    raise MissingDependencyError(
        "EdgeCortix's compiler (MERA) is not installed, and no other place is named. Install it with "
        "`ectoolkit mera install`, or name a Python that has it: `ectoolkit mera use /path/to/python`, "
        f"`ectoolkit mera use ssh=user@host//python=/path/to/python`, or the environment variable {VARIABLE}"
    )
