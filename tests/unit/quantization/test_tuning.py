"""Tuning in a flow: instant, undone, redone, and written down as a script that makes the same graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.errors import Cancelled, QuantizationError, StageError
from ectoolkit.workflow import StageState

IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def flow() -> ect.Flow:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    return ect.Flow(net, calibration=IMAGES, name="tiny")


def test_undo_and_redo_give_the_very_same_graphs(flow: ect.Flow) -> None:
    flow.quantize.run(method="minmax")
    flow.interpret.run(IMAGES)
    first = flow.quantize.graph.sha256
    flow.quantize.tune("0", clip=(0, 1.0))
    second = flow.quantize.graph.sha256
    flow.quantize.tune(weights="per_tensor")
    third = flow.quantize.graph.sha256
    assert len({first, second, third}) == 3
    assert flow.quantize.log == ["0: clip=(0, 1.0)", "network: weights='per_tensor'"]
    assert flow.interpret.state == StageState.STALE
    assert flow.quantize.undo().graph.sha256 == second
    assert flow.quantize.undo().graph.sha256 == first
    assert flow.quantize.log == []
    assert flow.quantize.redo().graph.sha256 == second
    flow.quantize.tune("4", weight_bits=4)
    assert [state.result.graph.sha256 for state in flow.quantize.states][:2] == [first, second]
    with pytest.raises(QuantizationError) as error:
        flow.quantize.redo()
    assert str(error.value) == "there is nothing to redo; the last step was not undone"


def test_images_are_run_once(flow: ect.Flow) -> None:
    flow.quantize.run()
    calibrated = flow.quantize.calibrated
    flow.quantize.run(method="percentile")
    flow.quantize.tune("0", method="entropy")
    assert flow.quantize.calibrated is calibrated


def test_a_wrong_step_changes_nothing(flow: ect.Flow) -> None:
    flow.quantize.run()
    before = flow.quantize.graph.sha256
    with pytest.raises(QuantizationError) as error:
        flow.quantize.tune("conv", clip=(0, 1))
    assert str(error.value).startswith("tiny has no layer 'conv'; near names: ")
    with pytest.raises(QuantizationError):
        flow.quantize.tune("0", clip=(1, 2))
    with pytest.raises(QuantizationError):
        flow.quantize.undo()
    assert flow.quantize.graph.sha256 == before
    assert flow.quantize.log == []


def test_tuning_before_a_run(flow: ect.Flow) -> None:
    with pytest.raises(StageError) as error:
        flow.quantize.tune(method="minmax")
    assert str(error.value) == "Quantize has not run; call flow.quantize.run() first"


def test_a_cancelled_calibration_goes_on_and_can_be_saved(flow: ect.Flow, tmp_path: Path) -> None:
    def stop(done: int, total: int, label: str) -> None:
        if done == 2:
            flow.quantize.cancel()

    with pytest.raises(Cancelled):
        flow.quantize.run(progress=stop)
    path = flow.quantize.save_statistics(tmp_path / "half.ectstats")
    assert ect.load_statistics(path).images == 3
    flow.quantize.run()
    again = ect.Flow(flow.source, calibration=IMAGES, name="tiny")
    again.quantize.run(statistics=path)
    assert again.quantize.graph.sha256 == flow.quantize.graph.sha256


def test_settings_of_layers_given_as_a_dict_are_in_the_script(flow: ect.Flow) -> None:
    layers = {"0": ect.LayerConfig(weight_bits=7, clip=(0.0, 4.0)), "4": {"weight_bits": 6}}
    flow.quantize.run(method="minmax", layers=layers)
    lines = flow.to_script().splitlines()
    assert lines[-1] == (
        "flow.quantize.run(method='minmax', layers={'0': ect.LayerConfig(weight_bits=7, clip=(0.0, 4.0)), "
        "'4': {'weight_bits': 6}})"
    )
    missing = [line for line in lines if line.partition("  #")[0].endswith(" = ...")]
    assert missing == ["model = ...  # your Sequential", "calibration = ...  # your ndarray"]
    again = {"model": flow.source, "calibration": IMAGES}
    exec("\n".join(line for line in lines if line not in missing), again)
    found = again["flow"]
    assert isinstance(found, ect.Flow)
    assert found.quantize.graph.sha256 == flow.quantize.graph.sha256
    flow.quantize.run(method="minmax")
    assert found.quantize.graph.sha256 != flow.quantize.graph.sha256


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            8,
            "the settings of layer 0 are 8, expected a LayerConfig or a dict of its fields: method, percentile, "
            "weights, weight_bits, activation_bits, symmetric, clip, keep_float",
        ),
        (
            {"bits": 4},
            "there is no setting 'bits'; there are method, percentile, weights, weight_bits, activation_bits, "
            "symmetric, clip, keep_float",
        ),
    ],
)
def test_settings_of_layers_that_are_none(given: object, message: str) -> None:
    with pytest.raises(QuantizationError) as error:
        ect.QuantConfig(layers={"0": given})  # type: ignore[dict-item]
    assert str(error.value) == message


@pytest.mark.slow
def test_the_script_makes_the_same_graph_in_a_fresh_process(tmp_path: Path) -> None:
    model = ect.load_model("mobilenet_v2")
    flow = ect.Flow(model, calibration=ect.sample_photos(2))
    flow.quantize.run(method="percentile", door="export", layers={"features.1.conv.1": {"weights": "per_tensor"}})
    flow.quantize.tune("features.0.0", clip=(0.0, 3.0))
    flow.quantize.tune("classifier.1", weight_bits=6)
    flow.quantize.tune(percentile=99.9)
    flow.quantize.undo()
    script = tmp_path / "again.py"
    script.write_text(flow.to_script() + "print(flow.quantize.graph.sha256)\n")
    run = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == flow.quantize.graph.sha256
