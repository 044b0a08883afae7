"""The device stage as a panel: devices with their health, what can be asked of one, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from ectoolkit.errors import EctoolkitError, StageError
from ectoolkit.widgets.closing import close_all
from ectoolkit.widgets.device_answers import Answers
from ectoolkit.widgets.forms import DeviceForm
from ectoolkit.widgets.refresh import Refresher
from ectoolkit.widgets.selection import selection_of
from ectoolkit.widgets.stage_card import _ROW, StageCard
from ectoolkit.workflow import DevicePanel, Stage

#: settings that the other questions do not take
_OF_RUN_ONLY = ("runs",)
#: each button as the call that a script makes
ACTIONS = {
    "run": "flow.device.run(device, runs, deployment=deployment, images=images)",
    "preflight": "flow.device.preflight(device, deployment=deployment, images=images)",
    "benchmark": "flow.device.benchmark(device, runs=runs, depths=depths, deployment=deployment)",
    "judge": "flow.device.judge([chain, device], deployment=deployment, images=images)",
    "localize": "flow.device.localize(device, deployment=deployment, images=images)",
    "error_map": "flow.device.error_map(layer, device, deployment=deployment, images=images)",
    "save_report": "flow.device.save_report(report)",
}


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
        button.on_click(lambda _: self.ask(name))
        self.buttons[name] = button
        return button

    # --- what the buttons do -------------------------------------------------------------------------------------

    def ask(self, name: str) -> None:
        """Call a method of the stage with the form's settings, in a thread."""
        self._launch(getattr(self, f"_{name}"))

    def _settings(self) -> dict[str, Any]:
        return {key: value for key, value in self.form.call()[1].items() if key not in _OF_RUN_ONLY}

    def _preflight(self, stage: DevicePanel) -> None:
        stage.preflight(**self._settings())

    def _localize(self, stage: DevicePanel) -> None:
        stage.localize(**self._settings())

    def _benchmark(self, stage: DevicePanel) -> None:
        settings = self.form.call()[1]
        settings.pop("images", None)
        stage.benchmark(**settings, depths=self.depths.value)

    def _judge(self, stage: DevicePanel) -> None:
        settings = self._settings()
        device = settings.pop("device")
        through = self.chain.value if self.chain.value != device else ""
        stage.judge([through, device] if through else device, **settings)

    def _error_map(self, stage: DevicePanel) -> None:
        settings = self._settings()
        device = settings.pop("device")
        layer, against = self.answers.layer.value, self.answers.against.value
        if not layer:
            raise StageError("choose the layer to map; there are some after flow.interpret.run()")
        if against == "float":
            stage.error_map(layer, images=settings.get("images"))
        else:
            stage.error_map(layer, device, **settings)

    def _save_report(self, stage: DevicePanel) -> None:
        self.written.value = ""
        self.written.value = f"written: {escape(str(stage.save_report(self.report.value.strip())))}"
        self._refresh(stage)

    # --- what the stage's events do ------------------------------------------------------------------------------

    def _refresh(self, stage: Stage[Any]) -> None:
        super()._refresh(stage)
        for button in self.buttons.values():
            button.disabled = self.run_button.disabled

    def _launch(self, act: Callable[[Any], Any]) -> None:
        for button in self.buttons.values():
            button.disabled = True
        super()._launch(act)

    def _follow_other(self, event: Any) -> None:
        super()._follow_other(event)
        stage = self._stage()
        if event.kind == "state" and isinstance(stage, DevicePanel):
            self._offer(stage)

    def _offer(self, stage: DevicePanel) -> None:
        try:
            self.form.offer(stage)
            self.answers.offer(stage)
            self.answers.show(stage)
        except EctoolkitError as error:  # pandas is missing, for one
            self._show_error(error)

    def _refresh_result(self, stage: Stage[Any]) -> None:
        super()._refresh_result(stage)
        assert isinstance(stage, DevicePanel)
        self._offer(stage)

    def _read_health(self) -> None:
        stage = self._stage()
        if isinstance(stage, DevicePanel):
            self.form.list.show(stage.health)

    def close(self) -> None:
        """Stop reading sensors too."""
        self.refresher.close()
        super().close()
