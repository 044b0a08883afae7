"""What a hand can reach in a card: found in the widgets themselves, and done as their page does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets
from ipywidgets.widgets.widget_selection import _Selection

from ectoolkit.widgets.parts import Part
from ectoolkit.widgets.parts.keys import Keys

#: of ipywidgets, what only shows
SHOWS = (ipywidgets.HTML, ipywidgets.IntProgress)
#: of ipywidgets, what a hand changes, and by which trait
CHANGES: dict[type[ipywidgets.Widget], str] = {
    ipywidgets.Dropdown: "value",
    ipywidgets.ToggleButtons: "value",
    ipywidgets.ToggleButton: "value",
    ipywidgets.Checkbox: "value",
    ipywidgets.BoundedIntText: "value",
    ipywidgets.Combobox: "value",
    ipywidgets.Text: "value",
    ipywidgets.Button: "click",
    ipywidgets.Accordion: "selected_index",
}
#: how texts begin that say nothing of the session
TITLES = ("<h4>", "of this layer:")
Reached = tuple[ipywidgets.Widget, str]


def reached(view: ipywidgets.Widget) -> Iterator[Reached]:
    """Every widget in a view with what a hand does to it; ``""`` where it shows something.

    Raises:
        TypeError: a kind of widget of which nobody has said what a hand does with it.
    """
    if isinstance(view, Keys) or (isinstance(view, ipywidgets.HTML) and view.value.startswith(TITLES)):
        return  # guards the keyboard
    if isinstance(view, Part):
        yield view, ""
        yield from ((view, hand) for hand in (*view.reachable(), *view.page_says))
    elif type(view) in CHANGES:
        yield view, CHANGES[type(view)]
        if isinstance(view, ipywidgets.Accordion):  # its titles
            yield view, ""
    elif isinstance(view, SHOWS):
        yield view, ""
    elif not isinstance(view, ipywidgets.Box):
        raise TypeError(f"what does a hand do with {type(view).__name__}?")
    for child in getattr(view, "children", ()):
        yield from reached(child)


def do_by_hand(widget: Any, hand: str, value: Any = None) -> None:
    """The message that the page would send."""
    if hand == "click":
        assert not widget.disabled
        widget._handle_custom_msg({"event": "click"}, [])
    elif isinstance(widget, Part) and hand in widget.page_says:
        widget._handle_custom_msg(hand, [])
    elif isinstance(widget, _Selection):
        values = [one[1] if isinstance(one, tuple) else one for one in widget.options]
        widget.set_state({"index": values.index(value)})
    else:
        widget.set_state({hand: value})
