"""``ectoolkit verdict``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ectoolkit as ect
from ectoolkit.cli.images import read_images
from ectoolkit.cli.verdict import require_built_from
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.devices.cpu import CpuDevice
from ectoolkit.devices.xrt.libraries import library_version
from ectoolkit.errors import InputError

Call = Callable[..., Any]


def test_every_link_holds(call: Call, deployment: Path, tmp_path: Path) -> None:
    report = tmp_path / "verdict.json"
    result = call("verdict", deployment, "--device", "cpu", "--device", "interpreter", "--report", report)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "input: ✓ the same numbers at every stage",
        "✓ interpreter → cpu: must be equal; 4096 elements equal",
        "✓ cpu → interpreter: must be equal; 4096 elements equal",
        "Every link holds on 1 image",
    ]
    facts = json.loads(report.read_text(encoding="utf-8"))["facts"]
    assert {"graph sha256", "cpu: manifest sha256", "interpreter: tools"} <= set(facts)


def test_a_broken_device_is_located_by_truncated_builds(
    call: Call, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = CpuDevice._load

    def wrong(self: CpuDevice, deployment: Any) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        run = load(self, deployment)
        return lambda arrays: run([array * np.float32(0.5) for array in arrays])

    monkeypatch.setattr(CpuDevice, "_load", wrong)
    result = call("verdict", deployment)
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    assert lines[1].startswith("✗ interpreter → cpu: must be equal; first difference: ")
    assert "(quantize) is the first layer that differs: " in lines[2]
    assert lines[3].startswith("This usually means: the compiled library computes something else")
    assert call("verdict", deployment, "--no-localize").stdout.count("first layer") == 0


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """A folder of three preprocessed images in two files."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    numbers = np.random.default_rng(3).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.save(folder / "b.npy", numbers[2:])
    np.save(folder / "a.npy", numbers[:2])
    return folder


def break_image(monkeypatch: pytest.MonkeyPatch, chosen: np.ndarray) -> None:
    """The cpu device computes something else for one image, in truncated graphs too."""
    load = CpuDevice._load

    def wrong(self: CpuDevice, deployment: Any) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
        run = load(self, deployment)
        nhwc = chosen.transpose(1, 2, 0)[None]
        return lambda given: run([array * np.float32(0.5 if np.array_equal(array, nhwc) else 1) for array in given])

    monkeypatch.setattr(CpuDevice, "_load", wrong)


def test_one_of_several_images(call: Call, deployment: Path, arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is searched alone, and named by its place among all."""
    report = arrays.parent / "verdict.json"
    result = call("verdict", deployment, "--images", arrays, "--report", report)
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        0,
        ["✓ interpreter → cpu: must be equal; 12288 elements equal", "Every link holds on 3 images"],
    )
    found = json.loads(report.read_text(encoding="utf-8"))
    assert (found["images"], found["facts"]["images"]) == (
        3,
        "3 images in 2 files of arrays, preprocessed",
    )
    break_image(monkeypatch, np.load(arrays / "a.npy")[1])
    result = call("verdict", deployment, "--images", arrays, "--report", report)
    assert result.exit_code == 1, result.output
    assert " (of image 1; searched on images 1)" in result.stdout.splitlines()[2]
    location = json.loads(report.read_text(encoding="utf-8"))["location"]
    assert (location["op"], location["images"], location["index"][0]) == ("quantize", [1], 0)
    assert call("verdict", deployment, "--images", arrays, "--limit", "1").exit_code == 0  # one of the first file
    assert call("verdict", deployment, "--images", arrays / "b.npy").exit_code == 0


@pytest.mark.parametrize(
    ("name", "limit", "images", "source"),
    [
        (".", None, [0, 1, 2], "3 images in 2 files of arrays, preprocessed"),
        (".", 3, [0, 1, 2], "3 images in 2 files of arrays, preprocessed"),
        (".", 2, [0, 1], "2 images in 1 file of arrays, preprocessed"),
        (".", 1, [0], "1 image in 1 file of arrays, preprocessed"),
        ("a.npy", None, [0, 1], "a.npy, preprocessed"),
        ("a.npy", 1, [0], "the first 1 image of a.npy, preprocessed"),
    ],
)
def test_a_limit_counts_images(
    deployment: Path, arrays: Path, name: str, limit: int | None, images: list[int], source: str
) -> None:
    every = np.concatenate([np.load(arrays / "a.npy"), np.load(arrays / "b.npy")])
    found = read_images(ect.load_deployment(deployment), arrays / name, None, limit)
    np.testing.assert_array_equal(found.arrays[0], every[images])
    assert found.source == source


def test_photos_and_a_page(call: Call, deployment: Path, virtual: Any, tmp_path: Path) -> None:
    """Through the virtual board: the page says what was judged, by whom, on what."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, colour in enumerate(((200, 10, 10), (10, 200, 10))):
        pixels = np.random.default_rng(index).integers(0, 56, (30, 40, 3), np.uint8) + np.array(colour, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    report = tmp_path / "verdict.html"
    options = ("--device", "cpu", "--device", "xrt:0", "--preprocess", "imagenet")
    result = call("verdict", deployment, *options, "--images", folder, "--report", report)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "input: ✓ the same numbers at every stage",
        "✓ interpreter → cpu: must be equal; 8192 elements equal",
        "✓ cpu → xrt:0: must be equal; 8192 elements equal",
        "Every link holds on 2 images",
    ]
    assert result.stderr == f"written: {report}\n"
    page = re.sub(r"<[^>]*>", "|", report.read_text(encoding="utf-8"))
    manifest = ect.load_deployment(deployment).manifest
    for text in (
        "Verdict: every link holds",
        "|2 photos of photos, sha256 ",
        "…; resized to 18, cropped to 16, bilinear, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)|",
        f"|{manifest.graph_sha256}|",
        f"|{manifest.manifest_sha256}|",
        f" UTC by ectoolkit {ect.__version__}|",
        f", numpy {np.__version__}|",
        "|xrt:0: device||Alveo U50 at 0000:e0:00.1, shell ectoolkit_u50_virtual_1 (virtual board: sensor values are "
        "invented)|",
        f"|xrt:0: XRT||{library_version() or 'not known'}, driver 2.13.466, through ",
        "|xrt:0: xclbin||virtual_u50.xclbin, uuid ",
        "|compiled library on this CPU, ",
    ):
        assert text in page, text
    assert str(tmp_path) not in page  # it may be given to others


def test_wrong_calls_say_what_is_wrong(call: Call, deployment: Path, tmp_path: Path) -> None:
    result = call("verdict", deployment, "--report", tmp_path / "verdict.pdf")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: verdict.pdf ends in '.pdf'; a verdict is saved as .html or .json\n",
    )
    (tmp_path / "photo.png").touch()
    for options, text in (
        (
            ("--images", tmp_path),
            "--images is a folder of photos: say how they become the model's input, with --model NAME or --preprocess "
            "imagenet, or give preprocessed .npy files",
        ),
        (
            ("--images", tmp_path, "--preprocess", "coco"),
            "--preprocess 'coco' is unknown; there is imagenet, and --model brings a model's own",
        ),
    ):
        result = call("verdict", deployment, *options)
        assert result.exit_code == 2
        assert text in " ".join(result.stderr.replace("│", " ").split())
    kinds = "expected a folder of photos, a folder of .npy files, or one .npy file"
    for name, what in (("nowhere", "not there"), ("photo.png", "a file")):
        result = call("verdict", deployment, "--images", tmp_path / name)
        assert (result.exit_code, result.stderr) == (
            2,
            f"error: --images {tmp_path / name} is {what}; {kinds}\n",
        )
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 16, 16), np.float32))
    result = call("verdict", deployment, "--images", tmp_path)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: {tmp_path} holds .npy files, such as a.npy, and photos, such as photo.png: expected one kind. Move "
        "the others into a folder of their own\n",
    )
    (tmp_path / "photo.png").unlink()
    np.save(tmp_path / "b.npy", np.zeros((1, 3, 16, 17), np.float32))
    result = call("verdict", deployment, "--images", tmp_path)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: {tmp_path / 'b.npy'} has shape (1, 3, 16, 17), and a.npy beside it (1, 3, 16, 16): expected one "
        "shape, whatever the number of images in each\n",
    )
    np.save(tmp_path / "number.npy", np.float32(1))
    result = call("verdict", deployment, "--images", tmp_path / "number.npy")
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: {tmp_path / 'number.npy'} holds a single number, expected images: float32 N,C,H,W\n",
    )
    result = call("verdict", deployment, "--device", "cup")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no device 'cup'; there are cpu, interpreter, mera, ")


def test_a_model_that_the_directory_was_not_built_from(
    call: Call, deployment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = ect.load_deployment(deployment)
    known = replace(loaded, manifest=msgspec.structs.replace(loaded.manifest, name="mobilenet_v2"))
    with pytest.raises(InputError) as error:
        require_built_from(known, "efficientnet_lite0")
    assert str(error.value) == (
        "deploy was built from mobilenet_v2, and --model is efficientnet_lite0: float → interpreter would compare two "
        "networks, and blame quantization. Give --model mobilenet_v2, or leave it out to begin at the interpreter"
    )
    require_built_from(known, "mobilenet_v2")
    assert capsys.readouterr().err == ""
    result = call("verdict", deployment, "--model", "torchvision/resnet18", "--weights", "none")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (
        2,
        "",
        [
            "note: deploy was built from 'model', which is no name of a model here; where that is not "
            "torchvision/resnet18, float → interpreter compares two networks",
            "error: --model torchvision/resnet18 gives outputs of shape [(1000,)], and the directory [(16, 16, 16)]. "
            "Give --model what deploy was built from, 'model'",
        ],
    )


def test_a_model_that_does_not_run_or_has_other_weights(
    call: Call, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(module: nn.Module) -> Any:
        own = ect.LoadedModel("mobilenet_v2", module.eval(), IMAGENET, (), (1, 3, 16, 16), "random weights")
        monkeypatch.setattr(ect, "load_model", lambda *_, **__: own)
        return call("verdict", deployment, "--model", "mobilenet_v2")

    result = load(nn.Conv2d(3, 16, 17))
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[1].startswith("error: --model mobilenet_v2 does not run on the directory's input (1, 3, 16, 16): ")
    assert lines[1].endswith(". Give --model what deploy was built from, 'model'")
    torch.manual_seed(0)
    result = load(nn.Conv2d(3, 16, 3, padding=1))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("✗ float → interpreter: must be close; ")
    assert result.stderr.splitlines()[-1] == (
        f"note: this link also breaks where {deployment} was built with other weights than random weights: --weights "
        "must be what `ectoolkit deploy` was given"
    )
