"""What EdgeCortix's compiler must not be given, found before it is called.

Most of its failures end its process or, worse, give other numbers; see `docs/decisions/0012`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ectoolkit.core.graph import Graph
from ectoolkit.errors import BuildError
from ectoolkit.frontends.torchscript.concerns import concerns
from ectoolkit.frontends.torchscript.plain import plain
from ectoolkit.frontends.torchscript.walk import walk


def refuse(graph: Graph, target: str) -> None:
    """Refuse a graph that the compiler would fail at.

    Args:
        graph: to be built.
        target: of MERA.

    Raises:
        BuildError: names the layers, what would happen and the remedy.
    """
    found = [concern for concern in concerns(plain(graph)) if concern.holds_for(target)]
    if found:
        raise BuildError(
            f"mera:{target} would not give this model's results. " + "\n".join(map(str, found)) + "\n"
            "To build it nevertheless, and compare: preflight=False"
        )


def obstacles(script: Any) -> Iterator[str]:
    """Why a traced module cannot go in as it is, though its graph can once it is written anew.

    Args:
        script: a ``torch.jit.ScriptModule``, quantized.
    """
    names = [call.layer for call in walk(script).calls if _per_tensor(call.args)]
    if names:
        yield (
            f"one weight scale for all channels of {_first(names)}, at which EdgeCortix's compiler ends its process: "
            "written anew with the same scale for each channel"
        )
    named = [path for path, module in script.named_modules() if _container_named_conv(module)]
    if named:
        yield (
            f"the class of {_first([path or '(the model)' for path in named])} has a name with 'Conv', which "
            "EdgeCortix's compiler takes for a convolution: written anew under another name"
        )


def _per_tensor(arguments: Any) -> bool:
    for argument in arguments:
        if not hasattr(argument, "__getstate__") or not hasattr(argument, "unpack"):
            continue
        weight = argument.unpack()[0]
        if not weight.qscheme().__repr__().startswith("torch.per_channel") and weight.shape[0] > 1:
            return True
    return False


def _container_named_conv(module: Any) -> bool:
    """Their importer asks modules of such names for packed weights, and stops where it finds other tensors."""
    return "Conv" in getattr(module, "original_name", "") and len(module.state_dict()) > 0


def _first(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
