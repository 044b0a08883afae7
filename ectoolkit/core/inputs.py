"""Checks what a user hands in before anything runs on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ectoolkit.core.types import TensorSpec
from ectoolkit.errors import InputError

#: what a caller may give for the inputs: one array, or one an input, by order or by name
Inputs = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]


def check_inputs(owner: str, specs: Mapping[str, TensorSpec], inputs: Inputs) -> dict[str, np.ndarray]:
    """The inputs by name, checked.

    Args:
        owner: name of the model, for errors.
        specs: what each input must be, in order; a batch may be a multiple of a spec's.
        inputs: float32 in the specs' layout.

    Raises:
        InputError: number, names, shape, dtype, layout do not fit, or there is NaN; says what was found and expected.
    """
    if isinstance(inputs, Mapping):
        named = dict(inputs)
    else:
        # anything that turns into an array by itself is one array: a torch tensor too
        if not isinstance(inputs, Sequence) and not hasattr(inputs, "__array__"):
            raise InputError(f"{owner} takes arrays, one an input, got {type(inputs).__name__}")
        arrays = [np.asarray(inputs)] if hasattr(inputs, "__array__") else list(inputs)
        if len(arrays) != len(specs):
            raise InputError(f"{owner} takes {len(specs)} input(s), got {len(arrays)}")
        named = dict(zip(specs, arrays, strict=True))
    if set(named) != set(specs):
        raise InputError(f"{owner} takes the inputs {list(specs)}, got {sorted(named)}")
    checked = {name: _check_input(owner, name, spec, np.asarray(named[name])) for name, spec in specs.items()}
    if len({array.shape[0] // specs[name].shape[0] for name, array in checked.items()}) > 1:
        shapes = {name: array.shape for name, array in checked.items()}
        raise InputError(f"the inputs of {owner} hold different numbers of images: {shapes}")
    return checked


def _check_input(owner: str, name: str, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    if array.dtype != np.float32:
        raise InputError(
            f"{name} of {owner} is float32, got {array.dtype}; preprocess the image (scale, subtract the mean) "
            "and convert with .astype(numpy.float32)"
        )
    n, *rest = spec.shape
    fits = array.ndim == len(spec.shape) and array.shape[1:] == tuple(rest)
    if not fits or not array.shape[0] or array.shape[0] % n:
        raise InputError(
            f"{name} of {owner} has shape {array.shape}, expected {spec.shape} ({spec.layout}), "
            f"or a batch that is a multiple of {n}{_hint(spec, array)}"
        )
    if np.isnan(array).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
        raise InputError(f"{name} of {owner} holds NaN, first at index {index}; an integer code cannot stand for it")
    return array


def _hint(spec: TensorSpec, array: np.ndarray) -> str:
    rest = spec.shape[1:]
    if array.shape == rest:
        return "; the batch axis is missing: use array[None]"
    if len(rest) == 3 and array.ndim == 4:
        first, second, third = rest
        if array.shape[1:] == (second, third, first):
            return "; this looks like NHWC: use array.transpose(0, 3, 1, 2)"
    return ""


def split_batch(specs: Mapping[str, TensorSpec], inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of one run after another."""
    first = next(iter(specs))
    for part in range(inputs[first].shape[0] // specs[first].shape[0]):
        sizes = {name: spec.shape[0] for name, spec in specs.items()}
        yield {name: array[part * sizes[name] : (part + 1) * sizes[name]] for name, array in inputs.items()}
