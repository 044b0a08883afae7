"""Names of remote devices: ``rpc://HOST:PORT``, or ``rpc://HOST:PORT/NAME`` where HOST:PORT is a tracker's."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ectoolkit.errors import DeviceNotFoundError

#: of `ectoolkit device serve`
DEFAULT_PORT = 9190


@dataclass(frozen=True)
class Address:
    """Where a server or a tracker listens.

    Attributes:
        host: name or address.
        port: of it.
        name: that servers gave the tracker; empty for a server.
    """

    host: str
    port: int
    name: str = ""

    @property
    def endpoint(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """What stands behind ``rpc:`` in a device's name.

    Raises:
        DeviceNotFoundError: it is no address.
    """
    wrong = DeviceNotFoundError(
        f"'rpc:{text}' is no address; expected rpc://HOST:PORT of an `ectoolkit device serve`, or rpc://HOST:PORT/NAME "
        "of a tracker and the name that servers have there"
    )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # what is no name, the system's look-up raises other errors for
    except ValueError:
        raise wrong from None
    name = parts.path.strip("/")
    if parts.scheme or not host or parts.query or parts.fragment or "@" in parts.netloc or "/" in name:
        raise wrong
    return Address(host, DEFAULT_PORT if port is None else port, name)


def parse_endpoint(text: str, what: str) -> Address:
    """``HOST:PORT`` as an option gives it; errors as `parse_address`, for a `what`."""
    wrong = DeviceNotFoundError(f"{what} is {text!r}, expected HOST:PORT")
    try:
        found = urlsplit(f"//{text}")
        port = found.port
        (found.hostname or "").encode("idna")
    except ValueError:
        raise wrong from None
    if not found.hostname or port is None or found.path:
        raise wrong
    return Address(found.hostname, port)
