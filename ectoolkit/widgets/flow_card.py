"""All stages of a flow, one below the other; a click opens one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ipywidgets

from ectoolkit.workflow import Flow, StageEvent
from ectoolkit.workflow.html import ICONS


class FlowCard:
    """The cards of a flow's stages, under titles that tell their states.

    Attributes:
        view: the widget.
    """

    def __init__(self, flow: Flow, cards: Iterable[Any]) -> None:
        self.view = ipywidgets.Accordion([card.view for card in cards])
        self.view.add_class("ect-flow")
        for stage in flow.stages:
            stage.observe(self._follow)
        self._retitle(flow)

    def _follow(self, event: StageEvent) -> None:
        if event.kind == "state":
            self._retitle(event.stage.flow)

    def _retitle(self, flow: Flow) -> None:
        self.view.titles = tuple(
            f"{stage.number} · {stage.title}   {ICONS[stage.state]} {stage.state}" for stage in flow.stages
        )

    def __repr__(self) -> str:
        return f"FlowCard({len(self.view.children)} stages)"
