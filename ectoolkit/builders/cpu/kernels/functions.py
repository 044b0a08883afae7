"""The functions of `ectoolkit.core.functions` as expressions in float64, by the same names."""

from __future__ import annotations

import math

from tvm import tirx


def const(value):
    return tirx.const(value, "float64")


def positive_part(x):
    return tirx.max(x, const(0))


def sigmoid(x):
    return const(0.5) * (const(1) + tirx.tanh(const(0.5) * x))


def hardsigmoid(x):
    return clamp(x / const(6) + const(0.5), 0, 1)


def clamp(x, low, high):
    return tirx.max(tirx.min(x, const(high)), const(low))


def log1p_exp(x):
    """``log(1 + exp(x))`` for x <= 0, to a relative error of float64's last digits wherever it is seen in float32."""
    return tirx.call_pure_extern("float64", "log1p", tirx.exp(x))


def softplus(x, beta, threshold):
    scaled = const(beta) * x
    smooth = (positive_part(scaled) + log1p_exp(-tirx.abs(scaled))) / const(beta)
    return tirx.Select(scaled > const(threshold), x, smooth)


def erf(x):
    return tirx.call_pure_extern("float64", "erf", x)


def expm1(x):
    return tirx.call_pure_extern("float64", "expm1", x)


def gelu_tanh(x):
    inner = const(math.sqrt(2 / math.pi)) * (x + const(0.044715) * x * x * x)
    return const(0.5) * x * (const(1) + tirx.tanh(inner))


def elu(x, alpha, scale, input_scale):
    below = const(alpha) * expm1(tirx.min(x, const(0)) * const(input_scale))
    return const(scale) * tirx.Select(x >= const(0), x, below)


def sign(x):
    below = tirx.Select(x < const(0), const(-1), const(0))
    return tirx.Select(x > const(0), const(1), below)


def power(x, y):
    return tirx.call_pure_extern("float64", "pow", x, y)


FUNCTIONS = {
    "abs": tirx.abs,
    "at_least": lambda x, low: tirx.max(x, const(low)),
    "at_most": lambda x, high: tirx.min(x, const(high)),
    "base": lambda x, base: power(const(base), x),
    "ceil": tirx.ceil,
    "clamp": clamp,
    "cos": tirx.cos,
    "elu": elu,
    "erf": erf,
    "exp": tirx.exp,
    "expm1": expm1,
    "floor": tirx.floor,
    "gelu": lambda x: const(0.5) * x * (const(1) + erf(x / const(math.sqrt(2)))),
    "gelu_tanh": gelu_tanh,
    "hardshrink": lambda x, edge: tirx.Select(tirx.abs(x) > const(edge), x, const(0)),
    "hardsigmoid": hardsigmoid,
    "hardswish": lambda x: x * hardsigmoid(x),
    "leaky_relu": lambda x, slope: tirx.Select(x >= const(0), x, const(slope) * x),
    "log": tirx.log,
    "log10": tirx.log10,
    "log1p": lambda x: tirx.call_pure_extern("float64", "log1p", x),
    "log2": tirx.log2,
    "log_sigmoid": lambda x: tirx.min(x, const(0)) - log1p_exp(-tirx.abs(x)),
    "minus": lambda x, term: x - const(term),
    "minus_from": lambda x, term: const(term) - x,
    "mish": lambda x: x * tirx.tanh(softplus(x, 1.0, 20.0)),
    "neg": lambda x: -x,
    "over": lambda x, divisor: x / const(divisor),
    "over_into": lambda x, dividend: const(dividend) / x,
    "plus": lambda x, term: x + const(term),
    "pow": lambda x, exponent: power(x, const(exponent)),
    "reciprocal": lambda x: const(1) / x,
    "relu": positive_part,
    "rsqrt": lambda x: const(1) / tirx.sqrt(x),
    "sigmoid": sigmoid,
    "sign": sign,
    "silu": lambda x: x * sigmoid(x),
    "sin": tirx.sin,
    "softplus": softplus,
    "softshrink": lambda x, edge: sign(x) * positive_part(tirx.abs(x) - const(edge)),
    "sqrt": tirx.sqrt,
    "square": lambda x: x * x,
    "tanh": tirx.tanh,
    "threshold": lambda x, edge, value: tirx.Select(x > const(edge), x, const(value)),
    "times": lambda x, factor: x * const(factor),
}
