"""Load a classifier by name, with everything needed to use it: module, preprocessing, class names.

Says honestly where the weights came from; never presents random weights as trained ones.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from ectoolkit.data.checkpoints import class_count, fit, read_state_dict
from ectoolkit.data.labels import imagenet_names
from ectoolkit.data.preprocess import Preprocess
from ectoolkit.data.random_weights import random_module
from ectoolkit.data.recipes import CLASSES, Recipe, recipe_of
from ectoolkit.errors import InputError


@dataclass(frozen=True, eq=False, repr=False)
class LoadedModel:
    """A classifier ready to use.

    Args:
        name: what `load_model` was asked for.
        module: the ``nn.Module``, float32, in eval mode, on the CPU.
        preprocess: from a photo to the module's input.
        class_names: one for each output.
        input_shape: ``(1, 3, H, W)``.
        weights: where the weights came from, in words.
        asked_weights: the argument that `load_model` was given.
    """

    name: str
    module: Any
    preprocess: Preprocess
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int, int]
    weights: str
    asked_weights: str | None = "DEFAULT"

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def top(self, logits: Any, k: int = 5) -> list[list[tuple[str, float]]]:
        """Name the most probable classes.

        Args:
            logits: the model's outputs, shape ``(N, C)`` or ``(C,)``; an array or a tensor.
            k: how many classes for each image, ``1 <= k <= C``.

        Returns:
            For each image, ``k`` pairs of class name and probability (softmax), most probable first. One list
            in a list for ``(C,)``.

        Raises:
            InputError: another shape than said, or ``k`` outside its range.
        """
        values = logits.detach().cpu().numpy() if hasattr(logits, "detach") else np.asarray(logits)
        count = len(self.class_names)
        if values.ndim not in (1, 2) or values.shape[-1] != count:
            raise InputError(f"top got logits of shape {values.shape}. Expected (N, {count}) or ({count},).")
        if not 1 <= k <= count:
            raise InputError(f"k={k} is out of range. Expected 1 to {count}, the number of classes.")
        rows = np.atleast_2d(values).astype(np.float64)
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        # Stable: equal logits, common after quantization, keep the order of the classes.
        order = np.argsort(-rows, axis=1, kind="stable")[:, :k]
        return [
            [(self.class_names[index], float(row[index])) for index in best]
            for row, best in zip(probabilities, order, strict=True)
        ]

    def __repr__(self) -> str:
        return f"LoadedModel({self.name!r}, {_millions(self.parameters)} parameters, input {_sides(self)})"

    def _repr_html_(self) -> str:
        rows = {
            "name": self.name,
            "weights": self.weights,
            "parameters": f"{self.parameters:,}",
            "input": f"{_sides(self)}, {self.preprocess.describe()}",
        }
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(head)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for head, text in rows.items()
        )
        return f"<table>{cells}</table>"


def load_model(name: str, weights: str | os.PathLike[str] | None = "DEFAULT") -> LoadedModel:
    """Load a classifier.

    Args:
        name: ``"mobilenet_v2"`` or ``"efficientnet_lite0"``, whose ImageNet weights are in packages, or
            ``"torchvision/<name>"`` for any classifier of torchvision.
        weights: ``"DEFAULT"`` for the published weights, which torchvision downloads into its cache; the name
            of one of torchvision's other sets, such as ``"IMAGENET1K_V1"``; the path of a checkpoint; or None
            for random weights. A checkpoint fine-tuned to another number of classes sets that number. With a
            checkpoint or random weights, ``preprocess`` is that of ``"DEFAULT"``.

    Returns:
        The model; torchvision's quantizable class where there is one, not quantized yet.

    Raises:
        InputError: no such model, no network, or a file that is missing, no checkpoint, or of another model.
        MissingDependencyError: torch, torchvision or the package with the weights is not installed.
    """
    model = _load(recipe_of(name), weights)
    return replace(model, asked_weights=None if weights is None else os.fspath(weights))


def _load(recipe: Recipe, weights: str | os.PathLike[str] | None) -> LoadedModel:
    if weights is None:
        side = recipe.preprocess.crop
        module, origin = random_module(lambda: recipe.build(CLASSES), (1, 3, side, side))
        return _loaded(recipe, module, recipe.preprocess, CLASSES, origin)
    if not isinstance(weights, str | os.PathLike):
        raise InputError(
            f"weights={weights!r} is not understood. Expected 'DEFAULT', None for random weights, or the "
            "path of a checkpoint."
        )
    published = recipe.published.get(str(weights))
    if published is not None:
        module, origin = published.load()
        return _loaded(recipe, module, published.preprocess, CLASSES, origin)
    origin = f"checkpoint {os.fspath(weights)}"
    module, classes = _from_checkpoint(recipe, weights, origin)
    return _loaded(recipe, module, recipe.preprocess, classes, origin)


def _from_checkpoint(recipe: Recipe, path: str | os.PathLike[str], origin: str) -> tuple[Any, int]:
    state = read_state_dict(path)
    for key in [key for key in state if key.startswith(recipe.ignored)]:
        del state[key]
    module = recipe.build(CLASSES)
    classes = class_count(module.state_dict(), state, CLASSES)
    if classes != CLASSES:
        module = recipe.build(classes)
    fit(module, state, model=recipe.name, origin=origin)
    return module, classes


def _loaded(recipe: Recipe, module: Any, preprocess: Preprocess, classes: int, origin: str) -> LoadedModel:
    names = imagenet_names() if classes == CLASSES else tuple(str(index) for index in range(classes))
    shape = (1, 3, preprocess.crop, preprocess.crop)
    return LoadedModel(recipe.name, module.eval(), preprocess, names, shape, origin)


def _sides(model: LoadedModel) -> str:
    return "x".join(str(side) for side in model.input_shape)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 100_000 else f"{count:,}"
