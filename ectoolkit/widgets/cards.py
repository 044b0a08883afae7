"""The view plugin of ``ectoolkit.views``: a stage or flow as its card."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from IPython import get_ipython

from ectoolkit.widgets.device_card import DeviceCard
from ectoolkit.widgets.flow_card import FlowCard
from ectoolkit.widgets.stage_card import StageCard
from ectoolkit.workflow import DevicePanel, Flow, Stage

VIEW = "application/vnd.jupyter.widget-view+json"
_cards: WeakKeyDictionary[Stage[Any] | Flow, StageCard | FlowCard] = WeakKeyDictionary()


def card_bundle(shown: Any) -> dict[str, Any]:
    """The widget part of a display bundle.

    Args:
        shown: a stage or a flow.

    Returns:
        MIME type to data; empty for anything else, and where no Jupyter kernel could carry the widget's messages.
    """
    if not isinstance(shown, Stage | Flow) or getattr(get_ipython(), "kernel", None) is None:
        return {}
    return {VIEW: card_of(shown).view._repr_mimebundle_()[VIEW]}


def _made(shown: Stage[Any] | Flow) -> StageCard | FlowCard:
    if isinstance(shown, Flow):
        return FlowCard(shown, map(card_of, shown.stages))
    return DeviceCard(shown) if isinstance(shown, DevicePanel) else StageCard(shown)


def card_of(shown: Stage[Any] | Flow) -> StageCard | FlowCard:
    """The card of a stage or a flow: made once, and kept as long as what it shows."""
    card = _cards.get(shown)
    if card is None:
        card = _made(shown)
        _cards[shown] = card
    return card
