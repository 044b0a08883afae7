"""The device stage's questions, as a script asks them; what is wrong is said, and where it begins is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.analysis.verdict import Standing
from ectoolkit.core import trust as trust_module
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.errors import Cancelled, DeviceError, InputError, StageError, UntrustedError
from ectoolkit.testing.faults import draw
from ectoolkit.testing.faulty_device import FaultyDevice, planted
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.testing.virtual_u50 import VirtualBoard
from ectoolkit.testing.virtual_u50.faults import Fault as BoardFault
from ectoolkit.workflow.deployments import find_deployments

GRAPH = residual_graph()
IMAGES = next(iter(example_input(GRAPH, batch=3).values()))


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flow = ect.Flow(GRAPH)
    flow.interpret.run(IMAGES)
    return flow.build.run(tmp_path_factory.mktemp("panel") / "deploy").deployment.path


@pytest.fixture
def flow(deploy: Path) -> ect.Flow:
    flow = ect.Flow(GRAPH, class_names=["cat", "dog", "fish", "bird"])
    flow.interpret.run(IMAGES)
    flow.build._adopt(ect.load_deployment(deploy), (), {})
    return flow


def test_a_planted_fault_is_found_by_truncated_graphs(flow: ect.Flow) -> None:
    fault = next(one for seed in range(50) if (one := draw(GRAPH, "bias", seed, IMAGENET)).layer == "stem")
    with planted(fault) as device:
        verdict = flow.device.judge(["cpu", device])
        wrong = flow.device.error_map("stem", device)
        assert not flow.device.error_map("quant", device).differences.any()
    assert [rung.standing for rung in verdict.rungs] == [Standing.HOLDS, Standing.HOLDS, Standing.BROKEN]
    location = verdict.location
    assert location is not None
    assert location.layer == "stem"
    near = location.neighbourhood()
    assert near is not None
    assert near.difference[near.rows.index(location.index[2]), near.columns.index(location.index[3])] == (
        location.candidate - location.reference
    )
    assert wrong.differences[location.image, *location.index[1:]] == location.candidate - location.reference
    table = wrong.to_frame()
    assert int(table["mismatches"][list(location.images)].sum()) == location.mismatches
    assert table["max_abs"].max() == wrong.by_channel().max() == max(wrong.positions(image).max() for image in range(3))


def test_links_behind_the_broken_one_are_not_reached(flow: ect.Flow) -> None:
    fault = next(one for seed in range(50) if (one := draw(GRAPH, "bias", seed, IMAGENET)).layer == "stem")
    with planted(fault) as device:
        verdict = flow.device.judge([device, "interpreter"], localize=False)
    last = verdict.rungs[-1]
    assert (last.name, last.standing, last.result) == (
        "faulty → interpreter",
        Standing.NOT_REACHED,
        "the chain ended before",
    )
    assert "○ not reached" in verdict._repr_html_()


def test_the_virtual_board_runs_and_says_that_its_sensors_are_invented(flow: ect.Flow, virtual: VirtualBoard) -> None:
    assert flow.device.preflight("xrt:0")
    times = flow.device.benchmark("xrt:0", runs=5, warmup=1)
    assert len(times.latency.seconds) == 5
    assert {"power", "FPGA temperature"} <= set(times.sensors.values)
    assert len(times.sensors.values["power"]) == len(times.sensors.seconds) >= 2
    assert "invented" in times.notice
    html = flow.device._repr_mimebundle_()["text/html"]
    assert "invented" in html
    assert "power: median" in html
    mine = next(one for one in flow.device.health if one.info.name == "xrt:0")
    assert mine.state == "ready"
    assert any(reading.unit == "W" and reading.value is not None for reading in mine.readings)
    assert "invented" in mine.notice
    virtual.inject(BoardFault.WRONG_RESULT)
    verdict = flow.device.judge(["cpu", "xrt:0"], localize=False)
    assert verdict.broken is not None
    assert verdict.broken.name == "cpu → xrt:0"


def test_preflight_names_the_first_thing_that_is_wrong(flow: ect.Flow, deploy: Path, tmp_path: Path) -> None:
    good = flow.device.preflight("cpu")
    assert good
    assert repr(good) == "Preflight(cpu, ready)"
    copy = shutil.copytree(deploy, tmp_path / "copy")
    (copy / "deploy.params").write_bytes(b"short")
    bad = flow.device.preflight("cpu", deployment=copy)
    assert not bad
    assert repr(bad) == "Preflight(cpu, deployment is wrong)"
    assert list(bad.to_frame()["state"]) == ["✓ ok", "✓ ok", "✗ wrong", "○ not looked at"]
    assert "deploy.params" in bad.checks[2].detail
    unknown = flow.device.preflight("kpu")
    assert repr(unknown) == "Preflight(kpu, device is wrong)"
    assert unknown.checks[1].detail.endswith("Did you mean 'cpu'?")
    missing = flow.device.preflight("xrt:7")
    assert repr(missing) == "Preflight(xrt:7, device is wrong)"
    assert "there is no board 'xrt:7'" in missing.checks[1].detail


def test_a_directory_of_unknown_origin(
    flow: ect.Flow, deploy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before a run would refuse it, and no other one is taken in its place."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(trust_module, "_known", set())
    found = flow.device.preflight("cpu")
    assert repr(found) == "Preflight(cpu, deployment is wrong)"
    with pytest.raises(UntrustedError) as error:
        flow.device.run("cpu")
    assert found.checks[2].detail == str(error.value)
    assert found.checks[2].detail.startswith(f"{deploy} was not built here by this user (manifest ")
    assert flow.device.preflight("interpreter")  # runs no native code
    with pytest.raises(UntrustedError) as error:
        flow.device.judge(["cpu", "interpreter"], deployment=deploy)
    assert str(error.value) == found.checks[2].detail


def test_a_deployment_of_another_graph_is_refused(flow: ect.Flow, tmp_path: Path) -> None:
    wider = residual_graph(2)
    other = ect.build(wider, tmp_path / "other", reference_input=next(iter(example_input(wider).values())))
    with pytest.raises(StageError) as error:
        flow.device.run("cpu", deployment=other)
    assert str(error.value) == (
        f"other was built from the graph {wider.sha256[:12]}, and the reference ran {GRAPH.sha256[:12]}, so a "
        "difference would mean nothing. Build it again: flow.build.run()"
    )
    assert find_deployments(wider.sha256, [tmp_path]) == [(tmp_path / "other").resolve()]
    assert find_deployments(GRAPH.sha256, [tmp_path]) == []


def test_the_first_images_alone(flow: ect.Flow) -> None:
    flow.device.run("interpreter", 1, images=2)
    assert flow.device.diff
    assert flow.device.result.images == 2
    assert len(flow.device.predictions) == 2
    top = flow.device.top(2)
    assert list(top.columns) == ["image", "name", "by", "rank", "class", "share", "score"]
    assert list(top["by"].unique()) == ["int8", "interpreter"]
    assert len(top) == 2 * 2 * 2
    scores = flow.interpret.outputs[0]
    assert top.iloc[0]["class"] == flow.class_names[int(scores[0].argmax())]
    shares = np.exp(scores[0].astype(np.float64)) / np.exp(scores[0].astype(np.float64)).sum()
    assert top.iloc[0]["share"] == pytest.approx(shares.max())
    with pytest.raises(InputError) as error:
        flow.device.run("interpreter", 1, images=4)
    assert str(error.value) == "images is 4, expected 1 to 3, as the reference has"
    with pytest.raises(InputError) as error:
        flow.device.top(0)
    assert str(error.value) == "count is 0, expected at least one class"


def test_how_many_images_can_be_asked_for() -> None:
    graph = residual_graph(batch=2)
    flow = ect.Flow(graph)
    assert flow.device.image_counts == []
    flow.interpret.run(next(iter(example_input(graph, batch=3).values())))
    assert flow.device.image_counts == [2, 4]
    assert [len(flow.interpret.result.first(count).names) for count in flow.device.image_counts] == [2, 4]


def test_layers_that_cannot_be_mapped(flow: ect.Flow) -> None:
    with pytest.raises(InputError) as error:
        flow.device.error_map("block", "cpu")
    assert str(error.value) == "block hands raw sums to add, so no graph can end there; look at add"
    assert "block" not in flow.device.mapped_layers
    with pytest.raises(StageError) as stage_error:
        flow.device.error_map("stem")
    assert str(stage_error.value) == (
        "the float model has no value for stem to compare with; it has none: the flow began with an integer graph"
    )
    assert flow.device.state == "failed"
    found = flow.device.error_map("stem", "interpreter")
    with pytest.raises(InputError) as error:
        found.positions(3)
    assert str(error.value) == "stem has no image 3; expected 0 to 2"


def test_a_report_tells_the_times_too(flow: ect.Flow, tmp_path: Path) -> None:
    with pytest.raises(StageError) as error:
        flow.device.save_report(tmp_path / "verdict.html")
    assert str(error.value) == "there is no verdict to write; call flow.device.judge() first"
    flow.device.judge("interpreter")
    flow.device.benchmark("interpreter", runs=2)
    page = flow.device.save_report(tmp_path / "verdict.html").read_text(encoding="utf-8")
    assert "interpreter: deploy times" in page
    assert "latency over 2 runs" in page


def test_a_report_tells_nothing_that_is_older_than_the_reference(flow: ect.Flow, tmp_path: Path) -> None:
    path = tmp_path / "verdict.html"
    flow.device.judge("interpreter")
    flow.device.benchmark("interpreter", runs=2)
    flow.interpret.run(IMAGES[:2])
    with pytest.raises(StageError) as error:
        flow.device.save_report(path)
    assert str(error.value) == (
        "the verdict is older than the reference or the build, so it tells of other images or codes; call "
        "flow.device.judge() again"
    )
    assert not path.exists()
    flow.device.judge("interpreter")
    assert "latency over" not in flow.device.save_report(path).read_text(encoding="utf-8")


def test_a_run_is_cancelled_between_its_images_and_its_timed_runs(flow: ect.Flow) -> None:
    told: list[tuple[int, int, str]] = []

    def at(label: str) -> Callable[[int, int, str], None]:
        def watch(*step: Any) -> None:
            told.append(step)
            if step[2] == label:
                flow.device.cancel()

        return watch

    flow.device.run("interpreter", 2, progress=at("nothing"))
    images = [(1 + number, 8, f"interpreter: run {number + 1}") for number in range(3)]
    timed = [(5, 8, "warm-up"), (6, 8, "warm-up"), (7, 8, "run"), (8, 8, "run")]
    assert told == [(0, 8, "load"), *images, *timed, (8, 8, "compare")]
    before = flow.device.result
    for label, text in (
        ("interpreter: run 1", "step 2 of 8 (interpreter: run 2)"),
        ("run", "step 8 of 8 (run)"),
    ):
        with pytest.raises(Cancelled) as error:
            flow.device.run("interpreter", 2, progress=at(label))
        assert str(error.value) == f"Device was cancelled at {text}; nothing was changed"
        assert flow.device.state == "cancelled"
    assert flow.device.result is before


def test_a_run_that_failed_says_nothing_of_the_last_good_one(flow: ect.Flow, deploy: Path) -> None:
    """A run of the flow's own build is stale once the build ran again, whatever was tried meanwhile."""
    flow.device.run("interpreter", 1)
    with planted(None) as device, pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultyDevice, "_load", lambda *_: (_ for _ in ()).throw(DeviceError("it does not load")))
        with pytest.raises(DeviceError, match=r"^it does not load$"):
            flow.device.run(device, 1, deployment=deploy)
    assert not flow.device.stale
    flow.build._adopt(ect.load_deployment(deploy), (), {})
    assert flow.device.stale
    flow.device.run("interpreter", 1, deployment=deploy)
    with pytest.raises(DeviceError, match=r"^runs=0"):
        flow.device.run("interpreter", 0)
    flow.build._adopt(ect.load_deployment(deploy), (), {})
    assert not flow.device.stale  # of a directory, whatever was built since


def test_questions_are_in_the_script(flow: ect.Flow, deploy: Path) -> None:
    flow.device.judge(["interpreter", "cpu"], deployment={"cpu": flow.build.deployment}, localize=False)
    flow.device.benchmark("interpreter", runs=2, warmup=0, depths=[1, 2])
    flow.device.error_map("stem", "interpreter", images=1)
    flow.device.judge("interpreter", deployment=deploy)
    assert flow.to_script().splitlines()[-3:] == [
        f"flow.device.judge('interpreter', deployment={str(deploy)!r})",
        "flow.device.benchmark('interpreter', runs=2, warmup=0, depths=(1, 2))",
        "flow.device.error_map('stem', 'interpreter', images=1)",
    ]


def test_a_failed_question_leaves_the_last_answer(flow: ect.Flow) -> None:
    verdict = flow.device.judge("interpreter")
    with pytest.raises(DeviceError, match="runs=0"):
        flow.device.benchmark("interpreter", runs=0)
    assert flow.device.found["judge"] is verdict
    assert not flow.device.outdated("judge")
    flow.interpret.run(IMAGES[:1])
    assert flow.device.outdated("judge")


def test_the_guides_flow_has_torchs_int8_in_its_chain(tmp_path: Path) -> None:
    class Stubbed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.dequant(self.conv(self.quant(x)))

    flow = ect.Flow(Stubbed().eval(), calibration=IMAGES)
    flow.quantize.run()
    flow.interpret.run(IMAGES)
    flow.build.run(tmp_path / "deploy")
    verdict = flow.device.judge("interpreter")
    assert [link.name for link in verdict.links] == ["float → int8", "int8 → interpreter", "interpreter → interpreter"]
    assert verdict
    found = flow.device.error_map("conv")
    assert (found.source, found.target, found.unit) == ("float", "interpreter", "steps of the grid")
    # rounding to the nearest of the output's codes, and what the input's codes and the weights' took before
    assert 0 < np.abs(found.differences).max() < 4
    assert flow.device.error_map("quant").differences.shape == IMAGES.shape
    with pytest.raises(StageError, match=r"^gives|known; predictions need a classifier"):
        flow.device.top()
