"""How a process ended, in words."""

from __future__ import annotations

import signal


def described_status(status: int) -> str:
    """What goes behind the name of a process.

    Args:
        status: as `subprocess` gives it: negative for a signal.
    """
    return f"ended with status {status}" if status >= 0 else f"was ended by {signal_name(-status)}"


def signal_name(number: int) -> str:
    """``"SIGKILL"``; ``"signal 35"`` of a real-time signal, which has no name."""
    names = {known.value: known.name for known in signal.Signals}
    return names.get(number, f"signal {number}")
