"""What each ATen operation becomes: one small method an operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ectoolkit.errors import UnsupportedOpError
from ectoolkit.frontends.exported import functions
from ectoolkit.frontends.exported.plan import FloatLayer, FloatNetwork

#: operations that leave every element where it is
IDENTITY = {"contiguous", "dropout", "dropout_", "feature_dropout", "detach", "alias", "clone", "_to_copy", "to"}
RELU = {"relu", "relu_"}
CLAMP = {"relu6", "relu6_", "hardtanh", "hardtanh_", "clamp", "clamp_"}


class Planner:
    """Goes over a captured graph once and lists its layers.

    Attributes:
        layers: found so far.
        names: name of the layer or input that stands for a captured node.
    """

    def __init__(self, torch: Any, module: Any) -> None:
        self.torch = torch
        self.module = module
        self.layers: list[FloatLayer] = []
        self.names: dict[Any, str] = {}
        self._taken: set[str] = set()

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
        outputs: list[str] = []
        for node in self.module.graph.nodes:
            if node.op == "call_function" and node not in self.names:
                self._call(node)
            elif node.op == "output":
                outputs = [self.source(node, result) for result in _nodes(node.args[0])]
        return FloatNetwork(name, self.module, inputs, self.layers, outputs)

    def _call(self, node: Any) -> None:
        kind = _kind(node)
        if kind in IDENTITY or (kind in ("_assert_tensor_metadata", "sym_size")):
            if node.args and node.args[0] in self.names:
                self.names[node] = self.names[node.args[0]]
        else:
            rule = RULES.get(kind)
            if rule is None:
                raise self.unsupported(node)
            for operand in _nodes(node.args[0]):
                self.source(node, operand)
            rule(self, node)

    def unsupported(self, node: Any, why: str = "has no integer definition here") -> UnsupportedOpError:
        """The error for an operation without a rule."""
        known = ", ".join(sorted(RULES))
        return UnsupportedOpError(
            f"layer {self.layer_name(node)}: {_kind(node)} {why}. What to do: replace the layer by one of those known, "
            f"or split the model there and keep this part in float. Known: {known}"
        )

    def layer_name(self, node: Any) -> str:
        """The module's name; an operation written into the forward of a module of modules gets its own name added."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = (stack[-1][0], str(stack[-1][1])) if stack else ("", "")
        path = path.removeprefix("L['self']").lstrip(".")
        leaf = kind.startswith("torch.nn.modules.") and "container" not in kind
        own = path and (leaf or _kind(node) in ("conv2d", "linear", "convolution"))
        return path if own else f"{path}.{_kind(node)}".lstrip(".")

    # --- helpers -------------------------------------------------------------------------------------------------

    def add(self, node: Any, op: str, inputs: Sequence[Any], end: Any = None, **fields: Any) -> str:
        """Add a layer; `end` is the node with its value where an activation was fused."""
        end = end or node
        base = self.layer_name(node)
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        sources = tuple(source if isinstance(source, str) else self.source(node, source) for source in inputs)
        self.layers.append(FloatLayer(name, op, sources, end.name, ceiling=_ceiling(node, end), **fields))
        self.names[node] = self.names[end] = name
        return name

    def source(self, node: Any, operand: Any) -> str:
        """Name of the layer or input that stands for a node's operand.

        Raises:
            UnsupportedOpError: it is a parameter, a constant or a number.
        """
        if operand not in self.names:
            given = getattr(operand, "op", None) == "get_attr"
            what = f"{operand.target!r}, a parameter or constant of the model," if given else f"{operand}"
            raise self.unsupported(node, f"of {what} is not defined; it must be computed from the model's input")
        return self.names[operand]

    def array(self, node: Any) -> np.ndarray | None:
        """The parameter that a node stands for, float32; None where it is computed."""
        if node is None or node.op != "get_attr":
            return None
        value = self.module
        for part in node.target.split("."):
            value = getattr(value, part)
        return value.detach().numpy().astype(np.float32)

    def shape(self, node: Any) -> tuple[int, ...]:
        """Shape of a node's value."""
        return tuple(int(extent) for extent in node.meta["val"].shape)

    def fused_relu(self, node: Any) -> Any:
        """The ReLU or ReLU6 that alone uses a node, else None: the range of its output is that of the activation.

        A ReLU6's ceiling is where that range ends, which cuts with 8-bit activations only.
        """
        users = list(node.users)
        if len(users) != 1 or users[0].op != "call_function":
            return None
        user = users[0]
        if _kind(user) in RELU:
            return user
        if _kind(user) in CLAMP and _bounds(user)[0] == 0:
            return user
        return None

    # --- layers with weights -------------------------------------------------------------------------------------

    def conv2d(self, node: Any) -> None:
        x, weight, bias, stride, padding, dilation, groups = _arguments(node, None, None, None, 1, 0, 1, 1)
        if isinstance(padding, str):
            raise self.unsupported(node, f"with padding={padding!r} is not defined; give numbers")
        codes = self.array(weight)
        if codes is None or codes.ndim != 4:
            raise self.unsupported(node, "with computed weights is not defined")
        act = self.fused_relu(node)
        attributes = {
            "stride": _pair(stride),
            "padding": _pair(padding),
            "dilation": _pair(dilation),
            "groups": int(groups),
            "relu": act is not None,
        }
        self.add(node, "conv2d", [x], act, attributes=attributes, weight=codes, bias=self.array(bias))

    def linear(self, node: Any) -> None:
        x, weight, bias = _arguments(node, None, None, None)
        codes = self.array(weight)
        if codes is None or len(self.shape(x)) != 2:
            raise self.unsupported(
                node, f"of an input of shape {self.shape(x)} is not defined; it must be (N, features)"
            )
        act = self.fused_relu(node)
        self.add(node, "linear", [x], act, attributes={"relu": act is not None}, weight=codes, bias=self.array(bias))

    def batch_norm(self, node: Any) -> None:
        """One that follows no convolution: a scale and a shift a channel, which is a depthwise 1×1 convolution."""
        x, *parameters = node.args[:5]
        weight, bias, mean, variance = (self.array(parameter) for parameter in parameters)
        epsilon = float(node.args[7])
        if mean is None or variance is None or len(self.shape(x)) != 4:
            raise self.unsupported(node, "without running statistics of (N, C, H, W) is not defined")
        factor = (1 if weight is None else weight) / np.sqrt(variance + epsilon)
        shift = (0 if bias is None else bias) - mean * factor
        self._depthwise(node, x, factor[:, None, None, None], np.asarray(shift, np.float32), (1, 1), (0, 0))

    def avg_pool2d(self, node: Any) -> None:
        """Equal weights: a depthwise convolution, exact in its sums."""
        x, kernel, stride, padding, ceil_mode, count_pad, divisor = _arguments(
            node, None, None, [], 0, False, True, None
        )
        rows, columns = _pair(kernel)
        if ceil_mode or divisor is not None or (_pair(padding) != (0, 0) and not count_pad):
            raise self.unsupported(node, "with ceil_mode, divisor_override or count_include_pad=False is not defined")
        weight = np.full((self.shape(x)[1], 1, rows, columns), 1 / (rows * columns), np.float32)
        self._depthwise(node, x, weight, None, _pair(stride or kernel), _pair(padding))

    def _depthwise(
        self, node: Any, x: Any, weight: np.ndarray, bias: Any, stride: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        act = self.fused_relu(node)
        attributes = {"stride": stride, "padding": padding, "dilation": (1, 1), "groups": len(weight)}
        attributes["relu"] = act is not None
        self.add(node, "conv2d", [x], act, attributes=attributes, weight=weight.astype(np.float32), bias=bias)

    # --- arithmetic ----------------------------------------------------------------------------------------------

    def add_tensors(self, node: Any) -> None:
        left, right = node.args[:2]
        self.source(node, right)
        if self.shape(left) != self.shape(right) or node.kwargs.get("alpha", 1) != 1:
            raise self.unsupported(node, "of anything but two tensors of one shape is not defined")
        act = self.fused_relu(node)
        self.add(node, "add", [left, right], act, attributes={"relu": act is not None})

    def mul_tensors(self, node: Any) -> None:
        left, right = node.args[:2]
        if right in self.names and left in self.names:
            if len(self.shape(right)) == 4 and self.shape(left)[2:] == (1, 1):
                left, right = right, left
            self.add(node, "multiply", [left, right])
        elif isinstance(right, int | float):
            factor = float(right)
            self._lookup(node, left, f"times {factor:g}", lambda x: x * factor)
        else:
            raise self.unsupported(node, "of anything but two tensors, or a tensor and a number, is not defined")

    def div(self, node: Any) -> None:
        x, divisor = node.args[:2]
        if not isinstance(divisor, int | float):
            raise self.unsupported(node, "by a tensor is not defined")
        self._lookup(node, x, f"over {divisor:g}", lambda value: value / divisor)

    def concat(self, node: Any) -> None:
        tensors, axis = _arguments(node, None, 0)
        self.add(node, "concat", list(tensors), attributes={"axis": int(axis) % len(self.shape(tensors[0]))})

    def relu(self, node: Any) -> None:
        self.add(node, "relu", [node.args[0]], keeps_grid=True)

    def clamp(self, node: Any) -> None:
        low, high = _bounds(node)
        self._lookup(node, node.args[0], _kind(node), functions.clamp(low, high))

    def unary(self, node: Any) -> None:
        self._lookup(node, node.args[0], _kind(node).removesuffix("_"), UNARY[_kind(node).removesuffix("_")])

    def gelu(self, node: Any) -> None:
        self._lookup(node, node.args[0], "gelu", functions.gelu(node.kwargs.get("approximate", "none")))

    def leaky_relu(self, node: Any) -> None:
        slope = _arguments(node, None, 0.01)[1]
        self._lookup(node, node.args[0], "leaky_relu", functions.leaky_relu(float(slope)))

    def elu(self, node: Any) -> None:
        self._lookup(node, node.args[0], "elu", functions.elu(float(_arguments(node, None, 1.0)[1])))

    def prelu(self, node: Any) -> None:
        slope = self.array(node.args[1])
        if slope is None or slope.size != 1:
            raise self.unsupported(node, "with a slope a channel is not defined; nn.PReLU(1) is")
        self._lookup(node, node.args[0], "prelu", functions.leaky_relu(float(slope.ravel()[0])))

    def _lookup(self, node: Any, x: Any, name: str, function: functions.Function) -> None:
        self.add(node, "lookup", [x], attributes={"function": name}, function=function)

    # --- space ---------------------------------------------------------------------------------------------------

    def max_pool2d(self, node: Any) -> None:
        x, kernel, stride, padding, dilation, ceil_mode = _arguments(node, None, None, [], 0, 1, False)
        attributes = {
            "kernel": _pair(kernel),
            "stride": _pair(stride or kernel),
            "padding": _pair(padding),
            "dilation": _pair(dilation),
            "ceil_mode": bool(ceil_mode),
        }
        self.add(node, "max_pool2d", [x], attributes=attributes, keeps_grid=True)

    def adaptive_avg_pool2d(self, node: Any) -> None:
        x, size = node.args[0], _pair(node.args[1])
        if size == self.shape(x)[-2:]:
            self.names[node] = self.names[x]  # VGG's 7×7 at the size it was trained with
        elif size == (1, 1):
            self.add(node, "global_avg_pool", [x], keeps_grid=True)
        else:
            raise self.unsupported(node, f"to {size} is not defined; only to 1×1")

    def mean(self, node: Any) -> None:
        x, axes, keep = _arguments(node, None, None, False)
        rank = len(self.shape(x))
        if rank != 4 or sorted(int(axis) % rank for axis in axes) != [2, 3]:
            raise self.unsupported(node, f"over axes {axes} is not defined; only over rows and columns")
        self.add(node, "global_avg_pool", [x], keeps_grid=True)
        if not keep:
            self._reshape(node)

    def pad(self, node: Any) -> None:
        x, amounts, mode, value = _arguments(node, None, None, "constant", None)
        amounts = [*map(int, amounts), 0, 0, 0, 0][:4]
        if mode != "constant" or value not in (None, 0, 0.0) or min(amounts) < 0 or len(self.shape(x)) != 4:
            raise self.unsupported(
                node, f"with mode={mode!r}, value={value}, amounts={amounts} is not defined; only zeros"
            )
        left, right, top, bottom = amounts
        self.add(node, "pad", [x], attributes={"amounts": (top, bottom, left, right)}, keeps_grid=True)

    def upsample(self, node: Any) -> None:
        x = node.args[0]
        (height, width), (rows, columns) = self.shape(x)[2:], self.shape(node)[2:]
        bilinear = "bilinear" in _kind(node)
        if (rows, columns) != (2 * height, 2 * width) or (bilinear and node.args[2]):
            raise self.unsupported(
                node, f"from {height}×{width} to {rows}×{columns} is not defined; only a factor of 2"
            )
        self.add(node, "upsample_bilinear" if bilinear else "upsample_nearest", [x], keeps_grid=True)

    def reshape(self, node: Any) -> None:
        if self.shape(node) == self.shape(node.args[0]):
            self.names[node] = self.names[node.args[0]]
        else:
            self.names[node] = self.names[node.args[0]]
            self._reshape(node)

    def _reshape(self, node: Any) -> None:
        """Bring what stands for a node so far to the node's own shape."""
        self.add(node, "reshape", [self.names[node]], attributes={"shape": self.shape(node)}, keeps_grid=True)

    def transpose(self, node: Any) -> None:
        rank = len(self.shape(node))
        first, second = (int(axis) % rank for axis in node.args[1:3])
        order = list(range(rank))
        order[first], order[second] = second, first
        self.add(node, "transpose", [node.args[0]], attributes={"order": tuple(order)}, keeps_grid=True)

    def permute(self, node: Any) -> None:
        rank = len(self.shape(node))
        order = tuple(int(axis) % rank for axis in node.args[1])
        self.add(node, "transpose", [node.args[0]], attributes={"order": order}, keeps_grid=True)

    def split(self, node: Any) -> None:
        """chunk and split: one slice for each part."""
        x = node.args[0]
        axis = int(_arguments(node, None, None, 0)[2]) % len(self.shape(x))
        taken = {user.args[1]: user for user in node.users}
        begin = 0
        for index, value in enumerate(node.meta["val"]):
            end = begin + int(value.shape[axis])
            if index in taken:
                settings = {"axis": axis, "begin": begin, "end": end}
                self.add(node, "slice", [x], taken[index], attributes=settings, keeps_grid=True)
            begin = end

    def slice(self, node: Any) -> None:
        x, axis, begin, end, step = _arguments(node, None, 0, None, None, 1)
        extent = self.shape(x)[axis]
        begin, end, step = slice(begin, end, step).indices(extent)
        if step != 1:
            raise self.unsupported(node, f"with a step of {step} is not defined")
        self.add(node, "slice", [x], attributes={"axis": axis, "begin": begin, "end": end}, keeps_grid=True)


def _kind(node: Any) -> str:
    """An ATen operation's name without namespace and overload."""
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def _nodes(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [node for part in value for node in _nodes(part)] if isinstance(value, tuple | list) else [value]


def _arguments(node: Any, *defaults: Any) -> list[Any]:
    """Positional arguments, with defaults for those not given; keyword arguments by the schema's order."""
    names = [argument.name for argument in node.target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    return [given.get(name, default) for name, default in zip(names, defaults, strict=False)]


def _bounds(node: Any) -> tuple[float, float]:
    """Of a clamp: smallest and largest value."""
    if "relu6" in _kind(node):
        return 0.0, 6.0
    hardtanh = "hardtanh" in _kind(node)
    low, high = _arguments(node, None, -1.0 if hardtanh else None, 1.0 if hardtanh else None)[1:]
    return (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))


def _ceiling(node: Any, end: Any) -> float | None:
    """Where the activation fused into a node cuts, None where it does not or there is none."""
    if end is node or _kind(end) not in CLAMP:
        return None
    high = _bounds(end)[1]
    return high if np.isfinite(high) else None


def _pair(value: Any) -> tuple[int, int]:
    numbers = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return numbers[0], numbers[-1]


UNARY: dict[str, functions.Function] = {
    "hardsigmoid": functions.hardsigmoid,
    "hardswish": functions.hardswish,
    "sigmoid": functions.sigmoid,
    "silu": functions.silu,
    "tanh": np.tanh,
}

RULES: dict[str, Callable[[Planner, Any], None]] = {
    "adaptive_avg_pool2d": Planner.adaptive_avg_pool2d,
    "add": Planner.add_tensors,
    "add_": Planner.add_tensors,
    "avg_pool2d": Planner.avg_pool2d,
    "batch_norm": Planner.batch_norm,
    "cat": Planner.concat,
    "chunk": Planner.split,
    "clamp": Planner.clamp,
    "clamp_": Planner.clamp,
    "conv2d": Planner.conv2d,
    "div": Planner.div,
    "elu": Planner.elu,
    "flatten": Planner.reshape,
    "gelu": Planner.gelu,
    "hardtanh": Planner.clamp,
    "hardtanh_": Planner.clamp,
    "leaky_relu": Planner.leaky_relu,
    "leaky_relu_": Planner.leaky_relu,
    "linear": Planner.linear,
    "max_pool2d": Planner.max_pool2d,
    "mean": Planner.mean,
    "mul": Planner.mul_tensors,
    "mul_": Planner.mul_tensors,
    "pad": Planner.pad,
    "permute": Planner.permute,
    "prelu": Planner.prelu,
    "relu": Planner.relu,
    "relu6": Planner.clamp,
    "relu6_": Planner.clamp,
    "relu_": Planner.relu,
    "reshape": Planner.reshape,
    "slice": Planner.slice,
    "split": Planner.split,
    "split_with_sizes": Planner.split,
    "squeeze": Planner.reshape,
    "transpose": Planner.transpose,
    "unsqueeze": Planner.reshape,
    "upsample_bilinear2d": Planner.upsample,
    "upsample_nearest2d": Planner.upsample,
    "view": Planner.reshape,
    **{name + suffix: Planner.unary for name in UNARY for suffix in ("", "_")},
}
