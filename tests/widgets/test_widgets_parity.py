"""Whatever a card does a script does: each action of `ACTIONS` by hand and by its call, with the same outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from plain_numpy import IMAGES, Small

import ectoolkit as ect
from ectoolkit.widgets.cards import card_of
from ectoolkit.widgets.explorer import ACTIONS, QuantizeExplorer

#: what the calls speak of
NAMES: dict[str, Any] = {"layer": "second", "image": 1, "low": -1.25, "high": 2.5, "column": "isolated_sqnr_db"}
#: the value of each field that is changed
VALUES = {
    "choose a method": "minmax",
    "choose activation bits": 6,
    "choose scales of weights": "per_tensor",
    "choose weight bits": 5,
    "keep in float": True,
}


def matrix(part: Any) -> np.ndarray:
    return np.frombuffer(part.data, "<f4").reshape(part.shape)


def floats(values: Any) -> np.ndarray:
    return np.asarray(values, "<f4")


def field(explorer: QuantizeExplorer, name: str, value: Any) -> None:
    explorer.settings.fields[name].value = value


#: action → what a hand does, and then what the explorer shows beside what the call gave
Do = Callable[[QuantizeExplorer], object]
BY_HAND: dict[str, Do] = {
    "choose a layer": lambda e: setattr(e.graph, "layer", "second"),
    "look at its weights": lambda e: setattr(e.settings.shows, "value", "weight"),
    "look at its channels": lambda e: None,
    "move a handle": lambda e: setattr(e.histogram, "ends", [-1.25, 2.5]),
    "let a handle go": lambda e: (setattr(e.histogram, "ends", [-1.25, 2.5]), setattr(e.histogram, "settled", 1)),
    "give the range back": lambda e: e.settings.free.click(),
    "choose a method": lambda e: field(e, "method", "minmax"),
    "choose activation bits": lambda e: field(e, "activation_bits", 6),
    "choose scales of weights": lambda e: field(e, "weights", "per_tensor"),
    "choose weight bits": lambda e: field(e, "weight_bits", 5),
    "keep in float": lambda e: field(e, "keep_float", True),
    "undo": lambda e: e.bar.undo_button.click(),
    "redo": lambda e: (e.bar.undo_button.click(), e.wait(30), e.bar.redo_button.click()),
    "read the log": lambda e: None,
    "as script": lambda e: setattr(e.bar.script_button, "value", True),
    "colour the graph": lambda e: setattr(e.graph, "column", "isolated_sqnr_db"),
    "look at images": lambda e: None,
    "choose an image": lambda e: setattr(e.images, "image", 1),
}


def require_shown(action: str, explorer: QuantizeExplorer, given: Any) -> None:
    """For actions that look: what is shown is what the call gave."""
    if action in ("choose a layer", "look at its weights"):
        np.testing.assert_array_equal(np.frombuffer(explorer.histogram.shares, "<f4"), floats(given.shares))
    elif action == "look at its channels":
        np.testing.assert_array_equal(matrix(explorer.channels)[1], floats(given["weight_sqnr_db"]))
    elif action == "move a handle":
        assert explorer.histogram.noise["sqnr_db"] == given.prediction.sqnr_db
        assert explorer.histogram.noise["clipped_high"] == given.clipped_high
    elif action == "colour the graph":
        shown = [float(value) for value in explorer.graph.values if value is not None]
        assert shown == [value for value in given if not np.isnan(value)]
    elif action == "look at images":
        np.testing.assert_array_equal(matrix(explorer.images), floats(given.drop(columns="layer")).T)
    elif action == "choose an image":
        np.testing.assert_array_equal(matrix(explorer.error_map), given)
    elif action == "read the log":
        assert all(step in explorer.bar.log.value for step in ("clip=(-2.0, 2.0)",))
        assert given == ["second: clip=(-2.0, 2.0)"]
    elif action == "as script":
        assert "clip=(-2.0, 2.0)" in explorer.bar.script.value
        assert explorer.bar.script.layout.display == ""
        assert "clip=(-2.0, 2.0)" in given


@pytest.fixture
def sessions() -> tuple[ect.Flow, ect.Flow]:
    def session() -> ect.Flow:
        torch.manual_seed(0)
        flow = ect.Flow(Small().eval(), calibration=IMAGES)
        flow.quantize.run()
        flow.quantize.tune("second", clip=(-2.0, 2.0))  # so that there is something to undo
        return flow

    return session(), session()


def test_every_action_is_walked() -> None:
    assert list(BY_HAND) == list(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_by_hand_and_by_call(action: str, sessions: tuple[ect.Flow, ect.Flow]) -> None:
    by_hand, by_call = sessions
    explorer = card_of(by_hand.quantize).detail
    assert isinstance(explorer, QuantizeExplorer)
    if action != "choose a layer":
        explorer.selection.layer = "second"
    explorer.wait(30)
    BY_HAND[action](explorer)
    explorer.wait(30)
    assert explorer.message.value == ""
    if action == "redo":
        by_call.quantize.undo()
    given = eval(ACTIONS[action], {**NAMES, "value": VALUES.get(action), "flow": by_call})
    require_shown(action, explorer, given)
    assert by_hand.quantize.log == by_call.quantize.log
    assert by_hand.quantize.states[-1].config == by_call.quantize.states[-1].config
    assert by_hand.quantize.graph.sha256 == by_call.quantize.graph.sha256
