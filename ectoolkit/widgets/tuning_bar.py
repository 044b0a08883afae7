"""What was tuned: undo, redo, the log, and the session as a script."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from ectoolkit.widgets.pressing import when_pressed
from ectoolkit.workflow import QuantizeStage, Stage, StageEvent


class TuningBar:
    """Buttons and the log.

    Attributes:
        undo_button, redo_button, script_button: what they say.
        log: the steps in words.
        script: the session, shown while the button is down.
        view: all of them.
    """

    def __init__(self, stage: QuantizeStage, undo: Callable[[], None], redo: Callable[[], None]) -> None:
        width = {"width": "auto"}
        self.undo_button = ipywidgets.Button(description="undo", icon="undo", disabled=True, layout=width)
        self.redo_button = ipywidgets.Button(description="redo", icon="repeat", disabled=True, layout=width)
        self.script_button = ipywidgets.ToggleButton(description="as script", icon="code", layout=width)
        self.log, self.script = ipywidgets.HTML(), ipywidgets.HTML(layout={"display": "none"})
        for widget, name in (
            (self.undo_button, "ect-undo"),
            (self.redo_button, "ect-redo"),
            (self.script_button, "ect-as-script"),
            (self.log, "ect-log"),
            (self.script, "ect-script"),
        ):
            widget.add_class(name)
        when_pressed(self.undo_button, undo)
        when_pressed(self.redo_button, redo)
        self.script_button.observe(lambda change: self._show_script(change["new"]), "value")
        row = {"flex_flow": "row wrap", "align_items": "center"}
        buttons = ipywidgets.HBox([self.undo_button, self.redo_button, self.script_button, self.log], layout=row)
        self.view = ipywidgets.VBox([buttons, self.script])
        self._stage = weakref.ref(stage)
        for one in stage.flow.stages:  # the script is of them all
            one.observe(self._follow)

    def show(self, stage: QuantizeStage) -> None:
        """Show where a stage's tuning stands."""
        steps = stage.log if stage.is_tunable else []
        self.enable(stage.can_undo, stage.can_redo)
        self.undo_button.tooltip = f"take back: {steps[-1]}" if steps else "nothing to take back"
        listed = "".join(f"<li>{escape(step)}</li>" for step in steps)
        count = f"{len(steps)} change{'s' if len(steps) != 1 else ''}"
        self.log.value = f"<details><summary>{count}</summary><ol>{listed}</ol></details>" if steps else ""
        self._write(stage)

    def enable(self, undo: bool, redo: bool) -> None:
        """Let the buttons be pressed where there is something to do."""
        self.undo_button.disabled, self.redo_button.disabled = not undo, not redo

    def _follow(self, event: StageEvent) -> None:
        if event.kind == "state" and self.script_button.value:
            self._write(event.stage)

    def _write(self, stage: Stage[Any]) -> None:
        text = escape(stage.flow.to_script())
        self.script.value = f'<pre tabindex="0" aria-label="the session as a script">{text}</pre>'

    def _show_script(self, shown: bool) -> None:
        stage = self._stage()
        if shown and stage is not None:
            self._write(stage)
        self.script.layout.display = "" if shown else "none"

    def __repr__(self) -> str:
        return "TuningBar()"
