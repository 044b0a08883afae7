"""``ectoolkit device serve``: lets other machines run deploy directories on this one."""

from __future__ import annotations

import ipaddress
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ectoolkit.cli.console import note, say
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from ectoolkit.devices.rpc.tracker import Registration

HELP = """Let other machines run deploy directories on this one's CPU.

On the other machine: ECTOOLKIT_RPC_KEY=KEY ectoolkit run DIR --device rpc://HOST:PORT

Whoever knows the key can run any program here as this user, for a deploy directory is native code. The key is proven,
never sent, but nothing is encrypted. So it listens at the loopback only, unless --host says otherwise; from elsewhere
come through ssh:  ssh -L 9190:127.0.0.1:9190 THIS_MACHINE

\b
Examples:
  ectoolkit device serve
  ectoolkit device serve --key-file key.txt --limit-mb 200
  ectoolkit device serve --tracker 127.0.0.1:9191 --name rpi4

A sent directory is checked here against its manifest, byte by byte, and forgotten when its session ends.
"""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 9190,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            show_default=False,
            help="Others on this machine can see it: prefer --key-file.  [default: ECTOOLKIT_RPC_KEY, else a new one]",
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="A file with the key, of mode 600.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Where sent files are kept.  [default: a new one in /tmp]"
        ),
    ] = None,
    limit_mb: Annotated[int, typer.Option(min=1, help="Most that one deploy directory may have, MB.")] = 1024,
    sessions: Annotated[int, typer.Option(min=1, help="Most clients at once; they share the CPU.")] = 4,
    tracker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", show_default=False, help="A tracker of TVM's to register at.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name at the tracker.")] = "ectoolkit",
) -> None:
    """See `HELP`."""
    from ectoolkit.devices.rpc.address import Address
    from ectoolkit.devices.rpc.handshake import find_key, new_key
    from ectoolkit.devices.rpc.own_folder import own_folder
    from ectoolkit.devices.rpc.server import Server

    given = find_key(key, key_file)
    secret = given or new_key()
    registration = None if tracker is None else _registration(tracker, name, host)
    with own_folder() as own:
        server = Server(
            secret,
            host=host,
            port=port,
            folder=folder or own,
            limit_bytes=limit_mb * 1_000_000,
            sessions=sessions,
            registration=registration,
            say=say,
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wishes
                signal.signal(number, lambda *_: server.stop())
        _announce(host)
        if given is None:
            say(f"key: {secret}")
        say(f"listening at {Address(host, server.port).endpoint}, process {os.getpid()}")
        server.serve()
    say("stopped")


def _registration(tracker: str, name: str, host: str) -> Registration:
    """How the server makes itself known at a tracker, under an address that the tracker's clients reach."""
    from dataclasses import replace

    from ectoolkit.devices.rpc.address import parse_endpoint
    from ectoolkit.devices.rpc.tracker import Registration

    endpoint = parse_endpoint(tracker, "--tracker")
    if _is_loopback(host) and not _is_loopback(endpoint.host):
        raise InputError(
            f"the tracker at {endpoint.endpoint} would send clients to {host}, which is their own machine. Add "
            "--host ADDRESS, one of this machine's that they reach, or leave out --tracker"
        )
    return Registration(replace(endpoint, name=name), "" if _any_address(host) else host, say)


def _announce(host: str) -> None:
    from ectoolkit.devices.rpc.confine import described, landlock_version
    from ectoolkit.devices.rpc.sockets import can_refuse_sockets

    note("Whoever knows the key can run any program here as this user.")
    if not _is_loopback(host):
        note(
            f"warning: {host} can be reached from other machines, and what is sent is not encrypted. Listen at "
            "127.0.0.1 and come through ssh instead, unless everybody on this network is trusted."
        )
    version, sockets = landlock_version(), can_refuse_sockets()
    note(f"{'' if version and sockets else 'warning: '}{described(version, sockets)}.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _any_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
