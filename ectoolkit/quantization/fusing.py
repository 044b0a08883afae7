"""Joins convolution, batch norm and ReLU, and turns ReLU6 into ReLU with a ceiling."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from ectoolkit._optional import require
from ectoolkit.errors import QuantizationError

_CEILING = "ectoolkit_ceiling"


def replace_relu6(model: Any) -> None:
    """Replace each ReLU6 by a ReLU that remembers its ceiling: torch fuses no other activation, in place."""
    nn = require("torch.nn", feature="Quantizing a module")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            clamp = isinstance(child, nn.Hardtanh) and child.min_val == 0  # ReLU6 is one
            if clamp:
                relu = nn.ReLU().train(child.training)
                setattr(relu, _CEILING, float(child.max_val))
                setattr(parent, name, relu)


def ceilings(model: Any) -> Iterator[tuple[Any, float]]:
    """The modules, fused or not, whose output a replaced ReLU6 cuts, with the ceiling."""
    fused = require("torch.ao.nn.intrinsic", feature="Quantizing a module")._FusedModule
    inside = set()
    for module in model.modules():
        if isinstance(module, fused):
            last = list(module.children())[-1]
            inside.add(id(last))
            if hasattr(last, _CEILING):
                yield module, getattr(last, _CEILING)
    for module in model.modules():
        if hasattr(module, _CEILING) and id(module) not in inside:
            yield module, getattr(module, _CEILING)


def fuse(model: Any, groups: Sequence[Sequence[str]]) -> None:
    """Fuse in place: by the model's own ``fuse_model``, else runs in every ``nn.Sequential``, and the given groups.

    Raises:
        QuantizationError: a given group names no module, or cannot be fused.
    """
    quantization = require("torch.ao.quantization", feature="Quantizing a module")
    if hasattr(model, "fuse_model"):
        takes_qat = "is_qat" in inspect.signature(model.fuse_model).parameters
        model.fuse_model(**({"is_qat": False} if takes_qat else {}))
    else:
        named = {name for group in groups for name in group}
        found = [group for group in _runs(model) if not named & set(group)]
        if found:
            quantization.fuse_modules(model, found, inplace=True)
    if groups:
        known = dict(model.named_modules())
        for group in groups:
            missing = [name for name in group if name not in known]
            if missing:
                raise QuantizationError(f"fuse names {missing[0]!r}, which is no module of {type(model).__name__}")
        try:
            quantization.fuse_modules(model, [list(group) for group in groups], inplace=True)
        except (NotImplementedError, AssertionError) as error:
            raise QuantizationError(f"fuse={groups!r} cannot be done: {error}") from error


def _runs(model: Any) -> list[list[str]]:
    """Names of convolution [+ batch norm] [+ ReLU] that follow each other in a Sequential."""
    nn = require("torch.nn", feature="Quantizing a module")
    found = []
    for path, module in model.named_modules():
        if type(module) is not nn.Sequential:
            continue
        children = [(f"{path}.{name}".lstrip("."), type(child)) for name, child in module.named_children()]
        position = 0
        while position < len(children):
            run = _run_at(nn, children[position : position + 3])
            if len(run) > 1:
                found.append(run)
            position += max(len(run), 1)
    return found


def _run_at(nn: Any, children: Sequence[tuple[str, type]]) -> list[str]:
    kinds = [kind for _, kind in children]
    if not kinds or kinds[0] not in (nn.Conv2d, nn.Linear):
        return []
    length = 1
    if kinds[0] is nn.Conv2d and length < len(kinds) and kinds[length] is nn.BatchNorm2d:
        length += 1
    if length < len(kinds) and kinds[length] is nn.ReLU:
        length += 1
    return [name for name, _ in children[:length]]
