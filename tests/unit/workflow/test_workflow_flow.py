"""The session: stages follow each other, know when they are stale, fail without loss, and write themselves down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import ectoolkit as ect
from ectoolkit.errors import Cancelled, EctoolkitWarning, InputError, StageError
from ectoolkit.workflow import StageState
from ectoolkit.workflow.script import Step

IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def flow() -> ect.Flow:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    return ect.Flow(net, calibration=IMAGES, name="tiny", class_names=["cat", "dog"])


@pytest.fixture
def built(flow: ect.Flow, tmp_path: Path) -> ect.Flow:
    flow.quantize.run()
    flow.interpret.run(IMAGES)
    flow.build.run(tmp_path / "deploy")
    return flow


def test_all_stages_in_order(built: ect.Flow) -> None:
    built.model.run()
    built.importer.run()
    built.device.run("cpu", runs=2)
    assert built.device.diff
    assert built.device.verdict == "cpu equals the interpreter in every element"
    assert [stage.state for stage in built.stages] == [StageState.DONE] * 6
    assert list(built.device.predictions.columns) == ["image", "float", "int8", "cpu", "agree"]


def test_an_import_after_the_build_leaves_the_build_alone(built: ect.Flow) -> None:
    built.importer.run()
    assert not built.build.stale
    built.device.run("cpu", runs=1)


def test_quantizing_again_makes_what_follows_stale(built: ect.Flow) -> None:
    built.quantize.run(method="minmax")
    assert (built.interpret.state, built.build.state) == (StageState.STALE, StageState.STALE)
    with pytest.raises(StageError) as error:
        built.device.run("cpu")
    assert str(error.value) == (
        "Reference is older than what it was made from, so a difference would mean nothing; call "
        "flow.interpret.run() again first"
    )


def test_quantizing_again_during_a_build_makes_the_build_stale(flow: ect.Flow, tmp_path: Path) -> None:
    flow.quantize.run()
    flow.interpret.run(IMAGES)
    again = threading.Event()

    def meanwhile(done: int, total: int, label: str) -> None:
        if not again.is_set():
            again.set()
            thread = threading.Thread(target=flow.quantize.run)
            thread.start()
            thread.join()

    flow.build.run(tmp_path / "deploy", progress=meanwhile)
    assert flow.build.stale


def test_stages_out_of_order_say_what_is_missing(flow: ect.Flow) -> None:
    for stage, missing in ((flow.interpret, "quantize"), (flow.importer, "quantize"), (flow.build, "quantize")):
        with pytest.raises(StageError, match=rf"call flow\.{missing}\.run\(\) first"):
            stage.run()
    with pytest.raises(StageError, match=r"Quantize has not run; call flow\.quantize\.run\(\) first"):
        _ = flow.quantize.result


def test_a_failed_run_keeps_the_last_good_result(built: ect.Flow) -> None:
    graph = built.quantize.graph
    with pytest.raises(Exception, match="method is 'none'"):
        built.quantize.run(method="none")
    assert (built.quantize.state, built.quantize.graph) == (StageState.FAILED, graph)
    built.quantize.run()
    assert built.quantize.state is StageState.DONE


def test_cancel(flow: ect.Flow) -> None:
    with pytest.raises(Cancelled):
        flow.quantize.run(progress=lambda *step: flow.quantize.cancel())
    assert (flow.quantize.state, flow.quantize.ready) == (StageState.CANCELLED, False)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float64), "is float32, got float64"),
        (np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1)), "this looks like NHWC"),
    ],
)
def test_wrong_images_are_refused_before_anything_runs(flow: ect.Flow, images: np.ndarray, message: str) -> None:
    flow.quantize.run()
    with pytest.raises(InputError, match=message):
        flow.interpret.run(images)


def test_a_generator_of_images_is_not_used_up() -> None:
    def images() -> Iterator[np.ndarray]:
        yield from IMAGES

    net = nn.Conv2d(3, 2, 1).eval()
    assert ect.quantize(net, images()).sha256 == ect.quantize(net, IMAGES).sha256
    flow = ect.Flow(net, calibration=images())
    first = flow.quantize.run().graph.sha256
    assert flow.quantize.run().graph.sha256 == first
    assert flow.quantize.result.calibration_images == 4


def test_a_path_is_no_images() -> None:
    with pytest.raises(InputError, match=r"use ect\.image_folder\('photos/'\)"):
        ect.Flow(nn.Conv2d(3, 2, 1), calibration="photos/")


def test_a_listener_that_fails_does_not_fail_the_run(flow: ect.Flow) -> None:
    def broken(event: object) -> None:
        raise ValueError("no screen")

    stop = flow.quantize.observe(broken)
    with pytest.warns(EctoolkitWarning, match="a listener of Quantize failed"):
        flow.quantize.run()
    assert flow.quantize.state is StageState.DONE
    stop()


def test_a_graph_as_the_model(built: ect.Flow, tmp_path: Path) -> None:
    flow = ect.Flow(built.quantize.graph)
    flow.interpret.run(IMAGES)
    flow.build.run(tmp_path / "again")
    flow.device.run("interpreter", runs=1)
    assert flow.device.diff
    assert "all integer" in flow.quantize.summary()


def test_script_says_what_was_done(built: ect.Flow) -> None:
    text = built.to_script()
    assert text.splitlines()[:5] == [
        "import ectoolkit as ect",
        "",
        "model = ...  # your Sequential",
        "calibration = ...  # your ndarray",
        "flow = ect.Flow(model, calibration=calibration, name='tiny', class_names=['cat', 'dog'])",
    ]
    compile(text, "script", "exec")


def test_script_needs_no_numpy_and_no_names_of_its_own(flow: ect.Flow, tmp_path: Path) -> None:
    flow = ect.Flow(flow.source, calibration=IMAGES, name=np.str_("tiny"), class_names=[np.str_("cat"), "dog"])
    layers = {"0": ect.LayerConfig(percentile=np.float64(99.5), clip=(np.float32(-0.5), np.int64(4)))}
    config = ect.QuantConfig(method="percentile", percentile=np.float64(99.5), layers=layers)
    flow.quantize.run(config)
    settings = {"limit": np.float64("inf"), "low": -np.inf, "none": float("nan"), "flag": np.bool_(True)}
    files = [tmp_path / "a", (tmp_path / "b",)]
    flow.log.append(
        Step("device", (np.int64(3), (np.float64(1.5),)), settings | {"files": files, "array": [np.ones(2)]})
    )
    lines = flow.to_script().splitlines()
    assert lines[4:] == [
        "flow = ect.Flow(model, calibration=calibration, name='tiny', class_names=['cat', 'dog'])",
        "quantize_0 = ect.QuantConfig(method='percentile', percentile=99.5)",
        "quantize_0 = quantize_0.tuned('0', percentile=99.5, clip=(-0.5, 4.0))",
        "flow.quantize.run(quantize_0)",
        "device_array = ...  # your list",
        "flow.device.run(3, (1.5,), limit=float('inf'), low=float('-inf'), none=float('nan'), flag=True, "
        f"files=['{tmp_path}/a', ('{tmp_path}/b',)], array=device_array)",
    ]
    again: dict[str, object] = {"model": flow.source, "calibration": IMAGES}
    exec("\n".join(lines[:1] + lines[4:8]), again)
    found = again["flow"]
    assert isinstance(found, ect.Flow)
    assert found.quantize.graph.sha256 == flow.quantize.graph.sha256


def test_script_keeps_a_preprocessing_of_ones_own() -> None:
    preprocess = ect.Preprocess(64, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    flow = ect.Flow(nn.Conv2d(3, 2, 1), calibration=ect.sample_photos(3).with_preprocess(preprocess))
    made = "ect.Preprocess(resize=64, crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))"
    assert f"calibration = ect.sample_photos(3).with_preprocess({made})" in flow.to_script()
    again: dict[str, object] = {}
    exec("import ectoolkit as ect\n" + flow.to_script().splitlines()[3], again)
    assert again["calibration"].preprocess == preprocess  # type: ignore[attr-defined]


def test_displays_without_a_notebook(built: ect.Flow) -> None:
    bundle = built.quantize._repr_mimebundle_()
    assert "Quantize" in bundle["text/html"]
    assert repr(built).startswith("Flow('tiny', 3 of 6 stages run")


def test_results_are_one_line_each(built: ect.Flow) -> None:
    built.importer.run()
    results = [stage.result for stage in (built.interpret, built.importer)]
    assert [repr(result).partition("(")[0] for result in results] == ["Reference", "ImportedModule"]
    assert all(len(repr(result)) < 120 for result in results)
