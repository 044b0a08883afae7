"""The operations of the graph, one a file: shape rule, laws and reference; on real numbers in `real`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ectoolkit.core.ops.add import Add
from ectoolkit.core.ops.avg_pool import AvgPool2d
from ectoolkit.core.ops.base import Op
from ectoolkit.core.ops.concat import Concat
from ectoolkit.core.ops.conv_transpose import ConvTranspose2d
from ectoolkit.core.ops.convolution import Conv2d
from ectoolkit.core.ops.global_avg_pool import GlobalAvgPool
from ectoolkit.core.ops.host_mean import HostMean
from ectoolkit.core.ops.linear import Linear
from ectoolkit.core.ops.lookup import Lookup
from ectoolkit.core.ops.max_pool import MaxPool2d
from ectoolkit.core.ops.mean import Mean
from ectoolkit.core.ops.movement import Gather, Slice, Transpose
from ectoolkit.core.ops.multiply import Multiply
from ectoolkit.core.ops.pad import Pad
from ectoolkit.core.ops.precise_add import PreciseAdd
from ectoolkit.core.ops.quantization import Dequantize, Quantize
from ectoolkit.core.ops.real import REAL_OPS
from ectoolkit.core.ops.relu import Relu
from ectoolkit.core.ops.reshape import Reshape
from ectoolkit.core.ops.upsample import UpsampleBilinear, UpsampleNearest

#: every operation by name
OPS: Mapping[str, Op] = MappingProxyType(
    {
        op.name: op
        for op in (
            Add(),
            AvgPool2d(),
            Concat(),
            Conv2d(),
            ConvTranspose2d(),
            Dequantize(),
            Gather(),
            GlobalAvgPool(),
            HostMean(),
            Linear(),
            Lookup(),
            MaxPool2d(),
            Mean(),
            Multiply(),
            Pad(),
            PreciseAdd(),
            Quantize(),
            Relu(),
            Reshape(),
            Slice(),
            Transpose(),
            UpsampleBilinear(),
            UpsampleNearest(),
            *REAL_OPS,
        )
    }
)

__all__ = ["OPS", "Op"]
