"""``ectoolkit devices``: where a deployment can run."""

from __future__ import annotations

import textwrap

from ectoolkit.cli.console import WIDTH, print_table, say

HELP = """List the devices a deployment can run on, and why one is not ready.

Nothing is opened or touched. A device's name is what `ectoolkit run DIR --device NAME` takes.
"""


def devices() -> None:
    """See `HELP`."""
    import ectoolkit as ect

    found = ect.list_devices()
    rows = [[info.name, "ready" if info.available else "not ready", info.description] for info in found]
    print_table(["device", "state", "what it is"], rows)
    why: dict[str, list[str]] = {}  # several wait for the same thing
    for info in found:
        if not info.available:
            why.setdefault(info.reason, []).append(info.name)
    for reason, names in why.items():
        text = f"{', '.join(names)}: {reason}"
        say("\n" + textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False))
