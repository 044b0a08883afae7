"""The device stage as a panel: devices with their health, what can be asked of one, and the answers."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets

from ectoolkit.errors import EctoolkitError, StageError
from ectoolkit.widgets.closing import close_all
from ectoolkit.widgets.device_answers import Answers
from ectoolkit.widgets.forms import DeviceForm
from ectoolkit.widgets.pressing import when_pressed
from ectoolkit.widgets.refresh import Refresher
from ectoolkit.widgets.selection import selection_of
from ectoolkit.widgets.stage_card import _ROW, Act, StageCard
from ectoolkit.workflow import DevicePanel, Stage

#: settings that the other questions do not take
_OF_RUN_ONLY = ("runs",)


class DeviceCard(StageCard):
    """Each button calls one public method of `ectoolkit.workflow.DevicePanel`; the answers stay until they are renewed.

    Attributes:
        buttons: by the method they call: ``preflight``, ``benchmark``, ``judge``, ``localize``, ``error_map``,
            ``save_report``.
        answers: what is shown of `DevicePanel.found`.
        chain: device that the verdict goes through first; empty for none.
        depths: requests in flight of a benchmark.
        report: name of the certificate's file.
        refresher: reads the devices' health while the panel is on a screen.
    """

    form: DeviceForm

    def __init__(self, stage: DevicePanel) -> None:
        selection = selection_of(stage.flow)
        self.answers = Answers(selection)
        self.buttons: dict[str, ipywidgets.Button] = {}
        self.chain = ipywidgets.Dropdown(
            options=[("the device alone", ""), ("cpu, then the device", "cpu")],
            description="verdict for",
            style={"description_width": "initial"},
            layout={"width": "max-content"},
        )
        self.depths = ipywidgets.Dropdown(
            options=[("1", (1,)), ("1 and 2", (1, 2)), ("1, 2 and 4", (1, 2, 4))],
            description="requests in flight",
            style={"description_width": "initial"},
            layout={"width": "max-content"},
        )
        self.report = ipywidgets.Text("verdict.html", description="report", layout={"width": "18em"})
        self.written = ipywidgets.HTML()
        super().__init__(stage, selection)
        self.refresher = Refresher(self._read_health)
        self.form.list.on_seen = self.refresher.seen

    def _layout(self, stage: Stage[Any]) -> ipywidgets.VBox:
        view = super()._layout(stage)
        self.run_button.description, self.run_button.layout.width = "Run and compare", "13em"
        head, fields_row, actions, *rest = view.children
        names = {
            "preflight": ("Preflight", "check", "Look for what would go wrong; nothing is run"),
            "benchmark": ("Benchmark", "clock-o", "Time each run, and read the sensors meanwhile"),
            "judge": ("Verdict", "list-ol", "Compare float, int8, interpreter and device, link by link"),
            "localize": ("Find the layer", "search", "The first layer and element that differ"),
        }
        for name, (label, icon, tooltip) in names.items():
            self._button(name, label, icon, tooltip)
        *fields, kept = (widget for widget in self.form.widgets if widget is not self.form.list)
        settings = ipywidgets.HBox([*fields, self.depths, self.chain, kept], layout=_ROW)
        run, cancel, bar, label = actions.children
        asked = (self.buttons[name] for name in names)
        buttons = ipywidgets.HBox([run, *asked, cancel, bar, label], layout=_ROW)
        mapping = self._button("error_map", "Map", "map", "Where the layer differs, over images and positions")
        saving = self._button("save_report", "Save report", "save", "Write the last verdict as a certificate")
        export = ipywidgets.HBox([self.report, saving, self.written], layout=_ROW)
        view.children = (
            head, self.form.list, settings, buttons, *rest, *self.answers.widgets(mapping), export,
        )  # fmt: skip
        for unused in (fields_row, actions):  # what was in them stands elsewhere now
            unused.children = ()
            close_all(unused)
        return view

    def _button(self, name: str, label: str, icon: str, tooltip: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=label, icon=icon, tooltip=tooltip, layout={"width": "10em"})
        button.add_class(f"ect-{name}")
        when_pressed(button, lambda: self.ask(name))
        self.buttons[name] = button
        return button

    # --- what the buttons do -------------------------------------------------------------------------------------

    def ask(self, name: str) -> None:
        """Call a method of the stage with the form's settings, in a thread."""
        self._launch(getattr(self, f"_{name}"))

    def _settings(self) -> dict[str, Any]:
        return {key: value for key, value in self.form.call()[1].items() if key not in _OF_RUN_ONLY}

    def _preflight(self) -> Act:
        settings = self._settings()
        return lambda stage: stage.preflight(**settings)

    def _localize(self) -> Act:
        settings = self._settings()
        return lambda stage: stage.localize(**settings)

    def _benchmark(self) -> Act:
        settings = {"depths": self.depths.value, **self.form.call()[1]}
        settings.pop("images", None)
        return lambda stage: stage.benchmark(**settings)

    def _judge(self) -> Act:
        settings = self._settings()
        device = settings.pop("device")
        through = self.chain.value if self.chain.value != device else ""
        return lambda stage: stage.judge([through, device] if through else device, **settings)

    def _error_map(self) -> Act:
        settings = self._settings()
        device = settings.pop("device")
        layer, against = self.answers.layer.value, self.answers.against.value
        if not layer:
            raise StageError("choose the layer to map; there are some after flow.interpret.run()")
        if against == "float":
            return lambda stage: stage.error_map(layer, images=settings.get("images"))
        return lambda stage: stage.error_map(layer, device, **settings)

    def _save_report(self) -> Act:
        self.written.value, name = "", self.report.value.strip()

        def save(stage: DevicePanel) -> None:
            self.written.value = f"written: {escape(str(stage.save_report(name)))}"
            self._refresh(stage)

        return save

    # --- what the stage's events do ------------------------------------------------------------------------------

    def _refresh(self, stage: Stage[Any]) -> None:
        super()._refresh(stage)
        for button in self.buttons.values():
            button.disabled = self.run_button.disabled

    def _disable(self) -> None:
        super()._disable()
        for button in self.buttons.values():
            button.disabled = True

    def _refresh_beside(self, stage: Stage[Any]) -> None:
        super()._refresh_beside(stage)
        self._show_answers(stage)

    def _show_answers(self, stage: Stage[Any]) -> None:
        assert isinstance(stage, DevicePanel)
        try:
            self.answers.offer(stage)
            self.answers.show(stage)
        except EctoolkitError as error:  # pandas is missing, for one
            self._show_error(error)

    def _refresh_result(self, stage: Stage[Any]) -> None:
        super()._refresh_result(stage)
        self._show_answers(stage)

    def _read_health(self) -> None:
        stage = self._stage()
        if isinstance(stage, DevicePanel):
            self._try(lambda: self.form.list.show(stage.health))

    def close(self) -> None:
        """Stop reading sensors too."""
        self.refresher.close()
        super().close()
