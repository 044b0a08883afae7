"""What is chosen, shared by all parts that show the same session.

A part takes ``selection=`` and links those of these traits that it follows; so a layer chosen in one part is chosen in
all.  A script chooses with ``selection.layer = "fc"`` and listens with ``selection.observe(fn, names="layer")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import traitlets

if TYPE_CHECKING:
    from ectoolkit.workflow import Flow


class Selection(traitlets.HasTraits):
    """Nothing is chosen at first.

    Traits:
        layer: name of a layer or input; ``""`` for none.
        image: index of an image; -1 for all.
        channel: index of an output channel of the layer; -1 for all.
        element: flat index of an element of the layer's value; -1 for none.

    Another layer has other channels and elements, so choosing one forgets these.
    """

    layer = traitlets.Unicode("")
    image = traitlets.Int(-1)
    channel = traitlets.Int(-1)
    element = traitlets.Int(-1)

    @traitlets.observe("layer")
    def _forget_inside(self, change: Any) -> None:
        self.channel = self.element = -1

    def __repr__(self) -> str:
        return f"Selection(layer={self.layer!r}, image={self.image}, channel={self.channel}, element={self.element})"


_of_flows: WeakKeyDictionary[Flow, Selection] = WeakKeyDictionary()


def selection_of(flow: Flow) -> Selection:
    """A card's selection: its layer is that of all cards of the flow, its image and channel are its own.

    Images are counted from the first that a card looked at, so two cards may number them differently.
    """
    shared = _of_flows.setdefault(flow, Selection())
    own = Selection()
    traitlets.link((shared, "layer"), (own, "layer"))
    return own
