"""Cards without a browser: their traits, their buttons, and what they say."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ipywidgets.widgets.widget import _instances

import ectoolkit as ect
from ectoolkit.errors import Cancelled, InputError, PrecisionWarning
from ectoolkit.widgets.cards import VIEW, card_bundle, card_of
from ectoolkit.workflow import Stage, StageEvent, StageState

Press = Callable[[Any], Any]


class Gate:
    """Calibration images that stop after the second until they are let through."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.reached, self.open = threading.Event(), threading.Event()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[np.ndarray]:
        for index, image in enumerate(self.images):
            if index == 2:
                self.reached.set()
                assert self.open.wait(30)
            yield image


def test_a_fresh_card_says_that_nothing_has_run(flow: ect.Flow) -> None:
    card = card_of(flow.quantize)
    assert "2 · Quantize" in card.head.value
    assert "○ not run" in card.head.value
    assert not card.run_button.disabled
    assert card.cancel_button.disabled
    assert card.bar.layout.visibility == "hidden"
    assert card.table.layout.display == card.error.layout.display == card.summary.layout.display == "none"


def test_the_button_gives_what_a_script_gets(make_flow: Callable[..., ect.Flow], press: Press) -> None:
    by_button, by_code = make_flow(), make_flow()
    card = card_of(by_button.quantize)
    card.form.fields["method"].value = "minmax"
    card.form.fields["weights"].value = "per_tensor"
    press(by_button.quantize)
    by_code.quantize.run(method="minmax", weights="per_tensor")
    assert by_button.quantize.graph.sha256 == by_code.quantize.graph.sha256
    assert "✓ done" in card.head.value
    assert card.summary.value == by_code.quantize.summary()
    assert card.table.columns == list(by_code.quantize.overview.columns)
    assert [row[0] for row in card.table.rows] == list(by_code.quantize.table["layer"])
    assert by_button.to_script().splitlines()[-1] == (
        "flow.quantize.run(method='minmax', weights='per_tensor', activation_bits=8, door='eager')"
    )


def test_all_six_buttons_lead_to_the_device(flow: ect.Flow, press: Press, tmp_path: Any, images: np.ndarray) -> None:
    card_of(flow.build).form.fields["out"].value = str(tmp_path / "deploy")
    for stage in flow.stages:
        card = press(stage)
        assert stage.state is StageState.DONE, card.error.value
        assert card.table.rows
    np.testing.assert_array_equal(flow.interpret.result.inputs, images[:4])
    assert flow.device.diff
    assert "cpu equals the interpreter in every element" in card.summary.value


def test_a_run_from_code_shows_in_the_card(flow: ect.Flow) -> None:
    card = card_of(flow.quantize)
    flow.quantize.run(activation_bits=7)
    assert "✓ done" in card.head.value
    assert card.form.fields["activation_bits"].value == 7
    assert len(card.table.rows) == len(flow.quantize.table)


def test_progress_and_cancel(make_flow: Callable[..., ect.Flow], images: np.ndarray) -> None:
    gate = Gate(images)
    flow = make_flow(gate)
    card = card_of(flow.quantize)
    card.run_button.click()
    assert gate.reached.wait(30)
    assert "◐ running" in card.head.value
    assert card.run_button.disabled
    assert not card.cancel_button.disabled
    assert card.bar.layout.visibility == "visible"
    assert card.bar.max == len(images)
    assert card.label.value.endswith("/6 image 1") or card.label.value.endswith("/6 image 2")
    card.cancel_button.click()
    assert card.cancel_button.disabled
    assert card.label.value == "stopping at the next step…"
    gate.open.set()
    card.wait(30)
    assert isinstance(flow.quantize.error, Cancelled)
    assert "■ cancelled" in card.head.value
    assert "Quantize was cancelled at step 3 of 6 (image 3); nothing was changed" in card.error.value
    assert "alert" not in card.error.value
    assert not card.run_button.disabled
    assert card.bar.layout.visibility == "hidden"


def test_what_is_chosen_while_a_run_ends_stays(make_flow: Callable[..., ect.Flow], images: np.ndarray) -> None:
    gate = Gate(images)
    flow = make_flow(gate)
    card = card_of(flow.quantize)
    method, bits = card.form.fields["method"], card.form.fields["activation_bits"]
    bits.value = 7

    def choose(event: StageEvent) -> None:  # as the run's last event is about to reach the card
        if event.kind == "state" and flow.quantize.generation == 1:
            method.value = "minmax"

    flow.quantize._listeners.insert(0, choose)
    card.run_button.click()
    assert gate.reached.wait(30)
    card.form.fields["weights"].value = "per_tensor"  # while it is at work
    gate.open.set()
    card.wait(30)
    config = flow.quantize.result.config
    assert (config.method, config.weights, config.activation_bits) == ("typical", "per_channel", 7)
    fields = {name: field.value for name, field in card.form.fields.items()}
    assert fields == {"method": "minmax", "weights": "per_tensor", "activation_bits": 7, "door": "auto"}
    flow.quantize._listeners.remove(choose)
    flow.quantize.run(weights="per_channel")  # says of the bits that they are 8, and nothing new of the others
    fields = {name: field.value for name, field in card.form.fields.items()}
    assert fields == {"method": "minmax", "weights": "per_tensor", "activation_bits": 8, "door": "auto"}


def test_a_second_press_does_nothing(make_flow: Callable[..., ect.Flow], images: np.ndarray) -> None:
    gate = Gate(images)
    flow = make_flow(gate)
    card, events = card_of(flow.quantize), []
    flow.quantize.observe(lambda event: events.append(event) if event.kind == "state" else None)
    card.run_button.click()
    card.run_button.click()
    assert gate.reached.wait(30)
    card.run_button.click()
    assert card.error.value == ""
    card.cancel_button.click()
    card.cancel_button.click()
    gate.open.set()
    card.wait(30)
    assert len(events) == 2
    card.cancel()  # as a press that was on its way
    assert card.label.value == ""
    card.run_button.click()
    card.wait(30)
    assert flow.quantize.state is StageState.DONE


def test_warnings_of_a_run_are_in_the_card(make_flow: Callable[..., ect.Flow], images: np.ndarray) -> None:
    flow = make_flow(images[:1] * np.float32(1e-3))
    card = card_of(flow.quantize)
    card.form.fields["door"].value = "export"
    card.run_button.click()  # a warning that got out would be an error of this test
    card.wait(30)
    assert card.error.value == ""
    (notice,) = flow.quantize.notices
    assert notice.startswith("Tiny was calibrated with a single image")
    assert card.notices.value.startswith('<div role="status"')
    assert f"⚠ {escape(notice)}" in card.notices.value
    assert f"⚠ {escape(notice)}" in flow.quantize._repr_mimebundle_()["text/html"]
    flow.calibration = images
    with pytest.warns(PrecisionWarning) as warned:
        flow.quantize.run(door="export", method="percentile", percentile=60.0)
    assert flow.quantize.notices == tuple(str(one.message) for one in warned)
    assert card.notices.value.count("⚠") == len(warned)
    flow.quantize.run(door="export")
    assert (flow.quantize.notices, card.notices.value, card.notices.layout.display) == ((), "", "none")


def test_what_cannot_be_shown_is_told(
    flow: ect.Flow, press: Press, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ZeroDivisionError("no table today")

    monkeypatch.setattr(card_of(flow.quantize).table, "show", refuse)
    card = press(flow.quantize)
    assert "<b>ZeroDivisionError</b>: no table today" in card.error.value
    assert [record.message for record in caplog.records] == ["a card could not show its stage"]
    assert flow.quantize.state is StageState.DONE
    assert not card.run_button.disabled


def test_a_run_in_another_thread_can_be_cancelled(make_flow: Callable[..., ect.Flow], images: np.ndarray) -> None:
    gate = Gate(images)
    flow = make_flow(gate)
    other = threading.Thread(target=flow.quantize.run)
    other.start()
    assert gate.reached.wait(30)
    card = card_of(flow.quantize)  # made now, by the main thread
    assert not card.cancel_button.disabled
    assert not flow.quantize.in_main_thread
    gate.open.set()
    other.join(30)
    assert card.cancel_button.disabled


def test_a_library_that_loads_is_named(flow: ect.Flow) -> None:
    card = card_of(flow.quantize)
    heard = []
    card.label.observe(lambda change: heard.append(change["new"]), "value")
    flow.quantize._tell(StageEvent(flow.quantize, "progress", label="loading torch…"))
    assert heard == ["loading torch…"]


def test_a_run_by_a_cell_cannot_be_cancelled_by_the_button(flow: ect.Flow) -> None:
    card, seen = card_of(flow.quantize), []
    flow.quantize.run(progress=lambda *_: seen.append((card.cancel_button.disabled, card.cancel_button.tooltip)))
    assert set(seen) == {(True, "a cell runs this step; interrupt the kernel to stop it")}
    assert card.cancel_button.tooltip == "Stop Quantize at its next step"


def test_an_error_shows_and_is_cured(flow: ect.Flow, press: Press) -> None:
    card = press(flow.interpret)
    assert "✗ failed" in card.head.value
    assert 'role="alert"' in card.error.value
    assert "<b>StageError</b>: Quantize has not run; call flow.quantize.run() first" in card.error.value
    assert card.error.layout.display == ""
    assert not card.run_button.disabled
    press(flow.quantize)
    press(flow.interpret)
    assert "✓ done" in card.head.value
    assert card.error.value == ""
    assert card.error.layout.display == "none"


def test_the_last_good_table_stays_when_a_run_fails(flow: ect.Flow, press: Press, images: np.ndarray) -> None:
    card = press(flow.quantize)
    rows = card.table.rows
    flow.calibration = images.astype(np.float64)
    press(flow.quantize)
    assert "✗ failed" in card.head.value
    assert card.table.rows == rows
    assert card.summary.value.startswith("last good run: 4 layers")
    with pytest.raises(InputError, match="float64"):
        flow.quantize.run()
    assert "float64" in card.error.value


def test_an_error_is_text_and_not_markup(flow: ect.Flow, press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(progress: Any, **settings: Any) -> Any:
        raise InputError("<img src=x onerror=alert(1)>")

    monkeypatch.setattr(flow.quantize, "_run", fail)
    assert "&lt;img src=x" in press(flow.quantize).error.value


def test_pressing_run_while_code_runs_says_so(make_flow: Callable[..., ect.Flow], images: np.ndarray) -> None:
    gate = Gate(images)
    flow = make_flow(gate)
    card = card_of(flow.quantize)
    other = threading.Thread(target=flow.quantize.run)
    other.start()
    assert gate.reached.wait(30)
    card.start()
    card.wait(30)
    assert "Quantize is running already; wait for it, or call .cancel()" in card.error.value
    assert card.run_button.disabled
    gate.open.set()
    other.join(30)
    assert "✓ done" in card.head.value
    assert card.error.value == ""


def test_later_cards_become_stale(flow: ect.Flow, press: Press) -> None:
    press(flow.quantize)
    card, importer = press(flow.interpret), press(flow.importer)
    press(flow.quantize)
    assert "↻ stale" in card.head.value
    assert "↻ stale" in importer.head.value
    titles = card_of(flow).view.titles
    assert titles[1:4] == ("2 · Quantize   ✓ done", "3 · Reference   ↻ stale", "4 · Import into TVM   ↻ stale")
    press(flow.interpret)
    assert card_of(flow).view.titles[2] == "3 · Reference   ✓ done"


def test_showing_twice_is_one_card(flow: ect.Flow, kernel: None) -> None:
    first, second = card_bundle(flow.quantize), card_bundle(flow.quantize)
    assert first == second
    assert set(first) == {VIEW}
    assert first[VIEW]["model_id"] == card_of(flow.quantize).view.model_id
    assert card_of(flow).view.children[1] is card_of(flow.quantize).view
    made = len(_instances)
    for _ in range(3):  # a cell that runs again, and the same stage on another page
        card_bundle(flow), card_bundle(flow.quantize)
    assert len(_instances) == made


def test_the_bundle_has_text_html_and_card(flow: ect.Flow, kernel: None) -> None:
    bundle = flow.quantize._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", VIEW}


def test_without_a_kernel_or_a_stage_there_is_no_card(flow: ect.Flow) -> None:
    assert card_bundle(flow.quantize) == {}
    assert card_bundle("a text") == {}
    assert set(flow._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_a_stage_that_nobody_knows_has_a_card_without_settings(flow: ect.Flow, press: Press) -> None:
    class Counting(Stage[int]):
        number, title, attribute = 7, "Count", "count"

        def _run(self, progress: Any, *arguments: Any, **settings: Any) -> int:
            progress(1, 1, "all")
            return 3

        def _table(self, result: int) -> pd.DataFrame:
            return pd.DataFrame({"count": [result]})

    stage = Counting(flow)
    card = press(stage)
    assert card.form.fields == {}
    assert card.table.rows == [[3]]


def test_a_card_does_not_keep_its_session(make_flow: Callable[..., ect.Flow]) -> None:
    flow = make_flow()
    card, gone = card_of(flow.quantize), weakref.ref(flow)
    card_of(flow)
    del flow
    gc.collect()
    assert gone() is None
    card.run_button.click()
    assert "this session is gone; run the cell that makes it again" in card.error.value
    assert not card.run_button.disabled


def test_a_card_says_done_beside_the_new_result_alone(
    flow: ect.Flow, press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, heads = press(flow.quantize), []
    monkeypatch.setattr(flow.quantize, "summary", lambda: heads.append(card.head.value) or "the new result")
    card.summary.observe(lambda change: heads.append(card.head.value), "value")
    flow.quantize.run(method="minmax")
    assert (len(heads), card.summary.value) == (2, "the new result")
    assert all("◐ running" in head for head in heads)  # its table may take seconds
    assert "✓ done" in card.head.value


def test_an_error_names_the_button_that_does_what_its_call_does(flow: ect.Flow, press: Press) -> None:
    card = press(flow.interpret)
    assert "call flow.quantize.run() first" in card.error.value
    assert card.error.value.endswith('<div class="ect-hint">Here: press Run in card 2 (Quantize).</div>')
