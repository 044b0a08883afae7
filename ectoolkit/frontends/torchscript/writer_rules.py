"""What each operation of the graph becomes in torch: one small method an operation, giving a module to trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ectoolkit.core import arithmetic, host_tables
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import grid, pair, whole, wholes
from ectoolkit.core.types import QuantParams
from ectoolkit.errors import QuantizationError, UnsupportedOpError
from ectoolkit.frontends.torchscript.float_forms import best_form
from ectoolkit.frontends.torchscript.mark import Table
from ectoolkit.frontends.torchscript.stand_in import stand_in_grid

#: what a layer that cannot be written may become
REMEDY = "keep the model in ectoolkit's own file with save_graph, or replace the layer before quantizing"
#: operations that only graphs without the accelerator's arithmetic have
PRECISE = ("precise_add", "mean")
DNA_REMEDY = "quantize with QuantConfig(hardware='dna'), whose adds and pools are the accelerator's"


class Exporter:
    """Makes the module of one node after another.

    Attributes:
        torch: the module.
        graph: what is written.
        tables: of the lookups met so far, by node name.
        rounded: lookups whose torch function rounds some codes to the neighbour: how many, by node name.
    """

    def __init__(self, torch: Any, graph: Graph) -> None:
        self.torch = torch
        self.graph = graph
        self.tables: dict[str, Table] = {}
        self.rounded: dict[str, int] = {}

    def module(self, node: Node) -> Any:
        """The ``nn.Module`` that computes a node from its activations.

        Raises:
            UnsupportedOpError: no torch form keeps its arithmetic.
            QuantizationError: its numbers cannot be written.
        """
        rule = WRITER_RULES.get(node.op)
        if rule is None:
            raise self.unsupported(node, "has no form in quantized TorchScript")
        return rule(self, node)

    def unsupported(self, node: Node, why: str) -> UnsupportedOpError:
        """The error for a node that cannot be written."""
        remedy = DNA_REMEDY if node.op in PRECISE else REMEDY
        return UnsupportedOpError(
            f"layer {node.name}: {node.op} {why}. What to do: {remedy}. Known: {', '.join(sorted(WRITER_RULES))}"
        )

    # --- the borders ---------------------------------------------------------------------------------------------

    def quantize(self, node: Node) -> Any:
        quant = self.grid(node.name)
        torch = self.torch
        return torch.ao.nn.quantized.Quantize(
            torch.tensor(float(quant.scalar)), torch.tensor(quant.zero_point), torch.quint8
        )

    def dequantize(self, node: Node) -> Any:
        return self.torch.ao.nn.quantized.DeQuantize()

    # --- layers with weights -------------------------------------------------------------------------------------

    def conv2d(self, node: Node) -> Any:
        out_channels, per_group, *kernel = self.graph.constants[node.inputs[1]].shape
        groups = whole(node, "groups")
        kind = self.torch.ao.nn.quantized.Conv2d
        if node.attributes["relu"]:
            kind = self.torch.ao.nn.intrinsic.quantized.ConvReLU2d
        stride, padding, dilation = (pair(node, name) for name in ("stride", "padding", "dilation"))
        module = kind(per_group * groups, out_channels, tuple(kernel), stride, padding, dilation, groups)
        return self._weighted(module, node)

    def linear(self, node: Node) -> Any:
        features_out, features_in = self.graph.constants[node.inputs[1]].shape
        kind = self.torch.ao.nn.quantized.Linear
        if node.attributes["relu"]:
            kind = self.torch.ao.nn.intrinsic.quantized.LinearReLU
        return self._weighted(kind(features_in, features_out), node)

    def _weighted(self, module: Any, node: Node) -> Any:
        """`module` with the node's numbers; its weights have one scale a channel whatever they were made with."""
        torch = self.torch
        weight, bias = node.inputs[1:]
        scales = torch.from_numpy(grid(self.graph.values[weight]).scale.astype(np.float64))
        codes = torch.from_numpy(self.graph.constants[weight].copy())
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        steps = grid(self.graph.values[bias]).scale
        real = real_bias(self.graph.constants[bias], steps, node.name)
        module.set_weight_bias(
            torch._make_per_channel_quantized_tensor(codes, scales, zeros, 0), torch.from_numpy(real)
        )
        accumulator = self.graph.values[node.name].spec.dtype == "int32"
        quant = stand_in_grid(self.graph, node) if accumulator else self.grid(node.name)
        module.scale, module.zero_point = float(quant.scalar), quant.zero_point
        return module

    # --- operations on codes -------------------------------------------------------------------------------------

    def add(self, node: Node) -> Any:
        ops, (scale, zero_point) = self.torch.ops.quantized, self.numbers(node)
        compute = ops.add_relu if node.attributes["relu"] else ops.add
        return self.leaf("Add", lambda x, y: compute(x, y, scale, zero_point))

    def multiply(self, node: Node) -> Any:
        compute, (scale, zero_point) = self.torch.ops.quantized.mul, self.numbers(node)
        return self.leaf("Multiply", lambda x, y: compute(x, y, scale, zero_point))

    def concat(self, node: Node) -> Any:
        compute, (scale, zero_point) = self.torch.ops.quantized.cat, self.numbers(node)
        axis = whole(node, "axis")
        return self.leaf("Concat", lambda *parts: compute(list(parts), axis, scale, zero_point))

    def lookup(self, node: Node) -> Any:
        torch, (scale, zero_point) = self.torch, self.numbers(node)
        function, table = str(node.attributes["function"]), self.graph.constants[node.inputs[1]]
        theirs = self._their_function(node, table)
        if theirs is not None:
            return self.leaf("Function", theirs)
        found = best_form(torch, function, table, self.grid(node.inputs[0]), self.grid(node.name))
        if found is None:
            raise self.unsupported(node, f"of {function!r} is no function that torch has under that name")
        form, distance = found
        if distance.max() > 1:
            raise self.unsupported(
                node,
                f"of {function!r} differs from torch's function by up to {distance.max()} steps, "
                f"in {np.count_nonzero(distance)} of 256 codes",
            )
        if distance.any():
            self.rounded[node.name] = int(np.count_nonzero(distance))
        parameters: Any = node.attributes.get("parameters")
        self.tables[node.name] = Table(function, table, parameters)
        quint8 = torch.quint8
        return self.leaf(
            "Function", lambda x: torch.quantize_per_tensor(form(x.dequantize()), scale, zero_point, quint8)
        )

    def _their_function(self, node: Node, table: np.ndarray) -> Callable[[Any], Any] | None:
        """torch's own function on codes, where EdgeCortix's compiler makes the node's very table of it."""
        source, target, torch = self.grid(node.inputs[0]), self.grid(node.name), self.torch
        name, (scale, zero_point) = node.attributes["function"], self.numbers(node)
        if name == "hardswish" and np.array_equal(table, host_tables.hardswish(source, target)):
            return lambda x: torch.ops.quantized.hardswish(x, scale, zero_point)
        if name == "sigmoid" and target == host_tables.SIGMOID and np.array_equal(table, host_tables.sigmoid(source)):
            return lambda x: torch.sigmoid(x)
        if name == "hardsigmoid" and target == source and np.array_equal(table, host_tables.hardsigmoid(source)):
            return lambda x: torch.nn.functional.hardsigmoid(x)
        return None

    def relu(self, node: Node) -> Any:
        return self.torch.nn.ReLU()

    def avg_pool2d(self, node: Node) -> Any:
        sizes = (pair(node, name) for name in ("kernel", "stride", "padding"))
        return self.torch.nn.AvgPool2d(*sizes, count_include_pad=bool(node.attributes["count_frame"]))

    def host_mean(self, node: Node) -> Any:
        return self.leaf("Mean", lambda x: x.mean([2, 3], keepdim=True))

    def max_pool2d(self, node: Node) -> Any:
        sizes = (pair(node, name) for name in ("kernel", "stride", "padding", "dilation"))
        return self.torch.nn.MaxPool2d(*sizes, ceil_mode=bool(node.attributes["ceil_mode"]))

    def global_avg_pool(self, node: Node) -> Any:
        return self.torch.nn.AdaptiveAvgPool2d(1)

    def upsample_nearest(self, node: Node) -> Any:
        return self.torch.nn.Upsample(scale_factor=2.0, mode="nearest")

    def upsample_bilinear(self, node: Node) -> Any:
        return self.torch.nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)

    # --- operations that move codes ------------------------------------------------------------------------------

    def reshape(self, node: Node) -> Any:
        shape, before = wholes(node, "shape"), self.graph.values[node.inputs[0]].spec.shape
        if len(shape) == 2 and shape[0] == before[0]:
            return self.torch.nn.Flatten()  # whatever the batch
        return self.leaf("Reshape", lambda x: x.reshape(shape))

    def pad(self, node: Node) -> Any:
        top, bottom, left, right = wholes(node, "amounts")
        # torch quantizes the value: 0.0 becomes the zero point
        compute = self.torch.constant_pad_nd
        return self.leaf("Pad", lambda x: compute(x, [left, right, top, bottom], 0.0))

    def slice(self, node: Node) -> Any:
        axis, begin, end = (whole(node, name) for name in ("axis", "begin", "end"))
        compute = self.torch.ops.aten.slice.Tensor
        return self.leaf("Slice", lambda x: compute(x, axis, begin, end, 1))

    def transpose(self, node: Node) -> Any:
        order = wholes(node, "order")
        return self.leaf("Transpose", lambda x: x.permute(order).contiguous())

    # --- helpers -------------------------------------------------------------------------------------------------

    def grid(self, name: str) -> QuantParams:
        """Grid of an activation: codes 0..255.

        Raises:
            QuantizationError: it uses other codes, which torch's quantized tensors cannot say.
        """
        quant = grid(self.graph.values[name])
        if (quant.quant_min, quant.quant_max) != (0, 255):
            raise QuantizationError(
                f"layer {name} uses the codes {quant.quant_min}..{quant.quant_max}, expected 0..255: TorchScript "
                "cannot say others. Quantize with activation_bits=8 or 7, which both allow all codes"
            )
        return quant

    def numbers(self, node: Node) -> tuple[float, int]:
        """Scale and zero point of a node's result."""
        quant = self.grid(node.name)
        return float(quant.scalar), quant.zero_point

    def leaf(self, kind: str, compute: Callable[..., Any]) -> Any:
        """A module of one operation; `kind` names its class, in which EdgeCortix's importer wants no "Conv"."""

        def forward(_: Any, *tensors: Any) -> Any:
            return compute(*tensors)

        return type(kind, (self.torch.nn.Module,), {"forward": forward, "__module__": __name__})()


def real_bias(codes: np.ndarray, steps: np.ndarray, layer: str) -> np.ndarray:
    """A float32 bias that `arithmetic.quantize_bias` brings back to its codes.

    Args:
        codes: int32 ``(channels,)``.
        steps: float32 ``(channels,)``, real units a code.
        layer: named in the error.

    Returns:
        float32 ``(channels,)``.

    Raises:
        QuantizationError: no float32 has those codes; from 2**22 on that happens to codes that come from none.
    """
    real = codes.astype(np.float64) * steps.astype(np.float64)
    found = real.astype(np.float32)
    for offset in (0, 1, -1, 2, -2, 3, -3):
        wrong = arithmetic.quantize_bias(found, steps, layer) != codes
        if not wrong.any():
            return found
        nearby = real.astype(np.float32)
        for _ in range(abs(offset)):
            nearby = np.nextafter(nearby, np.float32(np.copysign(np.inf, offset)))
        found = np.where(wrong, nearby, found)
    channel = int(np.flatnonzero(wrong)[0])
    raise QuantizationError(
        f"layer {layer}: no float32 bias gives channel {channel} its bias code {codes[channel]} at scale "
        f"{steps[channel]:g}; TorchScript keeps biases as float32. Give the channel a larger weight scale, so that its "
        "bias is fewer than 2**22 steps"
    )


WRITER_RULES: dict[str, Callable[[Exporter, Node], Any]] = {
    "add": Exporter.add,
    "avg_pool2d": Exporter.avg_pool2d,
    "concat": Exporter.concat,
    "conv2d": Exporter.conv2d,
    "dequantize": Exporter.dequantize,
    "global_avg_pool": Exporter.global_avg_pool,
    "host_mean": Exporter.host_mean,
    "linear": Exporter.linear,
    "lookup": Exporter.lookup,
    "max_pool2d": Exporter.max_pool2d,
    "multiply": Exporter.multiply,
    "pad": Exporter.pad,
    "quantize": Exporter.quantize,
    "relu": Exporter.relu,
    "reshape": Exporter.reshape,
    "slice": Exporter.slice,
    "transpose": Exporter.transpose,
    "upsample_bilinear": Exporter.upsample_bilinear,
    "upsample_nearest": Exporter.upsample_nearest,
}
