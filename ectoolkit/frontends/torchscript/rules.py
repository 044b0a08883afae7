"""What each torch operation becomes in the graph: one small method an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core import host_tables
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.ops.base import grid
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.errors import InputError, QuantizationError, UnsupportedOpError, VerificationError
from ectoolkit.frontends.torchscript.walk import PART, Call, TensorRef

#: c10::ScalarType::QUInt8, as a traced graph writes torch.quint8
QUINT8 = 13

#: arithmetic on sizes
NUMBERS: Mapping[str, Callable[[int, int], int]] = {
    "aten::mul": lambda a, b: a * b,
    "aten::floor_divide": lambda a, b: a // b,
}

#: operations that leave every element where it is
IDENTITY = {
    "aten::contiguous",
    "aten::dropout",
    "aten::dropout_",
    "aten::feature_dropout",
    "aten::detach",
    "aten::alias",
}

#: what to do about operations people meet
REMEDIES = {
    "aten::hardtanh": "fuse it into its producer: use nn.ReLU and let calibration set the range to [0, 6]",
    "quantized::relu6": "fuse it into its producer: use nn.ReLU and let calibration set the range to [0, 6]",
    "aten::relu6": "fuse it into its producer: use nn.ReLU and let calibration set the range to [0, 6]",
    "aten::_convolution": "this convolution was left in float: give it a qconfig before prepare",
    "aten::conv2d": "this convolution was left in float: give it a qconfig before prepare",
    "aten::linear": "this layer was left in float: give it a qconfig before prepare",
    "aten::batch_norm": "fuse it into the convolution before it: torch.ao.quantization.fuse_modules",
    "quantized::batch_norm2d": "fuse it into the convolution before it: torch.ao.quantization.fuse_modules",
    "aten::add": "add quantized tensors with torch.ao.nn.quantized.FloatFunctional().add",
    "aten::add_": "add quantized tensors with torch.ao.nn.quantized.FloatFunctional().add",
    "aten::cat": "join quantized tensors with torch.ao.nn.quantized.FloatFunctional().cat",
    "aten::mul": "multiply quantized tensors with torch.ao.nn.quantized.FloatFunctional().mul",
}


class Importer:
    """Adds one call after another to a `GraphBuilder`.

    Attributes:
        builder: where nodes go.
        rules: what to do with each operation, `RULES` at least.
        names: value name of each tensor met so far.
        numbers: what ``x.size(0)`` and products of such are; the trace holds them as tensors.
        coarse: layers whose function keeps the input's grid, which torch would give a finer one.
    """

    def __init__(
        self,
        builder: GraphBuilder,
        inputs: Mapping[TensorRef, tuple[int, ...]],
        rules: Mapping[str, Callable[[Importer, Call], str]],
    ) -> None:
        self.builder = builder
        self.rules = rules
        self.torch = require("torch", feature="Reading TorchScript")
        self.names: dict[TensorRef, str] = {ref: builder.input(shape) for ref, shape in inputs.items()}
        self.numbers: dict[TensorRef, int] = {}
        self.coarse: list[str] = []

    def value_of(self, ref: Any) -> str:
        """Name of the value that stands for a traced tensor."""
        return self.names[ref]

    def add(self, call: Call) -> None:
        """Translate one call.

        Raises:
            UnsupportedOpError: there is no rule for it.
        """
        call = replace(call, args=self.known(list(call.args)))
        if call.op == "aten::size":
            x, axis = call.args
            self.numbers[call.output] = self.shape(x)[axis]
            return
        count = NUMBERS.get(call.op)
        if count is not None and not any(isinstance(argument, TensorRef) for argument in call.args):
            self.numbers[call.output] = count(int(call.args[0]), int(call.args[1]))
            return
        if call.op in IDENTITY:
            self.names[call.output] = self.value_of(call.args[0])
            return
        rule = self.rules.get(call.op)
        if rule is None:
            raise self.unsupported(call)
        try:
            self.names[call.output] = rule(self, call)
        except VerificationError as error:
            raise InputError(f"{error}. Check input_shape: it must be that of the traced example") from error

    def unsupported(self, call: Call, why: str = "has no integer definition here") -> UnsupportedOpError:
        """The error for a call that cannot be translated."""
        remedy = REMEDIES.get(call.op, "put the layer behind a DeQuantStub, or replace it by one of those known")
        known = ", ".join(sorted(op.rpartition(":")[2] for op in RULES))
        return UnsupportedOpError(f"layer {call.layer}: {call.op} {why}. What to do: {remedy}. Known: {known}")

    # --- the borders ---------------------------------------------------------------------------------------------

    def quantize(self, call: Call) -> str:
        x, scale, zero_point, dtype = call.args
        if dtype not in (QUINT8, self.torch.quint8):
            raise QuantizationError(
                f"layer {call.layer}: activations are {dtype}, expected torch.quint8 (codes 0..255)"
            )
        return self.node("quantize", call, [x], QuantParams.uint8(float(scale), int(zero_point)))

    def dequantize(self, call: Call) -> str:
        return self.builder.node("dequantize", call.layer, [self.value_of(call.args[0])], None, dtype="float32")

    # --- layers with weights -------------------------------------------------------------------------------------

    def conv2d(self, call: Call) -> str:
        x, packed, scale, zero_point = call.args
        ops = self.torch.ops.quantized
        weight, bias = ops.conv2d_unpack(packed)
        if ops.conv2d_transpose(packed):
            raise self.unsupported(call, "with transposed weights has no integer definition here")
        attributes = {
            "stride": tuple(ops.conv2d_stride(packed)),
            "padding": tuple(ops.conv2d_padding(packed)),
            "dilation": tuple(ops.conv2d_dilation(packed)),
            "groups": int(ops.conv2d_groups(packed)),
            "relu": call.op.endswith("_relu"),
        }
        return self._weighted("conv2d", call, x, weight, bias, QuantParams.uint8(scale, zero_point), attributes)

    def linear(self, call: Call) -> str:
        x, packed, scale, zero_point = call.args
        weight, bias = self.torch.ops.quantized.linear_unpack(packed)
        relu = {"relu": call.op.endswith("_relu")}
        return self._weighted("linear", call, x, weight, bias, QuantParams.uint8(scale, zero_point), relu)

    def _weighted(
        self, op: str, call: Call, x: TensorRef, weight: Any, bias: Any, quant: QuantParams, attributes: dict[str, Any]
    ) -> str:
        per_tensor = weight.qscheme() in (self.torch.per_tensor_affine, self.torch.per_tensor_symmetric)
        scales = weight.q_scale() if per_tensor else weight.q_per_channel_scales().numpy()
        zero_points = weight.q_zero_point() if per_tensor else weight.q_per_channel_zero_points().numpy()
        if np.any(np.asarray(zero_points) != 0):
            raise QuantizationError(
                f"layer {call.layer}: its weights have zero points; use a symmetric weight observer"
            )
        real_bias = None if bias is None else bias.detach().numpy()
        codes = weight.int_repr().numpy()
        return self.builder.weighted(op, call.layer, self.value_of(x), codes, scales, real_bias, quant, attributes)

    # --- operations on codes -------------------------------------------------------------------------------------

    def add_op(self, call: Call) -> str:
        left, right, scale, zero_point = call.args
        if not isinstance(right, TensorRef):
            raise self.unsupported(call, "with a number has no integer definition here")
        relu = {"relu": call.op.endswith("_relu")}
        return self.node("add", call, [left, right], QuantParams.uint8(scale, zero_point), relu)

    def concat(self, call: Call) -> str:
        tensors, axis, scale, zero_point = call.args
        rank = len(self.shape(tensors[0]))
        return self.node("concat", call, tensors, QuantParams.uint8(scale, zero_point), {"axis": int(axis) % rank})

    def relu(self, call: Call) -> str:
        return self.node("relu", call, [call.args[0]])

    def max_pool2d(self, call: Call) -> str:
        x, kernel, stride, padding, dilation, ceil_mode = call.args
        attributes = {
            "kernel": _two(kernel),
            "stride": _two(stride or kernel),
            "padding": _two(padding),
            "dilation": _two(dilation),
            "ceil_mode": bool(ceil_mode),
        }
        return self.node("max_pool2d", call, [x], attributes=attributes)

    def adaptive_avg_pool2d(self, call: Call) -> str:
        x, size = call.args
        if _two(size) == self.shape(x)[-2:]:
            return self.value_of(x)  # VGG's 7×7 at the size it was trained with
        if _two(size) != (1, 1):
            raise self.unsupported(call, f"to {_two(size)} is wrong on EdgeCortix's compiler; only 1×1 is defined")
        return self.node("global_avg_pool", call, [x])

    def avg_pool2d(self, call: Call) -> str:
        x, kernel, stride, padding, ceil_mode, count_frame, divisor = call.args
        if ceil_mode or divisor is not None:
            what = "ceil_mode" if ceil_mode else "divisor_override"
            raise self.unsupported(call, f"with {what} has no integer definition here")
        sizes = {"kernel": _two(kernel), "stride": _two(stride or kernel), "padding": _two(padding)}
        return self.node("avg_pool2d", call, [x], attributes={**sizes, "count_frame": bool(count_frame)})

    def mean(self, call: Call) -> str:
        x, axes, keep, *_ = call.args if len(call.args) > 2 else (call.args[0], None, False)  # x.mean() names no axes
        if axes is None:
            raise self.unsupported(call, "over all axes has no integer definition here; only rows and columns")
        shape = self.shape(x)
        if len(shape) != 4 or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
            raise self.unsupported(
                call, f"over axes {list(axes)} has no integer definition here; only rows and columns"
            )
        name = self.node("host_mean", call, [x])
        if keep:
            return name
        return self.builder.node(
            "reshape", f"{call.layer}.flat", [name], grid(self.builder.values[name]), {"shape": shape[:2]}
        )

    def multiply(self, call: Call) -> str:
        left, right, scale, zero_point = call.args
        return self.node("multiply", call, [left, right], QuantParams.uint8(scale, zero_point))

    def hardswish(self, call: Call) -> str:
        x, scale, zero_point = call.args
        target = QuantParams.uint8(float(scale), int(zero_point))
        return self._lookup(call, "hardswish", host_tables.hardswish(self.grid(x), target), target)

    def sigmoid(self, call: Call) -> str:
        table = host_tables.sigmoid(self.grid(call.args[0]))
        return self._lookup(call, "sigmoid", table, host_tables.SIGMOID)

    def hardsigmoid(self, call: Call) -> str:
        own = self.grid(call.args[0])
        name = self._lookup(call, "hardsigmoid", host_tables.hardsigmoid(own), own)
        if own != host_tables.SIGMOID:
            self.coarse.append(name)
        return name

    def _lookup(self, call: Call, function: str, table: np.ndarray, target: QuantParams) -> str:
        name = self.builder.unique(call.layer)
        constant = self.builder.constant(f"{name}.table", table, Layout.C, target)
        attributes = {"function": function, "parameters": ()}
        return self.builder.node("lookup", name, [self.value_of(call.args[0]), constant], target, attributes)

    def part(self, call: Call) -> str:
        x, index, count, axis = call.args
        axis = int(axis) % len(self.shape(x))
        extent = self.shape(x)[axis]
        size = -(-extent // int(count))
        ends = {"axis": axis, "begin": index * size, "end": min((index + 1) * size, extent)}
        return self.node("slice", call, [x], attributes=ends)

    def exchange(self, call: Call) -> str:
        x, first, second = call.args
        order = list(range(len(self.shape(x))))
        order[first], order[second] = order[second], order[first]
        return self.node("transpose", call, [x], attributes={"order": tuple(order)})

    def upsample(self, call: Call) -> str:
        x, size, *rest = call.args
        factors = rest[-1]
        height, width = self.shape(x)[2:]
        if size is not None:
            factors = [size[0] / height, size[1] / width]
        if list(factors or []) != [2.0, 2.0] or (call.op.endswith("bilinear2d") and rest[0]):
            raise self.unsupported(call, f"by {factors} is not defined; only a factor of 2, align_corners=False")
        return self.node("upsample_bilinear" if "bilinear" in call.op else "upsample_nearest", call, [x])

    def flatten(self, call: Call) -> str:
        x, first, last = call.args
        shape = self.shape(x)
        first, last = first % len(shape), last % len(shape)
        return self._reshaped(call, x, (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :]))

    def reshape(self, call: Call) -> str:
        x, shape = call.args
        size = int(np.prod(self.shape(x)))
        known = int(np.prod([extent for extent in shape if extent != -1]))
        return self._reshaped(call, x, tuple(size // known if extent == -1 else int(extent) for extent in shape))

    def _reshaped(self, call: Call, x: TensorRef, shape: tuple[int, ...]) -> str:
        if shape == self.shape(x):
            return self.value_of(x)
        return self.node("reshape", call, [x], attributes={"shape": shape})

    # --- helpers -------------------------------------------------------------------------------------------------

    def known(self, value: Any) -> Any:
        """An argument, or a list of them, with the sizes that the model asked for as numbers."""
        if isinstance(value, list):
            return [self.known(part) for part in value]
        return self.numbers.get(value, value) if isinstance(value, TensorRef) else value

    def shape(self, ref: TensorRef) -> tuple[int, ...]:
        """Shape of a tensor met before."""
        return self.builder.values[self.value_of(ref)].spec.shape

    def grid(self, ref: TensorRef) -> QuantParams:
        """The grid of a tensor met before."""
        return grid(self.builder.values[self.value_of(ref)])

    def node(
        self,
        op: str,
        call: Call,
        inputs: list[TensorRef],
        quant: QuantParams | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> str:
        """Add a node whose result has the given grid, or that of its first input."""
        names = [self.value_of(ref) for ref in inputs]
        quant = quant or grid(self.builder.values[names[0]])
        return self.builder.node(op, call.layer, names, quant, attributes)


def _two(value: Any) -> tuple[int, int]:
    """torch's ``2``, ``[2]`` or ``[2, 3]`` as a pair."""
    numbers = [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)]
    return (numbers[0], numbers[-1])


RULES: dict[str, Callable[[Importer, Call], str]] = {
    "aten::quantize_per_tensor": Importer.quantize,
    "aten::dequantize": Importer.dequantize,
    "quantized::conv2d": Importer.conv2d,
    "quantized::conv2d_relu": Importer.conv2d,
    "quantized::linear": Importer.linear,
    "quantized::linear_relu": Importer.linear,
    "quantized::add": Importer.add_op,
    "quantized::add_relu": Importer.add_op,
    "quantized::cat": Importer.concat,
    "quantized::hardswish": Importer.hardswish,
    "quantized::mul": Importer.multiply,
    PART: Importer.part,
    "aten::avg_pool2d": Importer.avg_pool2d,
    "aten::hardsigmoid": Importer.hardsigmoid,
    "aten::hardsigmoid_": Importer.hardsigmoid,
    "aten::mean": Importer.mean,
    "aten::sigmoid": Importer.sigmoid,
    "aten::transpose": Importer.exchange,
    "aten::relu": Importer.relu,
    "aten::relu_": Importer.relu,
    "aten::max_pool2d": Importer.max_pool2d,
    "aten::adaptive_avg_pool2d": Importer.adaptive_avg_pool2d,
    "aten::upsample_nearest2d": Importer.upsample,
    "aten::upsample_bilinear2d": Importer.upsample,
    "aten::flatten": Importer.flatten,
    "aten::reshape": Importer.reshape,
    "aten::view": Importer.reshape,
}
