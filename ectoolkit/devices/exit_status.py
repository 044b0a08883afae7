"""How a process ended, in words."""

from __future__ import annotations

import signal


def described_status(status: int) -> str:
    """What goes behind the name of a process.

    Args:
        status: as `subprocess` gives it: negative for a signal.
    """
    if status >= 0:
        return f"ended with status {status}"
    # a real-time signal has no name
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-status, f'signal {-status}')}"
