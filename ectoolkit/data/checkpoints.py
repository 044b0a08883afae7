"""Read a checkpoint without running anything in it, and fit it to a model or say exactly why not.

Never unpickles code: ``torch.load(weights_only=True)``, always.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ectoolkit._optional import require
from ectoolkit.errors import InputError

#: where training scripts keep the state dict inside a checkpoint
WRAPPERS = ("state_dict", "model", "model_state_dict")
#: how many keys an error message names before it only counts
NAMED = 3
#: DenseNet checkpoints of 2017, torchvision's published ones among them, say norm.1 where the model has norm1
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def read_state_dict(path: str | os.PathLike[str]) -> OrderedDict[str, Any]:
    """Read a state dict from a file.

    Args:
        path: a file that ``torch.save`` wrote: a state dict, or a dict that holds one under ``"state_dict"``,
            ``"model"`` or ``"model_state_dict"``. ``~`` is the home folder.

    Returns:
        Key to CPU tensor, with the layers' versions that ``torch.save`` noted. The ``module.`` that
        DataParallel puts before every key is taken away.

    Raises:
        InputError: no such file, not a checkpoint, or one without a state dict.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise InputError(
            f"The checkpoint {file} {what}. Expected weights to be 'DEFAULT', None for random weights, "
            "or the path of a .pth file."
        )
    state = _unwrap(_load(file))
    if state is None:
        raise InputError(
            f"{file} holds no state dict. Expected names with tensors, or a dict with these under "
            f"{', '.join(map(repr, WRAPPERS))}; save one with torch.save(model.state_dict(), path)."
        )
    if all(key.startswith("module.") for key in state):
        utils = require("torch.nn.modules.utils", feature="Reading a checkpoint")
        utils.consume_prefix_in_state_dict_if_present(state, "module.")
    for key in list(state):
        state[_OLD_DENSENET.sub(r"\1\2", key)] = state.pop(key)
    return state


def _load(file: Path) -> Any:
    torch = require("torch", feature="Reading a checkpoint")
    try:
        with warnings.catch_warnings():
            # torch warns that it dispatches to torch.jit.load, and then refuses; our error says it once.
            warnings.filterwarnings("ignore", message=".*looks like a TorchScript archive.*")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of any other kind makes torch raise nearly anything, KeyError included
        raise InputError(
            f"{file} is not a checkpoint that can be read safely{_reason(error)}. "
            "Expected a state dict; save one with torch.save(model.state_dict(), path)."
        ) from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text:
        return ": it is a TorchScript archive, which ect.import_torchscript reads"
    if "Weights only load failed" in text:
        return ": it holds Python objects, such as a whole pickled model"
    return ""


def _unwrap(loaded: Any) -> OrderedDict[str, Any] | None:
    torch = require("torch", feature="Reading a checkpoint")
    candidates = [loaded]
    if isinstance(loaded, Mapping):
        candidates = [loaded[key] for key in WRAPPERS if key in loaded] + candidates
    for candidate in candidates:
        if (
            isinstance(candidate, Mapping)
            and candidate
            and all(isinstance(key, str) for key in candidate)
            and all(isinstance(value, torch.Tensor) for value in candidate.values())
        ):
            state = OrderedDict(candidate)
            if hasattr(candidate, "_metadata"):
                # The layers' versions: some layers (MNASNet's) load older checkpoints differently.
                state._metadata = candidate._metadata  # type: ignore[attr-defined]
            return state
    return None


def class_count(expected: Mapping[str, Any], state: Mapping[str, Any], default: int) -> int:
    """Find how many classes a checkpoint was trained for.

    A fine-tuned network differs from its origin only in the length of its classifier's output.

    Args:
        expected: the state dict of the model with ``default`` classes.
        state: the checkpoint's.
        default: the model's own number of classes.

    Returns:
        The checkpoint's number, or ``default`` where the shapes tell no single other one.
    """
    counts = set()
    for key in expected.keys() & state.keys():
        wanted, found = tuple(expected[key].shape), tuple(state[key].shape)
        if wanted != found:
            if wanted[:1] != (default,) or wanted[1:] != found[1:] or len(found) != len(wanted):
                return default
            counts.add(found[0])
    return counts.pop() if len(counts) == 1 else default


def fit(module: Any, state: Mapping[str, Any], *, model: str, origin: str) -> None:
    """Copy a state dict into a module.

    Args:
        module: the ``nn.Module``; changed in place.
        state: key to tensor.
        model: the model's name, for the message.
        origin: where the state dict came from, for the message.

    Raises:
        InputError: keys are missing, left over, or of another shape; names the first of each.
    """
    expected = module.state_dict()
    # Checkpoints from before torch 0.4.1 have no counter; it has no effect on inference.
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    parts = [
        _count("missing", [f"{key} {tuple(expected[key].shape)}" for key in missing]),
        _count("unexpected", [f"{key} {tuple(state[key].shape)}" for key in unexpected]),
        _count("of another shape", shapes),
    ]
    if any(parts):
        raise InputError(
            f"The {origin} does not fit {model}: {'; '.join(part for part in parts if part)}. "
            f"Pass a checkpoint trained as {model}, or load the model that it belongs to."
        )
    module.load_state_dict(state, strict=False)


def _count(what: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    more = ", ..." if len(keys) > NAMED else ""
    noun = "key" if len(keys) == 1 else "keys"
    return f"{len(keys)} {noun} {what} ({', '.join(keys[:NAMED])}{more})"
