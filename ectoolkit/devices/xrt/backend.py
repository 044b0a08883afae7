"""What both ways to XRT offer; handles are the backend's own objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

#: the ends of a command by XRT's number (``ert_cmd_state``)
STATES = {1: "new", 2: "queued", 3: "running", 4: "completed", 5: "error", 6: "aborted", 7: "submitted", 8: "timeout"}
#: states in which a command still runs
PENDING = ("new", "queued", "running", "submitted", "timeout")


class XrtRefused(Exception):  # noqa: N818  (private to the child; becomes a `Failure`)
    """XRT said no; the text is its own where it gave one."""


class Backend(ABC):
    """One open board.  Every method raises `XrtRefused`."""

    name: ClassVar[str]

    @abstractmethod
    def open(self, bdf: str) -> None:
        """Open the board at a PCIe address."""

    @abstractmethod
    def load(self, path: str) -> None:
        """Load an xclbin."""

    @abstractmethod
    def open_kernel(self, name: str, exclusive: bool) -> Any:
        """Open a context on a kernel's compute units."""

    @abstractmethod
    def close_kernel(self, kernel: Any) -> None:
        """Close it."""

    @abstractmethod
    def allocate(self, size_bytes: int, bank: int) -> Any:
        """Make a buffer in a bank."""

    @abstractmethod
    def free(self, buffer: Any) -> None:
        """Free it."""

    @abstractmethod
    def write(self, buffer: Any, data: bytes, offset: int) -> None:
        """Bytes into the host's half."""

    @abstractmethod
    def read(self, buffer: Any, size_bytes: int, offset: int) -> bytes:
        """Bytes from the host's half."""

    @abstractmethod
    def sync(self, buffer: Any, to_device: bool, size_bytes: int, offset: int) -> None:
        """Copy between the halves."""

    @abstractmethod
    def prepare(self, kernel: Any, arguments: list[Any]) -> Any:
        """A run with its arguments set; a buffer stands for itself, a scalar is ``(value, bytes)``."""

    @abstractmethod
    def start(self, run: Any) -> None:
        """Start a prepared run."""

    @abstractmethod
    def wait(self, run: Any, milliseconds: int) -> str:
        """Wait no longer than that; returns its state."""

    @abstractmethod
    def drop(self, run: Any) -> None:
        """Forget a run that ended."""

    def information(self) -> dict[str, str]:
        """What XRT says of the board, by topic, as JSON text."""
        return {}
