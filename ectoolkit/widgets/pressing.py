"""Buttons."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets


def when_pressed(button: ipywidgets.Button, act: Callable[[], object]) -> None:
    """Call `act` for a press of the button; not where it is disabled: a hand may be quicker than the page."""
    button.on_click(lambda _: None if button.disabled else act())
