"""Two sessions that go one way: one by the controls of a card, the other by the calls that `ACTIONS` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import torch
from card_walk import do_by_hand, reached
from parity_shown import SHOWN
from plain_numpy import IMAGES, Small
from session_state import assert_same, state_of

import ectoolkit as ect
from ectoolkit.errors import Cancelled, EctoolkitError
from ectoolkit.widgets.actions import ACTIONS, Action
from ectoolkit.widgets.cards import card_of
from ectoolkit.workflow import StageEvent

EMPTY: Mapping[str, Callable[[], None]] = MappingProxyType({})


def session() -> ect.Flow:
    torch.manual_seed(0)
    return ect.Flow(Small().eval(), calibration=IMAGES, class_names=["ant", "bee", "cat", "dog", "eel"])


class Walk:
    """Two sessions, and the actions of one card.

    Args:
        card: as in `Action`.
        settings: what the card's fields say at first.
        values: by place of a control what is chosen with it, or that by the trait that it sets.
        names: what the calls speak of, until something else is chosen.

    Attributes:
        mine, theirs: the session by hand, and the one by call.
        heard: by session the steps that its stage told of.
        labels: what the card told of them.
        now: the action at hand.
    """

    def __init__(self, card: str, settings: Mapping[str, Any], values: Mapping[str, Any], **names: Any) -> None:
        self.mine, self.theirs = session(), session()
        self.names, self.settings, self.values = dict(names), settings, values
        self.actions = [action for action in ACTIONS if action.card == card]
        self.attribute = card
        self.heard: dict[int, list[tuple[int, int, str]]] = {}
        self.labels: list[str] = []
        self.now = self.actions[0]

    def begin(self, *before: str) -> None:
        """Run stages before by code, and listen."""
        for flow in (self.mine, self.theirs):
            for name in before:
                getattr(flow, name).run(*([IMAGES[:4]] if name == "interpret" else []))
        if self.attribute == "flow":
            self.card: Any = card_of(self.mine)
            return
        self.card = card_of(self.stage(self.mine))
        self.card.label.observe(lambda change: self.labels.append(change["new"]), "value")
        for flow in (self.mine, self.theirs):
            heard = self.heard.setdefault(id(flow), [])
            self.stage(flow).observe(
                lambda event, heard=heard: event.total and heard.append((event.done, event.total, event.label))
            )

    def stage(self, flow: ect.Flow) -> Any:
        return getattr(flow, self.attribute)

    def control(self, action: Action) -> Any:
        return eval(f"card.{action.control}", {"card": self.card})

    def value(self, action: Action) -> Any:
        if action.does.startswith("go where"):
            return self.control(action).location[action.hand]
        value = self.values.get(action.control)
        return value.get(action.hand) if isinstance(value, dict) else value

    def call(self, flow: ect.Flow, action: Action) -> Any:
        setting = action.control.partition("fields['")[2].rstrip("']") if action.then == "run_button" else ""
        others = {name: value for name, value in self.settings.items() if name != setting}
        value = self.names["report"] if action.control == "report" else self.value(action)
        given = {"flow": flow, "value": value, "settings": self.settings, "others": others}
        return eval(action.call, self.names | given)

    def settle(self) -> None:
        """Wait for what the page would wait for."""
        if hasattr(self.card, "wait"):
            self.card.wait(60)
        card_of(self.mine.quantize).detail.wait(60)

    def press(self, control: str) -> None:
        do_by_hand(eval(f"card.{control}", {"card": self.card}), "click")
        self.settle()

    def do(self, action: Action) -> Any:
        """Both ways; gives what the call gave."""
        widget, value = self.control(action), self.value(action)
        before = getattr(widget, "value", None)
        do_by_hand(widget, action.hand, value)
        self.settle()
        if action.then:
            self.press(action.then)
        if action.hand in ("layer", "image", "channel", "element"):
            self.names[action.hand] = value
        elif action.control == "answers.layer":
            self.names["layer"] = value
        try:
            given = self.call(self.theirs, action)
        except EctoolkitError as error:  # the other session must have failed in the same way
            given = error
        if action.then == "run_button":
            do_by_hand(widget, "value", before)
        return given


def cancelled(walk: Walk, action: Action) -> None:
    """Cancel both sessions' runs at their first step."""
    run = next(one for one in walk.actions if one.does == "run")

    def at_first_step(stop: Callable[[], None]) -> Callable[[StageEvent], None]:
        return lambda event: stop() if event.kind == "progress" and event.total and event.done else None

    by_hand = at_first_step(lambda: walk.card.cancel_button.disabled or do_by_hand(walk.control(action), "click"))
    ends = [walk.stage(walk.mine).observe(by_hand)]
    ends.append(walk.stage(walk.theirs).observe(at_first_step(lambda: walk.call(walk.theirs, action))))
    walk.press("run_button")
    with pytest.raises(Cancelled):
        walk.call(walk.theirs, run)
    for end in ends:
        end()
    assert isinstance(walk.stage(walk.mine).error, Cancelled)


def check(walk: Walk, action: Action, given: Any, before: dict[str, Any]) -> None:
    """What is shown, and then all that is known of the two sessions."""
    if action.does in SHOWN:
        SHOWN[action.does](walk, walk.control(action), given)
    else:
        with pytest.raises(AssertionError):  # what is not shown has changed something
            assert_same(before, state_of(walk.theirs))
    if walk.attribute != "flow":
        assert bool(walk.card.error.value) == (walk.stage(walk.mine).error is not None), walk.card.error.value
    assert_same(state_of(walk.mine), state_of(walk.theirs), f"after {action.does!r} of flow.{action.card}")


def require_complete(walk: Walk) -> None:
    """The card has what the list names, and nothing else."""
    listed = {(id(walk.control(action)), action.hand): str(action) for action in walk.actions}
    found = {(id(widget), hand): f"{widget!r}, {hand or 'shows'}" for widget, hand in reached(walk.card.view)}
    if walk.attribute == "flow":  # what is in it are the other cards
        found = {key: what for key, what in found.items() if key[0] == id(walk.card.view)}
    unlisted = [what for key, what in found.items() if key not in listed]
    assert not unlisted, f"ectoolkit.widgets.actions does not list {'; '.join(unlisted)}"
    absent = [what for key, what in listed.items() if key not in found]
    assert not absent, f"the card has no {'; '.join(absent)}"


def require_labels(walk: Walk) -> None:
    """The list calls a control what the page does."""
    for action in walk.actions:
        written = getattr(walk.control(action), "description", "")
        assert not written or written == action.label, action


def take(walk: Walk, skipped: tuple[str, ...] = (), before: Mapping[str, Callable[[], None]] = EMPTY) -> None:
    """Every action of the card, in the order of the list; then the card has no other."""
    assert {one.does for one in walk.actions if one.hand == ""} <= set(SHOWN)
    for action in walk.actions:
        if action.does in skipped:
            continue
        walk.now = action
        before.get(action.does, lambda: None)()
        known = state_of(walk.theirs)
        if action.hand == "":
            given = walk.call(walk.theirs, action)
        elif action.does == "stop what runs":
            given = cancelled(walk, action)
        else:
            given = walk.do(action)
        try:
            check(walk, action, given, known)
        except BaseException as error:
            error.add_note(f"at {action}")
            raise
    require_complete(walk)
    require_labels(walk)
