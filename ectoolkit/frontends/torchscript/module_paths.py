"""Names of layers as paths of torch modules."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import Any

#: what torch or the reader gives a meaning of its own
RESERVED = {"activation_post_process", "_packed_params", "ectoolkit"}


def module_paths(torch: Any, layers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A module path for each layer: its own name wherever torch can have it.

    Args:
        torch: the module.
        layers: (name, operation) of each.

    Returns:
        Path by name; unique, and none inside another.
    """
    taken_names = set(dir(torch.nn.Module())) | RESERVED
    parts = {name: [_part(part, taken_names) for part in name.split(".")] for name, _ in layers}
    inner = {".".join(path[:end]) for path in parts.values() for end in range(1, len(path))}
    paths: dict[str, str] = {}
    for name, op in layers:
        path = ".".join(parts[name])
        if path in inner:  # layers lie inside it, and only a module without others carries its name
            path = f"{path}.{op}"
        base, number = path, 2
        while path in inner or path in paths.values():
            path, number = f"{base}_{number}", number + 1
        paths[name] = path
    return paths


def _part(part: str, taken: set[str]) -> str:
    part = re.sub(r"\W", "_", part, flags=re.ASCII) or "_"
    return f"{part}_" if part in taken or keyword.iskeyword(part) else part
