"""The full text of what a session says of a door that was left, of others' statistics, of calls that mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao import quantization as tq

import ectoolkit as ect
from ectoolkit.errors import (
    BuildError,
    Cancelled,
    EctoolkitError,
    EctoolkitWarning,
    InputError,
    QuantizationError,
    StageError,
)
from ectoolkit.quantization.calibration import image_sha256

IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(tq.QuantStub(), nn.Conv2d(3, 4, 3), nn.ReLU(), tq.DeQuantStub()).eval()


def message_of(call: Callable[[], object], kind: type[EctoolkitError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_tuning_stays_on_the_guides_way_or_says_that_it_leaves_it() -> None:
    flow = ect.Flow(net(), calibration=IMAGES, name="tiny")
    flow.quantize.run()
    first = flow.quantize.graph.sha256
    assert flow.to_script().splitlines()[-1] == "flow.quantize.run(door='eager')"
    flow.quantize.tune(weights="per_tensor")
    assert (flow.quantize.door, flow.quantize.table.attrs["door"]) == ("eager", "eager")
    assert flow.quantize.summary() == "3 layers, all integer, 3,888 MAC, 4 images, as in the U50 guide"
    with pytest.warns(EctoolkitWarning) as caught:
        flow.quantize.tune("1", clip=(0, 2))
    assert [str(warning.message) for warning in caught] == [
        "tiny left the U50 guide's way, whose flow does not know (1: clip=(0, 2)): it went through torch.export "
        "(door='export'), so every scale is new, not only what the step changed, and there is no traced TorchScript "
        "file. flow.quantize.undo() goes back; to tune from a state that this step can be compared with, begin with "
        "flow.quantize.run(door='export')"
    ]
    assert caught[0].filename == __file__
    assert flow.quantize.notices == tuple(str(warning.message) for warning in caught)
    assert (flow.quantize.door, flow.quantize.table.attrs["door"]) == ("export", "export")
    assert flow.quantize.summary().endswith(", 4 images, by torch.export")
    assert flow.to_script().splitlines()[-1] == "flow.quantize.run(quantize_0, door='export')"
    flow.quantize.tune("1", clip=(0, 3))  # it left before
    for _ in range(3):
        flow.quantize.undo()
    assert (flow.quantize.door, flow.quantize.graph.sha256) == ("eager", first)


def test_statistics_that_are_not_the_flows_own_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    def run(flow: ect.Flow, statistics: object) -> Callable[[], object]:
        return lambda: flow.quantize.run(statistics=statistics)

    first, other = ect.calibrate(net(), IMAGES), ect.calibrate(net(1), IMAGES)
    path = ect.save_statistics(other.statistics, tmp_path / "other.ectstats")
    flow = ect.Flow(net(), calibration=IMAGES[:3], name="tiny")

    def stop(done: int, total: int, label: str) -> None:
        if done == 1:  # heard at the next step
            flow.quantize.cancel()

    with pytest.raises(Cancelled):
        flow.quantize.run(door="export", progress=stop)
    assert message_of(run(flow, path), QuantizationError) == (
        "the statistics are of another network than tiny, or of other weights: they name "
        f"{other.network.sha256[:12]}, the network is {first.network.sha256[:12]}. Collect them again"
    )
    do = (
        "Give the images that they were collected from, in the same order, or leave statistics out to collect them "
        "from these"
    )
    assert message_of(run(flow, first.statistics), QuantizationError) == (
        f"the statistics for tiny are of 4 images, and 3 are given. {do}"
    )
    turned = ect.calibrate(net(), IMAGES[[0, 2, 1]])
    assert message_of(run(flow, turned.statistics), QuantizationError) == (
        f"the statistics for tiny are of other images: their image 1 is {image_sha256(IMAGES[2:3])[:12]}, this one "
        f"{image_sha256(IMAGES[1:2])[:12]}. {do}"
    )
    assert message_of(run(flow, 5), StageError) == (
        "statistics is int, expected the path of a file that flow.quantize.save_statistics wrote, or what "
        "ect.load_statistics gives"
    )
    seen: list[int] = []
    flow.quantize.run(door="export", progress=lambda done, total, label: seen.append(done))
    assert seen[:1] == [3]  # the cancelled pass went on behind its two images
    before = flow.quantize.graph.sha256
    message_of(run(flow, path), QuantizationError)
    assert flow.quantize.graph.sha256 == before
    flow.quantize.tune("1", weight_bits=7)


def test_photos_of_another_preprocessing() -> None:
    photos, model = ect.sample_photos(2), nn.Conv2d(3, 2, 1).eval()
    small = ect.Preprocess(8, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    dark = ect.Preprocess(8, 8, (0.6, 0.6, 0.6), (0.5, 0.5, 0.5))
    known = ect.calibrate(model, photos.with_preprocess(small)).statistics
    text = message_of(lambda: ect.calibrate(model, photos.with_preprocess(dark), statistics=known), QuantizationError)
    assert f" They were preprocessed by {small}, these by {dark}. Give the images" in text


CLIP = "clip is {}, expected (smallest, largest) around 0, in real units: zero padding and ReLU need a code for 0"
FUSE = "fuse is {}, expected lists of module names, like [['conv', 'norm', 'relu']]"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"percentile": "99.9"}, "percentile is '99.9', expected percent above 50 and up to 100, like 99.99"),
        (
            {"corrections": 5},
            "corrections is 5, expected names of 'equalization', 'expected_bias', 'bias' or 'adaround'",
        ),
        (
            {"layers": ["0"]},
            "layers is ['0'], expected a dict of layers' names and their settings, like {'conv1': {'weight_bits': 7}}",
        ),
        ({"layers": {"0": {"clip": 5}}}, CLIP.format(5)),
        ({"layers": {"0": {"clip": ("a", 1)}}}, CLIP.format("('a', 1)")),
        ({"fuse": "abc"}, FUSE.format("'abc'")),
        ({"fuse": ["conv", "relu"]}, FUSE.format("['conv', 'relu']")),
        ({"fuse": 3}, FUSE.format(3)),
    ],
)
def test_settings_of_another_kind(settings: dict[str, object], text: str) -> None:
    assert message_of(lambda: ect.QuantConfig(**settings), QuantizationError) == text  # type: ignore[arg-type]


def test_calls_that_mean_nothing(tmp_path: Path) -> None:
    flow = ect.Flow(net(), calibration=IMAGES, name="tiny")
    config: object = {"method": "minmax"}
    assert message_of(lambda: flow.quantize.run(config), QuantizationError) == (  # type: ignore[arg-type]
        "config is {'method': 'minmax'}, expected an ect.QuantConfig. Single settings: "
        "flow.quantize.run(method='minmax')"
    )
    assert message_of(lambda: ect.quantize(net(), IMAGES, config), QuantizationError) == (  # type: ignore[arg-type]
        "config is {'method': 'minmax'}, expected an ect.QuantConfig. Single settings: "
        "ect.quantize(module, images, ect.QuantConfig(method='minmax'))"
    )
    flow.quantize.run(door="export")
    for layer, of_what in ((None, "network"), ("1", "layer 1")):
        assert message_of(lambda layer=layer: flow.quantize.tune(layer), QuantizationError) == (  # type: ignore[misc]
            f"no setting of the {of_what} was named to change; name one, like method='minmax'"
        )
    flow.quantize.tune(method="minmax")
    assert message_of(lambda: flow.quantize.compare(-3, 0), StageError) == (
        "there is no state -3: there are 2, counted from 0, or from -1 backwards"
    )
    assert message_of(lambda: flow.quantize.auto(15), StageError) == (  # type: ignore[arg-type]
        "budget is 15, expected for example ectoolkit.analysis.Budget(sqnr_db=15)"
    )
    assert message_of(lambda: ect.Flow(net(), IMAGES, class_names="abc"), InputError) == (
        "class_names is the text 'abc', expected a list of names, one for each class"
    )
    text = "the target 'cpu' does not take 'platform'; it takes reference_input, layout, host_arch, isa, imported, "
    flow.interpret.run(IMAGES[:1])
    out = tmp_path / "out"
    assert message_of(lambda: flow.build.run(out, platform="DNAF200L0003"), BuildError) == (
        f"{text}calibration_sha256, remember, progress"
    )
