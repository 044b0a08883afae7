"""Widgets are kept by ipywidgets until somebody closes them, and with them whatever their handlers hold."""

from __future__ import annotations

import ipywidgets


def close_all(widget: ipywidgets.Widget) -> None:
    """Close a widget, what is in it, and what is its own: layout and style."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for own in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(own, ipywidgets.Widget):
            own.close()
    widget.close()
