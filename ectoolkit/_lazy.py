"""Public names that are imported when somebody asks for them (PEP 562): `import ectoolkit` costs NumPy alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def find(package: str, homes: Mapping[str, str], name: str) -> Any:
    """A public name of a package, which the package has from then on.

    Args:
        package: its full name.
        homes: the module below it that each public name is in.
        name: that was asked for.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value
