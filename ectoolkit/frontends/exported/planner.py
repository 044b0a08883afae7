"""Goes over a captured graph and lists its layers; `rules` say what each operation becomes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.functions import function_of
from ectoolkit.core.ops import OPS
from ectoolkit.errors import UnsupportedOpError
from ectoolkit.frontends.exported.nodes import CLAMP, RELU, bounds, ceiling, flattened, kind_of, shape_of
from ectoolkit.frontends.exported.plan import FloatLayer, FloatNetwork

#: operations that leave every element where it is
IDENTITY = {
    "alias",
    "alpha_dropout",
    "clone",
    "contiguous",
    "detach",
    "dropout",
    "dropout_",
    "feature_dropout",
    "lift_fresh_copy",
    "to",
    "_to_copy",
}
#: operations without a result
CHECKS = {"_assert_tensor_metadata", "sym_size", "_assert_scalar", "_assert_async"}


class Planner:
    """One captured graph on its way to layers.

    Args:
        module: as ``torch.export`` gives it, batch norm folded.
        rules: what each operation becomes, by its name (`ectoolkit.frontends.exported.rules`).

    Attributes:
        layers: found so far.
        names: name of the layer or input that stands for a captured node.
    """

    def __init__(self, module: Any, rules: Mapping[str, Callable[[Planner, Any], None]]) -> None:
        self.module = module
        self._rules = rules
        self.layers: list[FloatLayer] = []
        self.names: dict[Any, str] = {}
        self._constants: dict[Any, Any] = {}
        self._taken: set[str] = set()
        self._in_float: set[str] = set()

    def plan(self, name: str, shapes: Sequence[tuple[int, ...]]) -> FloatNetwork:
        """The network.

        Raises:
            UnsupportedOpError: an operation has no rule.
        """
        placeholders = [node for node in self.module.graph.nodes if node.op == "placeholder"]
        inputs = {}
        for position, (node, shape) in enumerate(zip(placeholders, shapes, strict=True)):
            inputs[f"input{position}"] = shape
            self.names[node] = f"input{position}"
        self._taken.update(inputs)
        outputs: list[str] = []
        for node in self.module.graph.nodes:
            if node.op == "get_attr" or (node.op == "call_function" and self._is_constant(node)):
                self._constants[node] = self._constant(node)
            elif node.op == "call_function" and node not in self.names:
                self._call(node)
            elif node.op == "output":
                outputs = [self.source(node, result) for result in flattened(node.args[0]) if result is not None]
        return FloatNetwork(name, self.module, inputs, self.layers, outputs)

    def _call(self, node: Any) -> None:
        kind = kind_of(node)
        in_place = kind.endswith("_")
        if kind in CHECKS or not (node.users or in_place):
            return
        if kind in IDENTITY:
            if not node.meta["val"].dtype.is_floating_point:
                raise self.unsupported(node, f"to {node.meta['val'].dtype} is not defined; only real numbers are")
            self.names[node] = self.source(node, node.args[0])
            return
        rule = self._rules.get(kind)
        if rule is None:
            raise self.unsupported(node)
        rule(self, node)
        if in_place:  # whoever reads the operand from here on sees what became of it
            self.names[node.args[0]] = self.names[node]

    def _is_constant(self, node: Any) -> bool:
        """True where nothing of a node's value comes from the model's input."""
        return kind_of(node) not in CHECKS and all(operand in self._constants for operand in node.all_input_nodes)

    def _constant(self, node: Any) -> Any:
        """What a node's parameters make, computed once and for all."""
        if node.op == "get_attr":
            value = self.module
            for part in node.target.split("."):
                value = getattr(value, part)
            return value.detach()
        fx = require("torch.fx", feature="Capturing a module")
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda operand: self._constants[operand])
        return node.target(*args, **kwargs)

    def unsupported(self, node: Any, why: str = "has no integer definition here") -> UnsupportedOpError:
        """The error for an operation without a rule."""
        near = difflib.get_close_matches(kind_of(node), sorted(self._rules), n=3)
        names = f" Near by name: {', '.join(near)}." if near else ""
        return UnsupportedOpError(
            f"layer {self.layer_name(node)}: {kind_of(node)} {why}. What to do: replace the layer by one of those "
            f"known, or split the model there and keep this part in float.{names} All {len(self._rules)} that are "
            "known: ectoolkit.frontends.exported.known_operations()"
        )

    def layer_name(self, node: Any) -> str:
        """The module's name; an operation written into the forward of a module of modules gets its own name added."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = (stack[-1][0], str(stack[-1][1])) if stack else ("", "")
        path = path.removeprefix("L['self']").lstrip(".")
        leaf = kind.startswith("torch.nn.modules.") and "container" not in kind
        own = path and (leaf or kind_of(node) in ("conv2d", "linear", "convolution"))
        return path if own else f"{path}.{kind_of(node)}".lstrip(".")

    # --- adding layers -------------------------------------------------------------------------------------------

    def add(self, node: Any, op: str, inputs: Sequence[Any], end: Any = None, step: str = "", **fields: Any) -> str:
        """Add a layer; returns its name.

        Args:
            node: the captured node.
            op: of the graph.
            inputs: nodes, names of layers, or arrays: parameters of the model.
            end: the node that has its value where an activation was fused.
            step: a word where this is only a step on the way to the node's value.
            **fields: of `FloatLayer`.
        """
        end = end or node
        name = self._unique(self.layer_name(node) + (f":{step}" if step else ""))
        constants = {place: part for place, part in enumerate(inputs) if isinstance(part, np.ndarray)}
        computed = [part for part in inputs if not isinstance(part, np.ndarray)]
        sources = tuple(part if isinstance(part, str) else self.source(node, part) for part in computed)
        runs_in = self._runs_in(op, sources, constants)
        if runs_in == "float":
            self._in_float.add(name)
        value = "" if step else end.name
        self.layers.append(
            FloatLayer(
                name, op, sources, value, ceiling=ceiling(node, end), constants=constants, runs_in=runs_in, **fields
            )
        )
        if not step:
            self.names[node] = self.names[end] = name
        return name

    def function(self, node: Any, x: Any, name: str, *parameters: float) -> None:
        """Add a function of one number: a table of codes, or, of what is real already, the function itself."""
        settings = {"function": name, "parameters": tuple(float(value) for value in parameters)}
        if self.is_real(x):
            self.add(node, "float_function", [x], attributes=settings)
        else:
            self.add(node, "lookup", [x], attributes=settings, function=function_of(name, parameters))

    def reshaped(self, node: Any, x: Any, shape: tuple[int, ...], step: str = "") -> str:
        """Add a layer that gives `x` another shape, unless it has that; returns the name of the result."""
        if step and not isinstance(x, str) and shape_of(x) == shape:
            return self.source(node, x)
        return self.add(node, "reshape", [x], step=step, attributes={"shape": tuple(shape)}, keeps_grid=True)

    def gathered(self, node: Any, x: Any, places: Mapping[int, Sequence[int]], step: str = "") -> str:
        """Add a layer that takes elements by their places along some axes; returns its name."""
        settings = {
            "axes": tuple(places),
            "sizes": tuple(len(along) for along in places.values()),
            "indices": tuple(int(place) for along in places.values() for place in along),
        }
        return self.add(node, "gather", [x], step=step, attributes=settings, keeps_grid=True)

    def _unique(self, base: str) -> str:
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    def _runs_in(self, op: str, sources: Sequence[str], constants: dict[int, np.ndarray]) -> str:
        if op in OPS and OPS[op].real:
            return "float"
        follows = op in OPS and {"uint8", "float32"} <= set(OPS[op].input_dtypes[0])
        real = follows and (bool(constants) or all(source in self._in_float for source in sources))
        return "float" if real else "integer"

    # --- asking about operands -----------------------------------------------------------------------------------

    def source(self, node: Any, operand: Any) -> str:
        """Name of the layer or input that stands for a node's operand.

        Raises:
            UnsupportedOpError: it is a parameter, a constant or a number.
        """
        if operand not in self.names:
            given = hasattr(operand, "op") and operand in self._constants
            label = operand.target if given and operand.op == "get_attr" else str(operand)
            what = f"{label!r}, a parameter or constant of the model," if given else f"{operand}"
            raise self.unsupported(node, f"of {what} is not defined; it must be computed from the model's input")
        return self.names[operand]

    def is_real(self, *operands: Any) -> bool:
        """True where every operand is the result of a layer that runs in float."""
        return all((x if isinstance(x, str) else self.names.get(x)) in self._in_float for x in operands)

    def array(self, node: Any) -> np.ndarray | None:
        """The parameter that a node stands for, float32; None where it is computed or not there."""
        if not hasattr(node, "op") or node not in self._constants:
            return None
        return np.asarray(self._constants[node].detach().numpy(), np.float32)

    def fused_relu(self, node: Any) -> Any:
        """The ReLU or ReLU6 that alone uses a node, else None: the range of its output is that of the activation.

        A ReLU6's ceiling is where that range ends.
        """
        users = list(node.users)
        if len(users) != 1 or users[0].op != "call_function":
            return None
        user = users[0]
        if kind_of(user) in RELU:
            return user
        if kind_of(user) in CLAMP and bounds(user)[0] == 0:
            return user
        return None
