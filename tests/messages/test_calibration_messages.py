"""The full text of what is said about images, weights and modules that no calibration can mend."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from messages import message_of
from PIL import Image
from torch import nn

import ectoolkit as ect
from ectoolkit.errors import (
    DeployFormatError,
    GraphError,
    InputError,
    PrecisionWarning,
    QuantizationError,
)
from ectoolkit.quantization.calibrated import Calibrated, calibrate
from ectoolkit.workflow.image_check import warn_of_odd_images

IMAGES = np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype(np.float32)
PREPROCESS = ect.Preprocess(resize=8, crop=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CURE = (
    "Give photos without preprocessing (ect.image_folder(folder) gets the model's own), or preprocess them with "
    "model.preprocess"
)


def warning_of(call: Callable[[], object]) -> str:
    with pytest.warns(PrecisionWarning) as caught:
        call()
    assert len(caught) == 1
    return str(caught[0].message)


def conv() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


@pytest.mark.parametrize(("kind", "index"), [("weight", 0), ("bias", 0)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(kind: str, index: int, value: float) -> None:
    net = conv()
    with torch.no_grad():
        getattr(net[0], kind).view(-1)[index] = value
    size = {"weight": 108, "bias": 4}[kind]
    assert message_of(lambda: calibrate(net, IMAGES), QuantizationError) == (
        f"layer 0: 1 of {size} numbers of its {kind} are NaN or infinite. Look at the checkpoint: the model gives no "
        "results in float either"
    )


@pytest.mark.parametrize(("value", "named"), [(np.nan, "NaN"), (np.inf, "an infinity")])
def test_images_that_are_no_numbers(value: float, named: str) -> None:
    bad = IMAGES[2].copy()
    bad[0, 0, 0] = value
    assert message_of(lambda: calibrate(conv(), [IMAGES[0], IMAGES[1], bad]), InputError) == (
        f"calibration item 2 holds {named}; check the preprocessing"
    )
    batch = np.stack([IMAGES[0], bad, IMAGES[1], bad])
    assert message_of(lambda: calibrate(conv(), [IMAGES, batch]), InputError) == (
        f"calibration item 1 holds {named} in image 1 of its 4; check the preprocessing"
    )


def test_activations_that_are_no_numbers() -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sqrt(x + 100)

    images = np.stack([IMAGES[0], IMAGES[1], np.full((3, 8, 8), -200, np.float32)])
    assert message_of(lambda: calibrate(Root(), images), QuantizationError) == (
        "layer sqrt gives nan to nan for calibration image 2; expected finite numbers. Look at this image and at the "
        "weights of the layers up to this one"
    )


def test_channels_without_weights() -> None:
    net = conv()
    with torch.no_grad():
        net[0].weight[1:3] = 0
    assert warning_of(lambda: calibrate(net, IMAGES)) == (
        "Sequential: output channels without any weight in 0 (2 of 4): they give their bias whatever the image. A "
        "pruned model is like that; else look at the checkpoint"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        graph = calibrate(net, IMAGES).quantize().graph
    found = ect.interpret(graph, IMAGES)[0][:, 1:3]
    with torch.no_grad():
        np.testing.assert_allclose(found, net(torch.from_numpy(IMAGES)).numpy()[:, 1:3], atol=0.02)


def test_a_single_image() -> None:
    assert warning_of(lambda: calibrate(conv(), IMAGES[:1])) == (
        "Sequential was calibrated with a single image, and its ranges fit that image: with EfficientNet-Lite0 that "
        "cost 3.4 dB at the outputs, and a third of the photos changed class. Give 32 or more that look like yours"
    )


def test_images_of_another_layout() -> None:
    assert message_of(lambda: calibrate(conv(), IMAGES.transpose(0, 2, 3, 1)), InputError) == (
        "Sequential does not run on inputs of shape [(1, 8, 8, 3)]: Given groups=1, weight of size [4, 3, 3, 3], "
        "expected input[1, 8, 8, 3] to have 3 channels, but got 8 channels instead. The channels seem to come last: "
        "give images.transpose(0, 3, 1, 2)"
    )


def test_images_of_two_sizes() -> None:
    assert message_of(lambda: calibrate(conv(), [IMAGES[0], IMAGES[1, :, :6]]), InputError) == (
        "Sequential was captured for images of shape (3, 8, 8), got (3, 6, 8); resize them"
    )


def photos() -> np.ndarray:
    """As the model's preprocessing gives them: the full range of pixels in every channel."""
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 3, 8, 8))
    pixels[:, :, 0, 0], pixels[:, :, 0, 1] = 0, 1
    return ((pixels - np.reshape(PREPROCESS.mean, (3, 1, 1))) / np.reshape(PREPROCESS.std, (3, 1, 1))).astype(
        np.float32
    )


def again(images: np.ndarray) -> np.ndarray:
    """Normalized once more."""
    return ((images - np.reshape(PREPROCESS.mean, (3, 1, 1))) / np.reshape(PREPROCESS.std, (3, 1, 1))).astype(
        np.float32
    )


def test_photos_as_expected_are_passed_over() -> None:
    warn_of_odd_images("net", PREPROCESS, photos())
    warn_of_odd_images("net", None, photos() * 100)
    warn_of_odd_images("net", None, [(IMAGES[0], IMAGES[1, 0, 0])])  # of several inputs
    warn_of_odd_images("net", None, [{"left": IMAGES}])


def test_raw_pixels_for_a_module_of_unknown_preprocessing() -> None:
    pixels = np.linspace(0, 255, 384, dtype=np.float32).reshape(2, 3, 8, 8)
    assert warning_of(lambda: ect.calibrate(conv(), pixels)) == (
        "Sequential: calibration images hold values from 0 to 255, which looks like raw pixels. Where the model was "
        "trained on normalized photos, give them normalized: ect.image_folder(folder, ect.Preprocess(resize=256, "
        "crop=224, mean=..., std=...)); else there is nothing to do"
    )


def test_photos_that_are_enlarged_many_times(tmp_path: Path) -> None:
    for name, size in (("a.png", (10, 8)), ("b.png", (80, 30)), ("c.png", (64, 70))):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))
        image.save(tmp_path / name)
    preprocess = ect.Preprocess(resize=256, crop=224, mean=PREPROCESS.mean, std=PREPROCESS.std)
    tiny = ect.image_folder(tmp_path, preprocess)
    assert warning_of(lambda: warn_of_odd_images("net", None, tiny)) == (
        "net: 2 of 3 photos had to be enlarged more than 4 times; a.png is 10×8 pixels. A blur has other ranges than a "
        "photo: give photos of 224×224 pixels or more"
    )
    warn_of_odd_images("net", None, tiny[2:])


def test_there_is_no_traced_file_of_a_captured_module() -> None:
    result = calibrate(conv(), IMAGES).quantize()
    assert message_of(lambda: result.traced, QuantizationError) == (
        "Sequential was captured by torch.export, which traces no TorchScript: `traced` is the U50 guide's file, made "
        "from a module with QuantStubs by door='eager'. Keep the integer graph with ect.save_graph(result.graph, "
        "'model.ectgraph'); or, for EdgeCortix's compiler, quantize with hardware='dna' and write "
        "ect.save_torchscript(result.graph, 'model.pt')"
    )


def test_a_module_in_train_mode_stays_there_and_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    net[1].eval()
    flow = ect.Flow(net, calibration=IMAGES)
    flow.model.run()
    flow.quantize.run()
    trained = ", in eval() mode though the module is in train mode"
    assert flow.model.summary().endswith(f"; quantized as torch.export captures it{trained}")
    assert flow.quantize.summary().endswith(f", 3 images, by torch.export{trained}")
    assert [part.training for part in net.modules()] == [True, True, False, True]
    found = ect.interpret(flow.quantize.graph, IMAGES)
    same = ect.interpret(ect.quantize(net.eval(), IMAGES), IMAGES)
    np.testing.assert_array_equal(found[0], same[0])
    assert flow.model.summary().endswith("; quantized as torch.export captures it")


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (
            again(photos()),
            "calibration images hold values from -11.4 to 9.93, which looks as if normalized twice; the model's "
            "preprocessing gives -2.12 to 2.64",
        ),
        (
            np.linspace(0, 255, 192, dtype=np.float32).reshape(1, 3, 8, 8),
            "calibration images hold values from 0 to 255, which looks like raw pixels; the model's preprocessing "
            "gives -2.12 to 2.64",
        ),
        (
            np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8),
            "calibration images hold values from 0 to 1, which looks like pixels scaled to 0..1 and not normalized; "
            "the model's preprocessing gives -2.12 to 2.64",
        ),
        (
            np.linspace(-4, 4, 192, dtype=np.float32).reshape(1, 3, 8, 8),
            "calibration images hold values from -4 to 4, which looks like no photo; the model's preprocessing gives "
            "-2.12 to 2.64",
        ),
        (
            photos()[:, :, :6],
            "calibration images are 6×8, and the model was trained on 8×8",
        ),
    ],
    ids=["twice", "raw", "scaled", "noise", "size"],
)
def test_images_of_another_range_or_size(images: np.ndarray, expected: str) -> None:
    assert warning_of(lambda: warn_of_odd_images("net", PREPROCESS, images)) == f"net: {expected}. {CURE}"


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("seen", file=sys.stderr)
        if x.sum() > 0:
            return x * 2
        return x


def test_control_flow_that_depends_on_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="data-dependent") as caught:
        torch.export.export(Branching(), (torch.from_numpy(IMAGES[:1]),))
    reason = str(caught.value).splitlines()[0]  # torch's own words
    assert "def forward(self, arg0_1" in capsys.readouterr().err  # and its graph so far
    line = inspect.getsourcelines(Branching.forward)[1] + 2
    assert message_of(lambda: calibrate(Branching(), IMAGES), GraphError) == (
        f"torch.export cannot capture Branching: {reason}, in test_calibration_messages.py, line {line}: "
        "if x.sum() > 0:. Its forward must be free of branches on tensor values: write torch.where or torch.clamp in "
        "place of the branch, or quantize the parts before and behind it as models of their own. "
        "torch.export.export(module, (example,)) shows the same error with torch's advice"
    )
    assert capsys.readouterr().err == "seen\nseen\n"  # once run, once captured


class Two(nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left + right


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            [IMAGES],
            "calibration item 0 is ndarray, expected the 2 inputs of the model: a tuple (left, right) or a dict with "
            "these keys, float32 arrays with the batch as first axis",
        ),
        (
            [{"left": IMAGES}],
            "calibration item 0 is keys ['left'], expected the 2 inputs of the model: a tuple (left, right) or a dict "
            "with these keys, float32 arrays with the batch as first axis",
        ),
        (
            [(IMAGES, IMAGES[:1])],
            "calibration item 0 has right as float32 (1, 3, 8, 8), expected float32 with the batch of left, 3, as "
            "first axis",
        ),
        (
            [(IMAGES, IMAGES * np.nan)],
            "calibration item 0, right, holds NaN in image 0 of its 3; check the preprocessing",
        ),
    ],
)
def test_items_for_a_model_with_two_inputs(items: Any, expected: str) -> None:
    assert message_of(lambda: calibrate(Two(), items), InputError) == expected


def test_statistics_of_another_network() -> None:
    first, second = calibrate(conv(), IMAGES), calibrate(nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), IMAGES)
    text = message_of(lambda: Calibrated(first.network, second.statistics), QuantizationError)
    assert text == (
        "the statistics are of another network than Sequential, or of other weights: they name "
        f"{second.network.sha256[:12]}, the network is {first.network.sha256[:12]}. Collect them again"
    )


def test_corrections_without_images() -> None:
    made = calibrate(conv(), IMAGES)
    alone = Calibrated(made.network, made.statistics)
    assert message_of(lambda: alone.quantize(ect.QuantConfig(corrections=("bias",))), QuantizationError) == (
        "bias looks at calibration images again, and there are only statistics; give the images too"
    )


def test_statistics_files(tmp_path: Any) -> None:
    path = tmp_path / "s.ectstats"
    assert message_of(lambda: ect.load_statistics(path), DeployFormatError) == (
        f"{path} is not there; expected a statistics file written by save_statistics"
    )
    path.write_bytes(b"PK nonsense")
    assert message_of(lambda: ect.load_statistics(path), DeployFormatError) == (
        f"{path} is not a statistics file or is damaged: File is not a zip file. Collect them again"
    )
    graph = calibrate(conv(), IMAGES).quantize().graph
    ect.save_graph(graph, path)
    assert message_of(lambda: ect.load_statistics(path), DeployFormatError).startswith(
        f"{path} is not a statistics file or is damaged: "
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"percentile": 40}, "percentile is 40, expected percent above 50 and up to 100, like 99.99"),
        (
            {"corrections": ("cle",)},
            "corrections holds 'cle', expected of 'equalization', 'expected_bias', 'bias' or 'adaround'",
        ),
        (
            {"corrections": ("bias", "adaround")},
            "corrections holds 'bias' and 'adaround', which undo each other; choose one of them",
        ),
        ({"hardware": "u50"}, "hardware is 'u50', expected '' or 'dna'"),
        ({"weight_bits": 1}, "weight_bits is 1, expected 8, 7, 6, 5, 4, 3 or 2"),
    ],
)
def test_settings(changes: dict[str, Any], expected: str) -> None:
    assert message_of(lambda: ect.QuantConfig(**changes), QuantizationError) == expected


def test_settings_of_a_layer() -> None:
    assert message_of(lambda: ect.QuantConfig().tuned("a", clip=(1, 2)), QuantizationError) == (
        "clip is (1, 2), expected (smallest, largest) around 0, in real units: zero padding and ReLU need a code for 0"
    )
    assert message_of(lambda: ect.QuantConfig().tuned("a", fuse=()), QuantizationError) == (
        "there is no setting 'fuse'; there are method, percentile, weights, weight_bits, activation_bits, symmetric, "
        "clip, keep_float"
    )
