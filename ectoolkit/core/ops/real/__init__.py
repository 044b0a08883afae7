"""Operations on real numbers, for what has no integer form: float32 in the graph, float64 within.

Each result is rounded once, to float32.  Sums in another order differ in float64's last bits only, so a compiled
library gives the same float32 in practice, and the same codes wherever the graph goes on with integers.
"""

from ectoolkit.core.ops.real.base import RealOp
from ectoolkit.core.ops.real.binary import BINARY, FloatBinary
from ectoolkit.core.ops.real.convolution import FloatConv2d, FloatConvTranspose2d
from ectoolkit.core.ops.real.function import FloatFunction, FloatPrelu
from ectoolkit.core.ops.real.matmul import FloatAttention, FloatLinear, FloatMatmul
from ectoolkit.core.ops.real.normalization import FloatGroupNorm, FloatLayerNorm
from ectoolkit.core.ops.real.reduction import REDUCTIONS, FloatReduction
from ectoolkit.core.ops.real.resample import FloatResample
from ectoolkit.core.ops.real.softmax import FloatSoftmax

#: one of each
REAL_OPS: tuple[RealOp, ...] = (
    *(FloatBinary(name) for name in BINARY),
    *(FloatReduction(name) for name in REDUCTIONS),
    FloatAttention(),
    FloatConv2d(),
    FloatConvTranspose2d(),
    FloatFunction(),
    FloatGroupNorm(),
    FloatLayerNorm(),
    FloatLinear(),
    FloatMatmul(),
    FloatPrelu(),
    FloatResample(),
    FloatSoftmax(),
)

__all__ = ["REAL_OPS", "RealOp"]
