"""A float model of the user's own: ``FILE.py:NAME`` for ``deploy`` and ``verdict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ectoolkit as ect
from ectoolkit.core.deployment import load_deployment

NET = """
import torch
from torch import nn

import ectoolkit as ect
from beside import CHANNELS


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3)
        self.head = nn.Linear(CHANNELS, 5)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


def make():
    torch.manual_seed(0)
    return Net()


def other():
    torch.manual_seed(1)
    return Net()


def loaded():
    preprocess = ect.Preprocess(8, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return ect.LoadedModel("mine", make(), preprocess, ("a", "b", "c", "d", "e"), (1, 3, 8, 8), "a seed")


def broken():
    raise RuntimeError("no weights here")


class Named(Net):
    def forward(self, x):
        return {"scores": super().forward(x), "nothing": None}


class Two(nn.Module):
    def forward(self, a, b):
        return a + b


def named():
    torch.manual_seed(0)
    return Named()


def leaves():
    raise SystemExit(0)


def number():
    return 7
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NET)
    (folder / "beside.py").write_text("CHANNELS = 4\n")
    np.save(folder / "images.npy", np.random.default_rng(0).standard_normal((8, 3, 8, 8)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def own(folder: Path, call: Any) -> Path:
    out = folder / "out"
    result = call("deploy", f"{folder / 'net.py'}:make", out, "--calibration", folder / "images.npy")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Net: as net.py:make makes them, input 1x3x8x8\n2 Quantize ")
    return out


def test_deploy_is_what_a_script_does(folder: Path, own: Path) -> None:
    space: dict[str, Any] = {}
    exec(NET.replace("from beside import CHANNELS", "CHANNELS = 4"), space)
    images = np.load(folder / "images.npy")
    deployment = load_deployment(own)
    assert deployment.manifest.name == "Net"
    assert deployment.manifest.graph_sha256 == ect.quantize(space["make"](), images).sha256
    np.testing.assert_array_equal(deployment.inputs()[0], images[:1].transpose(0, 2, 3, 1))


def test_verdict_begins_at_the_users_model(folder: Path, own: Path, call: Any) -> None:
    result = call("verdict", own, "--model", f"{folder / 'net.py'}:make", "--images", folder / "images.npy")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].startswith("✓ float → interpreter: must be close; ")
    assert lines[2].startswith("✓ interpreter → cpu: must be equal; ")
    result = call("verdict", own, "--model", f"{folder / 'net.py'}:other", "--images", folder / "images.npy")
    assert result.exit_code == 1
    assert result.stderr == (
        f"note: this link also breaks where {own} was built with other weights than as net.py:other makes them\n"
    )


def test_results_in_a_dict_and_what_train_mode_changes(folder: Path, call: Any, tmp_path: Path) -> None:
    model, images = f"{folder / 'net.py'}:named", folder / "images.npy"
    result = call("deploy", model, tmp_path / "out", "--calibration", images)
    assert result.exit_code == 0, result.output
    line = result.stdout.splitlines()[1]
    assert line.endswith(", 8 images, by torch.export, in eval() mode though the module is in train mode")
    result = call("verdict", tmp_path / "out", "--model", model, "--images", images)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("✓ float → interpreter: must be close; ")


def test_photos_go_through_the_models_own_preprocessing(folder: Path, call: Any, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    text = call("deploy", f"{folder / 'net.py'}:make", tmp_path / "out", "--calibration", photos).stderr
    assert text.endswith(
        f"Invalid value: --calibration {photos} is a folder of photos, and an nn.Module does not say how they become "
        "its input: return an ectoolkit.LoadedModel, which has a preprocess, or give preprocessed float32 N,C,H,W as "
        ".npy\n"
    )
    result = call("deploy", f"{folder / 'net.py'}:loaded", tmp_path / "out", "--calibration", photos)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("mine: a seed, input 1x3x8x8\n")


def test_refused(folder: Path, own: Path, call: Any) -> None:
    net, images = folder / "net.py", folder / "images.npy"
    (folder / "bad.py").write_text("import not_there\n")
    (folder / "empty.py").write_text("")
    expected = "Expected FILE.py:NAME, where NAME is a function without arguments that returns the module"
    defines = "it defines Net, make, other, loaded, broken, Named, Two, named, leaves, number"
    for model, text in (
        (f"{folder / 'none.py'}:make", f"{folder / 'none.py'} is not there; expected a Python file"),
        (f"{net}:mak", f"{net} has no 'mak'; {defines}. {expected}"),
        (net, f"{net} needs the name of a model in it; {defines}. {expected}"),
        (
            f"{folder / 'empty.py'}:make",
            f"{folder / 'empty.py'} has no 'make'; it defines no function and no class. {expected}",
        ),
        (
            f"{folder / 'bad.py'}:make",
            "bad.py does not run: ModuleNotFoundError: No module named 'not_there'. `ectoolkit --debug` shows where",
        ),
        (f"{net}:broken", "net.py:broken() fails: RuntimeError: no weights here. `ectoolkit --debug` shows where"),
        (f"{net}:leaves", "net.py:leaves() fails: SystemExit: 0. `ectoolkit --debug` shows where"),
        (f"{net}:number", "net.py:number is int; expected an nn.Module or an ectoolkit.LoadedModel"),
    ):
        for command in (("deploy", model, folder / "new", "--calibration", images), ("verdict", own, "--model", model)):
            result = call(*command)
            assert (result.exit_code, result.stderr) == (2, f"error: {text}\n")
    result = call("deploy", f"{net}:Two", folder / "new", "--calibration", images)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: calibration item 0 is ndarray, expected the 2 inputs of the model: a, b, which the command line cannot "
        "give; quantize and build it in a script\n",
    )
    np.save(folder / "one.npy", np.zeros((3, 8, 8), np.float32))
    result = call("deploy", f"{net}:make", folder / "new", "--calibration", folder / "one.npy")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --calibration one.npy has shape (3, 8, 8), expected images: float32 N,C,H,W, as numpy.stack(images) "
        "makes them\n",
    )
    for options, text in (
        (
            (),
            f"{net}:make needs images like those it is for: --calibration, a .npy file of preprocessed float32 "
            "N,C,H,W, a folder of such files, or photos where it returns an ectoolkit.LoadedModel",
        ),
        (("--weights", "none"), f"--weights is for a model by name; {net}:make loads its own"),
        (("--input-shape", "1,3,8,8"), "--input-shape is for a TorchScript file; the calibration images tell it"),
    ):
        result = call("deploy", f"{net}:make", folder / "new", *options)
        assert result.exit_code == 2
        assert result.stderr.endswith(f"Invalid value: {text}\n")
