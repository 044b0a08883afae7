"""Where XRT's drivers and libraries are: this machine, or a virtual board that stands in for its PCIe.

The virtual board names a file in the environment variable `VARIABLE`; every process that inherits it sees the board.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ectoolkit.errors import DeviceStateError

VARIABLE = "ECTOOLKIT_XRT_HOST"


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands for the machine.

    Attributes:
        root: folder under which ``sys`` and ``dev`` are looked up.
        environment: variables for the process that talks to XRT.
        xclbin: what a deployment runs on where the user names no file; empty where there is none.
        notice: said wherever the boards are shown; empty on a real machine.
    """

    root: str = "/"
    environment: dict[str, str] = {}
    xclbin: str = ""
    notice: str = ""

    def path(self, place: str) -> Path:
        """A place of the machine, as ``"/sys/bus/pci/devices"``."""
        return Path(self.root) / place.lstrip("/")

    def save(self, path: Path) -> None:
        """Write the file that `VARIABLE` names."""
        path.write_bytes(msgspec.json.encode(self))


def current_host() -> Host:
    """The host in use.

    Raises:
        DeviceStateError: the environment names a virtual board that is gone.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return Host()
    try:
        return msgspec.json.decode(Path(name).read_bytes(), type=Host)
    except (OSError, msgspec.DecodeError) as error:
        raise DeviceStateError(
            f"{VARIABLE} names {name}, where no virtual board is ({error}). Start one with `ectoolkit device virtual`, "
            f"or unset {VARIABLE}"
        ) from error
