"""One stage as a card: settings, Run and Cancel, progress, result, error."""

from __future__ import annotations

import logging
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import ipywidgets

from ectoolkit._notices import hearing
from ectoolkit.errors import EctoolkitError, StageError
from ectoolkit.widgets.closing import close_all
from ectoolkit.widgets.details import detail_of
from ectoolkit.widgets.forms import form_of
from ectoolkit.widgets.parts import LayerTable
from ectoolkit.widgets.parts.keys import Keys
from ectoolkit.widgets.pressing import when_pressed
from ectoolkit.widgets.selection import Selection, selection_of
from ectoolkit.workflow import Stage, StageEvent, StageState
from ectoolkit.workflow.html import ICONS, error_html, notices_html

#: what a button does with the stage
Act = Callable[[Any], object]
#: seconds between two messages about progress
INTERVAL = 0.1
#: what an error tells a script to do first
_CALL = re.compile(r"call flow\.(\w+)\.run\(\)")
_GONE = "this session is gone; run the cell that makes it again"
_INTERRUPT = "a cell runs this step; interrupt the kernel to stop it"
_ROW = {"flex_flow": "row wrap", "align_items": "center"}


class StageCard:
    """Shows a stage and runs it in a thread of its own.

    The stage's events drive what is shown, so a run from code shows as one from the button does.  The card does not
    keep its stage alive.

    Attributes:
        view: the widget to display.
        form: the settings; see `ectoolkit.widgets.forms.Form`.
        selection: what is chosen in the card; the layer is that of all cards of the flow.
        detail: what this kind of stage has below the table; None for most.
        run_button, cancel_button, bar, label, head, summary, error, notices, table: what the view is made of.
    """

    def __init__(self, stage: Stage[Any], selection: Selection | None = None) -> None:
        self._stage = weakref.ref(stage)
        self._generation, self._revision = -1, (-1, -1)  # of the settings and of the table that are shown
        self._summary, self._stopping = "", False
        self._unshown: EctoolkitError | None = None  # why the result at hand has no table
        self._reported = 0.0
        self._worker: threading.Thread | None = None
        self._showing = threading.RLock()
        self.form = form_of(stage)
        self.head, self.summary, self.error, self.notices, self.label = (ipywidgets.HTML() for _ in range(5))
        self.run_button = ipywidgets.Button(
            description="Run", icon="play", button_style="primary", tooltip=f"Run {stage.title}"
        )
        self.cancel_button = ipywidgets.Button(description="Cancel", icon="stop", disabled=True)
        self.bar = ipywidgets.IntProgress(0, 0, 1)
        self.selection = selection or selection_of(stage.flow)
        self.table = LayerTable(selection=self.selection)
        self.detail = detail_of(stage, self.selection, self.table)
        self.view = self._layout(stage)
        when_pressed(self.run_button, self.start)
        when_pressed(self.cancel_button, self.cancel)
        stage.observe(self._follow)
        for other in stage.flow.stages:
            if other is not stage:
                other.observe(self._follow_other)
        self._refresh(stage)
        weakref.finalize(stage, self.close).atexit = False

    def _layout(self, stage: Stage[Any]) -> ipywidgets.VBox:
        for button in (self.run_button, self.cancel_button):
            button.layout.width = "6.5em"
        self.bar.layout = {"width": "14em", "margin": "2px 8px"}
        settings = [ipywidgets.HBox(self.form.widgets, layout=_ROW)] if self.form.widgets else []
        actions = ipywidgets.HBox([self.run_button, self.cancel_button, self.bar, self.label], layout=_ROW)
        parts = [self.head, *settings, actions, self.summary, self.error, self.notices, self.table, Keys()]
        if self.detail is not None:
            parts.insert(-1, self.detail.view)
        view = ipywidgets.VBox(parts)
        for widget, name in (
            (view, "ect-card"),
            (view, f"ect-{stage.attribute}"),
            (self.head, "ect-head"),
            (self.run_button, "ect-run"),
            (self.cancel_button, "ect-cancel"),
            (self.label, "ect-label"),
            (self.summary, "ect-summary"),
            (self.error, "ect-error"),
            (self.notices, "ect-notices"),
        ):
            widget.add_class(name)
        return view

    # --- what the buttons do -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the stage with the form's settings, in a thread."""
        self._launch(self._asked_to_run)

    def _asked_to_run(self) -> Act:
        arguments, settings = self.form.for_run()
        return lambda stage: stage.run(*arguments, **settings)

    def _launch(self, ask: Callable[[], Act]) -> None:
        """Do in a thread what `ask` gives; it is called at once, so that what the fields say later is not meant."""
        stage = self._stage()
        try:
            if stage is None:
                raise StageError(_GONE)
            act = ask()
        except Exception as error:
            self._show_error(error)
            return
        self._disable()  # until the stage's own event says the same
        self._worker = threading.Thread(
            target=self._work, args=(stage, act), name=f"ect-{stage.attribute}", daemon=True
        )
        self._worker.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run that the card started has ended."""
        if self._worker is not None:
            self._worker.join(timeout)

    def cancel(self) -> None:
        """Ask the running stage to stop; nothing where it ended meanwhile."""
        stage = self._stage()
        if stage is not None and stage.state is StageState.RUNNING:
            self._stopping = self.cancel_button.disabled = True
            stage.cancel()
            self.label.value = "stopping at the next step…"

    def _disable(self) -> None:
        self.run_button.disabled = True

    def _work(self, stage: Stage[Any], act: Act) -> None:
        failed: Exception | None = None
        with hearing() as heard:  # nobody reads what the server prints
            try:
                act(stage)
            except Exception as error:
                failed = error
        if failed is not None:
            self._try(lambda: self._refresh(stage))  # an error from before the run began brought no event
            self._show_error(failed)
        self._show_notices(dict.fromkeys([*stage.notices, *map(str, heard)]))

    def _try(self, show: Callable[[], None]) -> None:
        """Show something, one thing at a time; what fails is shown too, for who looks at the page has no other place.

        Runs begin and end in threads of their own: the last of two that meet here reads the newest state.
        """
        try:
            with self._showing:
                show()
        except Exception as error:
            logging.getLogger(__name__).error("a card could not show its stage", exc_info=error)
            self._show_error(error)

    # --- what the stage's events do ------------------------------------------------------------------------------

    def _follow(self, event: StageEvent) -> None:
        if event.kind == "progress":
            self._report(event)
        else:
            self._try(lambda: self._refresh(event.stage))

    def _follow_other(self, event: StageEvent) -> None:
        stage = self._stage()
        if event.kind == "state" and stage is not None:
            self._try(lambda: self._refresh_beside(stage))

    def _refresh_beside(self, stage: Stage[Any]) -> None:
        """What another stage's run can change."""
        self._refresh_head(stage)
        self.form.offer(stage)

    def _report(self, event: StageEvent) -> None:
        if not event.total:  # a library loads
            self.label.value = escape(event.label)
            return
        now, last = time.monotonic(), event.done >= event.total
        if now - self._reported < INTERVAL and not last:
            return
        self._reported = now
        self.bar.max, self.bar.value = max(event.total, 1), event.done
        if not self._stopping:
            ending = " · finishing…" if last else ""
            self.label.value = f"{event.done}/{event.total} {escape(event.label)}{ending}"

    def _refresh(self, stage: Stage[Any]) -> None:
        running = stage.state is StageState.RUNNING
        try:
            if not running:  # its table may take seconds: a card that says "done" beside the old result would lie
                self._refresh_result(stage)
        finally:
            self._refresh_state(stage, running)

    def _refresh_state(self, stage: Stage[Any], running: bool) -> None:
        by_cell = stage.in_main_thread  # its kernel reads no message from the page: only an interrupt reaches it
        self.run_button.disabled, self.cancel_button.disabled = running, not running or by_cell
        self.cancel_button.tooltip = _INTERRUPT if running and by_cell else f"Stop {stage.title} at its next step"
        self._stopping = False
        self._refresh_head(stage)
        self.bar.value, self.label.value = 0, "starting…" if running else ""
        for widget in (self.bar, self.label):
            widget.layout.visibility = "visible" if running else "hidden"
        self._show_error(stage.error or self._unshown)
        self._show_notices(stage.notices)

    def _refresh_head(self, stage: Stage[Any]) -> None:
        took = f" · {stage.seconds:.1f} s" if stage.ready and stage.state in (StageState.DONE, StageState.STALE) else ""
        name = stage.state.name.lower()
        self.head.value = (
            f"<b>{stage.number} · {escape(stage.title)}</b> "
            f'<span class="ect-state ect-state-{name}" role="status">{ICONS[stage.state]} {stage.state}</span>{took}'
        )

    def _refresh_result(self, stage: Stage[Any]) -> None:
        self.form.offer(stage)
        if stage.generation != self._generation:
            self._generation = stage.generation
            asked = (stage.attribute, "run")
            last = next((step for step in reversed(stage.flow.log) if (step.stage, step.method) == asked), None)
            if last is not None:
                self.form.show(last.arguments, last.settings)
        if stage.revision != self._revision:
            self._revision = stage.revision
            self._show_result(stage)
        of_before = self._summary and stage.error is not None
        self.summary.value = escape(f"last good run: {self._summary}" if of_before else self._summary)
        self.summary.layout.display = "" if self._summary else "none"

    def _show_result(self, stage: Stage[Any]) -> None:
        shown, self._summary, self._unshown = False, "", None
        if stage.ready:
            try:
                self._summary = stage.summary()
                self.table.show(stage.overview, f"{stage.title}: result")
                shown = bool(self.table.columns)
            except EctoolkitError as error:  # pandas is missing, for one
                self._unshown = error
        self.table.layout.display = "" if shown else "none"

    def _show_error(self, error: BaseException | None) -> None:
        self.error.value = error_html(error) + self._hint(error) if error is not None else ""
        self.error.layout.display = "" if self.error.value else "none"

    def _hint(self, error: BaseException) -> str:
        """The button that does what an error's call does."""
        stage = self._stage()
        named = _CALL.search(str(error)) if isinstance(error, StageError) else None
        stages = () if stage is None or named is None else stage.flow.stages
        return "".join(
            f'<div class="ect-hint">Here: press Run in card {one.number} ({escape(one.title)}).</div>'
            for one in stages
            if named is not None and one.attribute == named[1]
        )

    def _show_notices(self, notices: Iterable[str]) -> None:
        self.notices.value = notices_html(notices)
        self.notices.layout.display = "" if self.notices.value else "none"

    def close(self) -> None:
        """Free all that the card shows; what stays in the page says that the session is gone."""
        kept = (self.head, self.error)
        closed = [widget for widget in self.view.children if widget not in kept]
        self._show_error(StageError(_GONE))
        self.view.children = kept
        for widget in closed:
            close_all(widget)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._stage()!r})"
