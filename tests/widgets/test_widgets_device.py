"""The device panel without a browser: its buttons, its answers, its thread."""

from __future__ import annotations

import gc
import json
import re
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter
from traitlets.config import Config

import ectoolkit as ect
from ectoolkit.analysis.verdict import InputProof, Member, Must, facts_of, judge
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.devices import DeviceHealth, DeviceInfo, Reading
from ectoolkit.errors import Cancelled, StageError
from ectoolkit.testing.faults import Fault, draw
from ectoolkit.testing.faulty_device import planted
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.widgets.cards import card_of
from ectoolkit.widgets.device_card import DeviceCard
from ectoolkit.widgets.parts.devices import DeviceList
from ectoolkit.widgets.parts.ladder import VerdictLadder
from ectoolkit.widgets.parts.strip import StripChart
from ectoolkit.widgets.refresh import Refresher

ROOT = Path(__file__).parents[2]
GRAPH = residual_graph()
NAMES = ["cat", "dog", "fish", "bird"]


def new_flow() -> ect.Flow:
    flow = ect.Flow(GRAPH, name="residual", class_names=NAMES)
    flow.interpret.run(next(iter(example_input(GRAPH, batch=4).values())))
    return flow


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flow = new_flow()
    return flow.build.run(tmp_path_factory.mktemp("device") / "deploy").deployment.path


@pytest.fixture
def panel(deploy: Path) -> DeviceCard:
    """The card of a flow that has a reference; the deployment is typed into its field."""
    flow = new_flow()
    card = card_of(flow.device)
    assert isinstance(card, DeviceCard)
    card.flow = flow  # type: ignore[attr-defined]  # a card does not keep its session
    card.form.fields["deployment"].value = str(deploy)
    return card


@pytest.fixture(scope="module")
def fault() -> Iterator[Fault]:
    """A wrong bit in the stem's weights, on a device of its own."""
    found = next(one for seed in range(50) if (one := draw(GRAPH, "weight bit", seed, IMAGENET)).layer == "stem")
    with planted(found, shows_layers=True):  # truncated graphs take seconds to build; other tests have them
        yield found


def ask(card: DeviceCard, name: str) -> Any:
    card.buttons[name].click()
    card.wait(60)
    assert card.error.value == ""
    return card.flow.device.found.get(name)  # type: ignore[attr-defined]


def test_a_planted_fault_is_on_the_ladder(panel: DeviceCard, fault: Fault) -> None:
    panel.form.list.value = "faulty"
    panel.chain.value = "cpu"
    ladder = panel.answers.ladder
    verdict = ask(panel, "judge")
    assert [(rung["name"], rung["standing"]) for rung in ladder.rungs] == [
        ("input", "holds"),
        ("interpreter → cpu", "holds"),
        ("cpu → faulty", "broken"),
    ]
    assert ladder.rungs[-1]["meaning"] == (
        "the device computes something else than the interpreter, or was given something else"
    )
    assert ladder.headline == "✗ broken at cpu → faulty"
    assert ladder.location["layer"] == fault.layer == "stem"
    location = verdict.location
    image, (_, channel, h, w) = location.image, location.index
    assert (ladder.location["image"], ladder.location["channel"]) == (image, channel)
    assert np.unravel_index(ladder.location["element"], GRAPH.values["stem"].spec.shape[1:]) == (channel, h, w)
    rows, columns = ladder.around["rows"], ladder.around["columns"]
    there = panel.flow.interpret.trace["stem"][image, channel][np.ix_(rows, columns)]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(ladder.around["reference"], there)
    middle = (rows.index(h), columns.index(w))
    assert ladder.around["candidate"][middle[0]][middle[1]] == location.candidate
    assert ladder.around["reference"][middle[0]][middle[1]] == location.reference
    assert panel.answers._boxes["judge"].layout.display == ""
    html = panel.flow.device._repr_mimebundle_()["text/html"]  # type: ignore[attr-defined]
    assert "✗ broken" in html
    assert "stem (conv2d) is the first layer that differs" in html


def test_a_link_that_is_far_is_a_warning_on_the_ladder() -> None:
    scores = np.array([[1, 3, 2]], np.float32)
    members = [Member("float", lambda: [scores]), Member("interpreter", lambda: [scores * 1.5], Must.CLOSE)]
    ladder = VerdictLadder(judge(members, InputProof(facts_of("images", ["x"], [scores])), 1))
    assert [rung["standing"] for rung in ladder.rungs] == ["holds", "far"]
    assert ladder.headline == "! Every link holds on 1 image, but float → interpreter is far"


def test_choosing_the_layer_moves_the_map(panel: DeviceCard, fault: Fault) -> None:
    panel.form.list.value = "faulty"
    ask(panel, "localize")
    where = panel.answers.where
    assert where.headline == "✗ faulty parts from the interpreter"
    where.layer = where.location["layer"]  # as the button does in the page
    where.image, where.channel = where.location["image"], where.location["channel"]
    assert panel.answers.layer.value == "stem"
    found = ask(panel, "error_map")
    assert (found.source, found.target, found.unit) == ("interpreter", "faulty", "codes")
    shown = panel.answers.map
    assert shown.channels.shape == [4, 6]
    np.testing.assert_array_equal(
        np.frombuffer(shown.channels.data, np.float32).reshape(4, 6), found.by_channel().astype(np.float32)
    )
    for image in (0, 3):
        panel.answers.map._selection.image = image
        np.testing.assert_array_equal(
            np.frombuffer(shown.positions.data, np.float32).reshape(6, 5),
            found.positions(image, where.location["channel"]).astype(np.float32),
        )
    panel.answers.layer.value = "fc"
    ask(panel, "error_map")
    assert shown.positions.shape == [0, 0]
    assert shown.positions.note == "this layer has one position"


def test_photos_and_times_are_drawn(panel: DeviceCard) -> None:
    panel.form.list.value = "interpreter"
    panel.form.fields["images"].value = 2
    panel.start()
    panel.wait(60)
    top = panel.flow.device.top()  # type: ignore[attr-defined]
    assert [photo["name"] for photo in panel.answers.photos.photos] == ["image 0", "image 1"]
    assert all(photo["picture"].startswith("data:image/jpeg") for photo in panel.answers.photos.photos)
    ways = panel.answers.photos.photos[0]["ways"]
    assert [way["by"] for way in ways] == ["int8", "interpreter"]
    assert ways[0]["best"][0] == [top.iloc[0]["class"], pytest.approx(top.iloc[0]["share"])]
    panel.form.fields["runs"].value = 7
    times = ask(panel, "benchmark")
    shown = np.frombuffer(panel.answers.latency.data, np.float32)
    np.testing.assert_array_equal(shown, np.float32(np.array(times.latency.seconds) * 1e3))
    assert panel.answers.latency.marks == [
        ["p50", times.latency.p50_s * 1e3],
        ["p95", times.latency.p95_s * 1e3],
        ["p99", times.latency.p99_s * 1e3],
    ]
    assert panel.answers.sensors[0].data == b""  # the interpreter has no sensor


def test_an_error_shows_and_the_buttons_come_back(deploy: Path) -> None:
    flow = ect.Flow(GRAPH, class_names=NAMES)
    card = card_of(flow.device)
    assert isinstance(card, DeviceCard)
    card.ask("judge")
    card.wait(60)
    assert "<b>StageError</b>: Reference has not run; call flow.interpret.run() first" in card.error.value
    assert not any(button.disabled for button in [*card.buttons.values(), card.run_button])
    card.ask("error_map")
    card.wait(60)
    assert "choose the layer to map; there are some after flow.interpret.run()" in card.error.value
    card.ask("save_report")
    card.wait(60)
    assert "there is no verdict to write; call flow.device.judge() first" in card.error.value


def test_cancel(panel: DeviceCard) -> None:
    panel.form.list.value = "interpreter"
    panel.form.fields["runs"].value = 10_000
    reached = threading.Event()
    panel.bar.observe(lambda _: reached.set(), "value")
    panel.buttons["benchmark"].click()
    assert reached.wait(30)
    assert all(button.disabled for button in panel.buttons.values())
    panel.cancel_button.click()
    panel.wait(30)
    stage = panel.flow.device  # type: ignore[attr-defined]
    assert isinstance(stage.error, Cancelled)
    assert "Device was cancelled at step " in panel.error.value
    assert "benchmark" not in stage.found
    assert not any(button.disabled for button in panel.buttons.values())


def test_old_answers_say_that_they_are_old(panel: DeviceCard) -> None:
    panel.form.list.value = "interpreter"
    ask(panel, "judge")
    assert panel.answers.ladder.note == ""
    panel.flow.interpret.run(next(iter(example_input(GRAPH, batch=2).values())))  # type: ignore[attr-defined]
    assert panel.answers.ladder.note == "older than the reference or the build: ask again"
    assert list(panel.form.fields["images"].options) == [("all of the reference", 0), ("1", 1)]


def test_the_card_has_one_selection(panel: DeviceCard) -> None:
    panel.answers.photos.image = 1
    assert (panel.selection.image, panel.answers.map.channels.image) == (1, 1)
    panel.table.layer = "stem"
    assert panel.answers.layer.value == "stem"


def test_an_error_of_another_stages_run_is_shown(panel: DeviceCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(stage: object) -> None:
        raise StageError("no pandas here")

    monkeypatch.setattr(panel.answers, "offer", refuse)
    panel.flow.interpret.run(next(iter(example_input(GRAPH, batch=2).values())))  # type: ignore[attr-defined]
    assert "<b>StageError</b>: no pandas here" in panel.error.value


def test_results_of_other_images_leave_the_photos(panel: DeviceCard) -> None:
    panel.form.list.value = "interpreter"
    panel.start()
    panel.wait(60)
    stage = panel.flow.device  # type: ignore[attr-defined]
    assert [way["by"] for way in panel.answers.photos.photos[0]["ways"]] == ["int8", "interpreter"]
    stage.flow.interpret.run(stage.flow.interpret.result.inputs[:2])
    assert [[way["by"] for way in photo["ways"]] for photo in panel.answers.photos.photos] == [["int8"], ["int8"]]
    assert panel.answers.photos.note == "the device's column comes with Run and compare"
    with pytest.raises(StageError) as error:
        _ = stage.predictions
    assert str(error.value) == (
        "the device's results are older than the reference or the build, so they are of other images or codes; call "
        "flow.device.run() again"
    )


def test_health_is_read_while_the_page_says_that_it_is_seen(panel: DeviceCard, fault: Fault) -> None:
    assert not panel.refresher.running
    panel.form.list._handle_custom_msg("seen", [])
    assert panel.refresher.running
    deadline = time.monotonic() + 20
    while not any(one["name"] == "faulty" for one in panel.form.list.devices):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    mine = next(one for one in panel.form.list.devices if one["name"] == "faulty")
    assert (mine["ready"], mine["readings"]) == (True, ["power 20 W"])
    assert mine["notice"] == "invented: this device is a program with a planted fault"
    panel.close()
    panel.refresher._thread.join(10)  # type: ignore[union-attr]
    assert not panel.refresher.running


class Reader:
    """Something that takes CPU time to read."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def read(self) -> None:
        start = time.thread_time()
        while time.thread_time() - start < 0.002:
            pass
        self.times.append(time.thread_time() - start)


def test_reading_ends_where_nobody_looks_and_takes_under_one_percent() -> None:
    reader = Reader()
    refresher = Refresher(reader.read, period_s=0.05, patience_s=1.5)
    start = time.monotonic()
    refresher.seen()
    refresher.seen()
    thread = refresher._thread
    assert thread is not None
    thread.join(20)
    assert not refresher.running
    assert 2 <= len(reader.times) <= 6
    assert sum(reader.times) / (time.monotonic() - start) < 0.01
    refresher.seen()
    assert refresher.running
    refresher.close()


def test_reading_ends_with_its_object() -> None:
    reader = Reader()
    refresher, gone = Refresher(reader.read, period_s=0.02, patience_s=60), weakref.ref(reader)
    refresher.seen()
    thread = refresher._thread
    assert thread is not None
    del reader
    gc.collect()
    thread.join(10)
    assert gone() is None
    assert not refresher.running


def test_a_device_that_is_not_ready_says_why() -> None:
    shown = DeviceList(value="xrt:0")
    info = DeviceInfo("xrt:0", "a board", False, "no driver is bound. Install it")
    shown.show(
        [DeviceHealth(info), DeviceHealth(DeviceInfo("b", "another", True), (Reading("power", None, "W", "x"),))]
    )
    assert shown.devices[0]["ready"] is False
    assert shown.devices[0]["reason"] == "no driver is bound. Install it"
    assert shown.devices[1]["readings"] == []
    assert repr(shown) == "DeviceList(2 devices, value='xrt:0')"


def test_a_strip_keeps_what_is_not_known() -> None:
    chart = StripChart()
    chart.show([1.5, None, 2.5], [0.0, 0.1, 0.2], title="power", unit="W", note="invented")
    np.testing.assert_array_equal(np.frombuffer(chart.data, np.float32), np.float32([1.5, np.nan, 2.5]))
    np.testing.assert_array_equal(np.frombuffer(chart.places, np.float32), np.float32([0.0, 0.1, 0.2]))
    assert repr(chart) == "StripChart('power', 3 values)"


def test_an_empty_ladder() -> None:
    assert repr(VerdictLadder()) == "VerdictLadder(0 rungs, empty)"
    with pytest.raises(TypeError, match="VerdictLadder has no colour"):
        VerdictLadder(colour="red")


def test_a_saved_notebook_keeps_the_answers(panel: DeviceCard, fault: Fault, kernel: None) -> None:
    """What nbconvert makes of the panel, offline, beside a widget that it cannot show."""
    panel.form.list.value = "faulty"
    for name in ("preflight", "judge", "benchmark", "error_map"):
        ask(panel, name)
    panel.start()
    panel.wait(60)
    bundle = panel.flow.device._repr_mimebundle_()  # type: ignore[attr-defined]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    output = nbformat.v4.new_output("display_data", bundle)
    cell = nbformat.v4.new_code_cell("flow.device", outputs=[output])
    config = Config(json.loads((ROOT / "notebooks" / "jupyter_nbconvert_config.json").read_text(encoding="utf-8")))
    page, _ = HTMLExporter(config=config).from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    for words in ("✗ broken", "stem (conv2d) is the first layer that differs", "candidate (expected)", "✓ ok"):
        assert words in page
    assert "power: median 20 W" in page
    assert page.count("data:image/jpeg;base64,") >= 4
    strips = re.findall(r'<figure style="margin:.3em 0"><img alt="(\w+): median [^"]*" [^>]*src="data:image/svg', page)
    assert strips == ["latency", "power"]
    assert "<svg" not in bundle["text/html"]  # which JupyterLab drops where it does not trust the notebook
    assert "invented: this device is a program with a planted fault" in page
