"""A float model of the user's own, named as ``FILE.py:NAME``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ectoolkit.errors import EctoolkitError, InputError

if TYPE_CHECKING:
    from ectoolkit.data import Preprocess


@dataclass(frozen=True)
class FloatModel:
    """A float model that a command works with.

    Attributes:
        name: of the model.
        module: the ``nn.Module``, as the user left it.
        weights: where they come from, in words.
        source: what `ectoolkit.Flow` takes: a `LoadedModel`, or the module.
        preprocess: from photos to its input; None where nobody knows.
    """

    name: str
    module: Any
    weights: str
    source: Any
    preprocess: Preprocess | None = None


def is_own(text: str) -> bool:
    """Whether a model is named as ``FILE.py:NAME``, or as ``FILE.py`` with the name forgotten."""
    return text.endswith(".py") or ".py:" in text


def load_own(text: str) -> FloatModel:
    """Run the file, and call what is named.

    Args:
        text: ``FILE.py:NAME``: an ``nn.Module``, a `LoadedModel`, or what gives one when it is called without
            arguments.

    Raises:
        InputError: the file is not there or fails, has no such name, or gives something else.
    """
    import torch

    from ectoolkit.data import LoadedModel

    file, _, name = text.rpartition(":") if ".py:" in text else (text, "", "")
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}; expected a Python file")
    with _failing(f"{path.name} does not run"):
        space = _run(path)
    if name not in space:
        raise InputError(_no_such(path, name, space))
    found = space[name]
    if not isinstance(found, torch.nn.Module | LoadedModel) and callable(found):
        with _failing(f"{path.name}:{name}() fails"):
            found = found()
    where = f"{path.name}:{name}"
    if isinstance(found, LoadedModel):
        return FloatModel(found.name, found.module, found.weights, found, found.preprocess)
    if isinstance(found, torch.nn.Module):
        return FloatModel(type(found).__name__, found, f"as {where} makes them", found)
    raise InputError(f"{where} is {type(found).__name__}; expected an nn.Module or an ectoolkit.LoadedModel")


_MODULE = "ectoolkit_own_model"


def _run(path: Path) -> dict[str, Any]:
    """What the file defines; it finds the files beside it, as where Python is given its name."""
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # what torch and dataclasses look up by name
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return vars(module)


def _no_such(path: Path, name: str, space: dict[str, Any]) -> str:
    own = [key for key, value in space.items() if getattr(value, "__module__", "") == _MODULE and callable(value)]
    there = f"it defines {', '.join(own)}" if own else "it defines no function and no class"
    what = f"{path} has no {name!r}" if name else f"{path} needs the name of a model in it"
    return f"{what}; {there}. Expected FILE.py:NAME, where NAME is a function without arguments that returns the module"


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """The user's own code may raise anything."""
    try:
        yield
    except EctoolkitError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what}: {type(error).__name__}: {error}. `ectoolkit --debug` shows where") from error
