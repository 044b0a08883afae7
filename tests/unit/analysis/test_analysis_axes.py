"""Layers whose first axis is not the images', and models calibrated with dicts, are measured as well."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ectoolkit as ect
from ectoolkit.analysis import layer_table, measure
from ectoolkit.errors import QuantizationError, StageError
from ectoolkit.quantization.calibrated import calibrate

IMAGES = np.random.default_rng(0).standard_normal((6, 4, 6, 6)).astype(np.float32)


class Moved(nn.Module):
    """The batch goes to the second axis and back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(4, 8, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x)).flatten(2).permute(2, 0, 1)
        x = torch.softmax(x, 2) * x
        return self.head(x.permute(1, 0, 2).mean(1))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(36, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x.flatten(2))


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.vector = nn.Conv2d(4, 5, 3), nn.Linear(2, 5)

    def forward(self, image: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        return (self.conv(image) * self.vector(vector)[:, :, None, None]).mean((2, 3))


def test_a_moved_batch_axis_is_measured_image_by_image() -> None:
    torch.manual_seed(0)
    model = calibrate(Moved().eval(), IMAGES).quantize()
    together, alone = measure(model, IMAGES), measure(model, IMAGES[1:2])
    assert together.images == 4
    assert together.output_sqnr_db > 15
    assert together.image_sqnr_db(1) == pytest.approx(alone.output_sqnr_db, abs=1e-3)
    graph = ect.quantize(Moved().eval(), IMAGES)
    assert graph.outputs


def test_a_flow_calibrated_with_dicts() -> None:
    torch.manual_seed(0)
    vectors = np.random.default_rng(1).standard_normal((6, 2)).astype(np.float32)
    items = [{"image": IMAGES[i : i + 1], "vector": vectors[i : i + 1]} for i in range(6)]
    flow = ect.Flow(Two().eval(), calibration=items, name="two")
    flow.quantize.run()
    flow.quantize.tune("conv", weight_bits=4)
    assert list(flow.quantize.compare().query("changed")["layer"]) == ["conv"]
    outputs = ect.interpret(flow.quantize.graph, [IMAGES, vectors])
    assert outputs[0].shape == (6, 5)


def test_images_that_are_dicts_have_a_table() -> None:
    torch.manual_seed(0)
    vectors = np.random.default_rng(1).standard_normal((6, 2)).astype(np.float32)
    items = [{"image": IMAGES[i : i + 1], "vector": vectors[i : i + 1]} for i in range(6)]
    flow = ect.Flow(Two().eval(), calibration=items, name="two")
    flow.quantize.run()
    table = flow.quantize.image_table()
    pairs = list(zip(IMAGES[:, None], vectors[:, None], strict=True))
    assert list(flow.quantize.image_table(pairs)["sqnr_db"]) == list(table["sqnr_db"])
    expected = flow.quantize.result.float_outputs([IMAGES, vectors])[0]
    assert list(table["float_top1"]) == list(expected.argmax(axis=1))
    assert flow.quantize.measure(items[:2]).images == 2


class Between(nn.Module):
    """A layer without an integer form between two that have one, and another at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(self.norm(self.first(x))), 1)


@pytest.mark.parametrize("config", [ect.QuantConfig(), ect.QuantConfig().tuned("last", keep_float=True)], ids=str)
def test_simulation_rounds_what_the_graph_rounds_and_nothing_else(config: ect.QuantConfig) -> None:
    torch.manual_seed(0)
    model = calibrate(Between().eval(), IMAGES).quantize(config)
    measurement = measure(model, IMAGES)
    assert model.network.outputs[0] in model.in_float
    found = ect.interpret(model.graph, IMAGES[:4])[0].reshape(measurement.simulated_scores.shape)
    far = np.abs(found - measurement.simulated_scores)
    assert np.quantile(far, 0.99) < 1e-6  # ties round otherwise here and there
    table = layer_table(model, measurement).set_index("layer")
    assert np.isinf(table["isolated_sqnr_db"][model.network.outputs[0]])
    assert np.isnan(table["saturated_low"][model.network.outputs[0]])


def test_one_state_has_nothing_to_compare_with() -> None:
    flow = ect.Flow(Tokens().eval(), calibration=IMAGES, name="tokens")
    flow.quantize.run()
    with pytest.raises(StageError) as error:
        flow.quantize.compare()
    assert str(error.value) == "there is only one state; change something with flow.quantize.tune(...) first"


def test_corrections_of_channels_along_the_last_axis_are_refused() -> None:
    prepared = calibrate(Tokens().eval(), IMAGES)
    with pytest.raises(QuantizationError) as error:
        prepared.quantize(ect.QuantConfig(corrections=("bias",)))
    assert str(error.value) == (
        "bias is not defined for layer mix, which has its channels along the last axis; quantize Tokens without "
        "corrections='bias'"
    )


def test_biases_of_channels_along_the_last_axis_are_not_expected() -> None:
    prepared = calibrate(Tokens().eval(), IMAGES)
    plain, default = (prepared.quantize(ect.QuantConfig(corrections=given)).scheme for given in ((), None))
    assert default["mix"] is plain["mix"]  # statistics know other channels


def test_statistics_given_to_go_on_from_stay_as_they_are() -> None:
    first = calibrate(Tokens().eval(), IMAGES[:2])
    before = first.statistics.tensors["mix"].count
    torch.manual_seed(0)
    module = Tokens().eval()
    begun = calibrate(module, IMAGES[:2]).statistics
    counts = {name: tensor.count for name, tensor in begun.tensors.items()}
    both = [calibrate(module, IMAGES, statistics=begun).statistics for _ in range(2)]
    assert {name: tensor.count for name, tensor in begun.tensors.items()} == counts
    assert both[0].tensors["mix"].count == both[1].tensors["mix"].count == 3 * before


def test_a_layer_that_keeps_a_grid_has_no_settings() -> None:
    prepared = calibrate(nn.Sequential(nn.Conv2d(4, 4, 3), nn.MaxPool2d(2)).eval(), IMAGES)
    with pytest.raises(QuantizationError) as error:
        prepared.quantize(ect.QuantConfig().tuned("1", clip=(0, 1)))
    assert str(error.value) == (
        "layer 1 only moves or selects what 0 gives and keeps its grid, so it has no settings of its own; change 0"
    )
