"""The operations of the integer graph, one a file: shape rule, laws and integer reference."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ectoolkit.core.ops.add import Add
from ectoolkit.core.ops.base import Op
from ectoolkit.core.ops.concat import Concat
from ectoolkit.core.ops.convolution import Conv2d
from ectoolkit.core.ops.global_avg_pool import GlobalAvgPool
from ectoolkit.core.ops.linear import Linear
from ectoolkit.core.ops.lookup import Lookup
from ectoolkit.core.ops.max_pool import MaxPool2d
from ectoolkit.core.ops.movement import Slice, Transpose
from ectoolkit.core.ops.multiply import Multiply
from ectoolkit.core.ops.pad import Pad
from ectoolkit.core.ops.quantization import Dequantize, Quantize
from ectoolkit.core.ops.relu import Relu
from ectoolkit.core.ops.reshape import Reshape
from ectoolkit.core.ops.upsample import UpsampleBilinear, UpsampleNearest

#: every operation by name
OPS: Mapping[str, Op] = MappingProxyType(
    {
        op.name: op
        for op in (
            Add(),
            Concat(),
            Conv2d(),
            Dequantize(),
            GlobalAvgPool(),
            Linear(),
            Lookup(),
            MaxPool2d(),
            Multiply(),
            Pad(),
            Quantize(),
            Relu(),
            Reshape(),
            Slice(),
            Transpose(),
            UpsampleBilinear(),
            UpsampleNearest(),
        )
    }
)

__all__ = ["OPS", "Op"]
