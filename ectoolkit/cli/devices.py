"""``ectoolkit devices``: where a deployment can run."""

from __future__ import annotations

from ectoolkit.cli.console import print_table

HELP = """List the devices a deployment can run on, and why one is not ready.

Nothing is opened or touched. A device's name is what `ectoolkit run DIR --device NAME` takes.
"""


def devices() -> None:
    """See `HELP`."""
    import ectoolkit as ect

    rows = [
        [info.name, "ready" if info.available else "not ready", info.description, info.reason or "-"]
        for info in ect.list_devices()
    ]
    print_table(["device", "state", "what it is", "reason"], rows)
