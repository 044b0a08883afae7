"""``ectoolkit deploy``: from TorchScript, and what it refuses before long work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit.builders import TARGETS
from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.cli import deploy_options
from ectoolkit.core.deployment import load_deployment
from ectoolkit.core.types import Layout
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.errors import InputError
from ectoolkit.quantization import config
from ectoolkit.quantization.doors import DOORS
from ectoolkit.workflow import QuantizeStage

SHAPE = ("--input-shape", "1,3,16,16")


def test_from_torchscript(call: Any, built: Path, case: Path) -> None:
    deployment = load_deployment(built)
    x = np.load(case / "input.npy")
    np.testing.assert_array_equal(deployment.inputs()[0], x.transpose(0, 2, 3, 1))
    with np.load(case / "interpreter_hw.npz") as golden:
        np.testing.assert_array_equal(deployment.references()[0], golden["out_0"])


def test_options(call: Any, case: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--layout", "NCHW", "--isa", "generic", "--target", "cpu", "--host-arch", "x86")
    result = call("deploy", case / "model.pt", out, *SHAPE, *options)
    assert result.exit_code == 0, result.output
    assert "the stored input is random: numpy.random.default_rng(0).standard_normal" in result.stderr
    assert f"next: ectoolkit run {out}" in result.stderr
    for name in ("deploy.so", "deploy.json", "deploy.params", "input0.bin", "ref_result_0.bin", "manifest.json"):
        assert name in result.stdout
    deployment = load_deployment(out)
    assert (deployment.manifest.isa, deployment.manifest.inputs[0].layout) == ("generic", Layout.NCHW)
    random = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
    np.testing.assert_array_equal(deployment.inputs()[0], random)

    assert [choice.value for choice in deploy_options.Correction] == [*config.CORRECTIONS, "none"]
    assert tuple(choice.value for choice in deploy_options.Door) == DOORS


def test_choices_are_those_of_the_toolkit() -> None:
    assert [choice.value for choice in deploy_options.Method] == list(config.METHODS)
    assert [choice.value for choice in deploy_options.Scheme] == list(config.WEIGHTS)
    assert {choice.value for choice in deploy_options.IsaName} == {"host", *ISAS}
    assert {choice.value for choice in deploy_options.TargetName} == set(TARGETS)
    assert {choice.value for choice in deploy_options.LayoutName} <= {layout.value for layout in Layout}


@pytest.fixture
def float_script(tmp_path: Path) -> Path:
    import warnings

    import torch

    path = tmp_path / "float.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        torch.jit.trace(torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 16, 16)).save(str(path))
    return path


def refused(call: Any, *arguments: object) -> str:
    result = call("deploy", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return str(result.stderr)


def test_float_torchscript(call: Any, float_script: Path, tmp_path: Path) -> None:
    text = refused(call, float_script, tmp_path / "out", *SHAPE)
    assert text.startswith("error: float is a float model: it calls aten::_convolution and no quantized operation.")
    assert not (tmp_path / "out").exists()


def test_out_is_a_file(call: Any, case: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    text = refused(call, case / "model.pt", out, *SHAPE)
    assert text == (
        f"error: {out} is a file; expected the name of a deploy directory to write. Choose another name or remove it\n"
    )
    # and before a model is loaded and quantized
    assert refused(call, "mobilenet_v2", out) == text
    assert refused_demo(call, out) == text
    assert out.read_text() == "mine"


def refused_demo(call: Any, out: Path) -> str:
    result = call("demo", "--out", out)
    assert (result.exit_code, result.stdout) == (2, "")
    return str(result.stderr)


def test_what_a_target_does_not_take(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before a model is loaded and quantized, and never passed over."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("MERA_PYTHON", raising=False)
    simulator = ("mobilenet_v2", tmp_path / "out", "--target", "mera:Simulator")
    for arguments, words in (
        (("mobilenet_v2", tmp_path / "out", "--platform", "SAKURA_1"), "--platform is for the targets mera:"),
        ((*simulator, "--isa", "avx2"), "--isa is for the target cpu; EdgeCortix's compiler chooses its own"),
        ((*simulator, "--layout", "NCHW"), "--layout NCHW is for the target cpu; EdgeCortix's compiler makes NHWC"),
        ((*simulator, "--platform", "U50"), "error: platform is 'U50', expected one of DNAF200L0001, "),
        ((*simulator, "--host-arch", "arm"), "mera:Simulator runs on x86 alone; use mera:IP"),
        (simulator, "error: EdgeCortix's compiler (MERA) is not installed, and no other place is named."),
    ):
        text = " ".join(refused(call, *arguments).replace("│", " ").split())
        assert words in text


def test_out_is_somebodys_folder(call: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    assert "holds other files and is not a deploy directory" in refused(call, "mobilenet_v2", tmp_path / "out")


def test_a_failed_deploy_leaves_the_last_good_one(call: Any, deployment: Path, float_script: Path) -> None:
    before = {file.name: file.read_bytes() for file in deployment.iterdir()}
    refused(call, float_script, deployment, *SHAPE)
    assert {file.name: file.read_bytes() for file in deployment.iterdir()} == before


def test_empty_photo_folder(call: Any, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    text = refused(call, "mobilenet_v2", tmp_path / "out", "--calibration", folder)
    assert text.startswith(f"error: There is no image in {folder}. Looked for ")
    text = refused(call, "mobilenet_v2", tmp_path / "out", "--calibration", folder / "none")
    assert text == f"error: There is no folder {folder / 'none'}. Pass the folder that holds the images.\n"


def test_checkpoint_that_does_not_fit(call: Any, tmp_path: Path) -> None:
    import torch

    checkpoint = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3, 3)}, checkpoint)
    text = refused(call, "mobilenet_v2", tmp_path / "out", "--weights", checkpoint)
    assert text.startswith(f"error: The checkpoint {checkpoint} does not fit mobilenet_v2: ")
    assert "1 key unexpected (conv.weight (3, 3))" in text


def test_settings_are_checked_before_the_model_is_loaded(call: Any, tmp_path: Path) -> None:
    text = refused(call, "mobilenet_v2", tmp_path / "out", "--activation-bits", 9)
    assert text == "error: activation_bits is 9, expected 8, 7, 6, 5 or 4\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--accurate", "--method", "mse"),
            "--method with --accurate, which chooses method and corrections itself; give one of them",
        ),
        (
            ("--accurate", "--corrections", "bias"),
            "--corrections with --accurate, which chooses method and corrections itself; give one of them",
        ),
        (
            ("--corrections", "none", "--corrections", "bias"),
            "--corrections none with others; give none alone, or leave it out",
        ),
        (
            ("--accurate", "--door", "eager"),
            "--door eager is torch's own flow, which does not know corrections=('equalization', 'expected_bias'); "
            "leave --door out, or say --door export",
        ),
    ],
)
def test_options_that_contradict_each_other(call: Any, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    text = refused(call, "mobilenet_v2", tmp_path / "out", *options)
    assert text.endswith(f"Error: Invalid value: {message}\n")


def test_corrections_that_undo_each_other(call: Any, tmp_path: Path) -> None:
    options = ("--corrections", "bias", "--corrections", "adaround")
    text = refused(call, "mobilenet_v2", tmp_path / "out", *options)
    assert text == "error: corrections holds 'bias' and 'adaround', which undo each other; choose one of them\n"


def test_options_become_the_settings_of_the_run(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    found: list[Any] = []

    def run(stage: QuantizeStage, *arguments: Any, progress: Any, **settings: Any) -> None:
        found.append((arguments, settings))
        raise InputError("enough")

    loaded = ect.LoadedModel("tiny", nn.Conv2d(3, 4, 1), IMAGENET, (), (1, 3, 224, 224), "random")
    monkeypatch.setattr(ect, "load_model", lambda *_, **__: loaded)
    monkeypatch.setattr(QuantizeStage, "run", run)

    def asked(*options: str) -> Any:
        assert call("deploy", "tiny", tmp_path / "out", *options).stderr == "error: enough\n"
        return found[-1]

    assert asked() == ((ect.QuantConfig(),), {})
    assert asked("--accurate", "--weights-scheme", "per_tensor", "--door", "export") == (
        (ect.QuantConfig.accurate().tuned(weights="per_tensor"),),
        {"door": "export"},
    )
    corrections = ("--corrections", "equalization", "--corrections", "bias", "--method", "median")
    assert asked(*corrections) == ((ect.QuantConfig(method="median", corrections=("equalization", "bias")),), {})
    assert asked("--corrections", "none") == ((ect.QuantConfig(corrections=()),), {})
    assert asked("--door", "eager", "--activation-bits", "7") == (
        (ect.QuantConfig(activation_bits=7),),
        {"door": "eager"},
    )


def test_unknown_model(call: Any, tmp_path: Path) -> None:
    text = refused(call, "mobilenet_v3", tmp_path / "out")
    assert text.startswith("error: There is no model 'mobilenet_v3'. Did you mean ")


def test_reference_of_another_shape(call: Any, case: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    result = call("deploy", case / "model.pt", tmp_path / "out", *SHAPE, "--reference", tmp_path / "x.npy")
    assert result.exit_code == 2
    assert "has shape (1, 3, 8, 8), expected (1, 3, 16, 16)" in result.stderr
    assert not (tmp_path / "out").exists()
