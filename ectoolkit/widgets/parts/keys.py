"""Keys pressed in a card stay there."""

from __future__ import annotations

from ectoolkit.widgets.parts.base import Part


class Keys(Part):
    """Shows nothing; keeps what is typed in the card around it from JupyterLab.

    The fields and buttons of ipywidgets leave every key to JupyterLab's command mode: there the "m" of "minmax", typed
    in a drop-down list, turns the cell into text, and the card is gone.
    """

    script = "keys"
