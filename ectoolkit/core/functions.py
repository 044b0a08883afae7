"""Functions of one number, by name: what lookup tables hold and what float layers compute, in float64.

A function may have parameters of its own (a slope, an exponent); they follow the number.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # no overflow, unlike 1 / (1 + exp(-x))


def hardsigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


def softplus(x: np.ndarray, beta: float, threshold: float) -> np.ndarray:
    scaled = beta * x
    smooth = (np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled)))) / beta
    return np.where(scaled > threshold, x, smooth)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def elu(x: np.ndarray, alpha: float, scale: float, input_scale: float) -> np.ndarray:
    """ELU, SELU and CELU: ``scale * (x if x >= 0 else alpha * (exp(input_scale * x) - 1))``."""
    return scale * np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0) * input_scale))


def softshrink(x: np.ndarray, edge: float) -> np.ndarray:
    return np.sign(x) * np.maximum(np.abs(x) - edge, 0)


#: every function by name: float64 array and parameters to float64 array
FUNCTIONS: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {
        "abs": lambda x: np.abs(x),
        "at_least": lambda x, low: np.maximum(x, low),
        "at_most": lambda x, high: np.minimum(x, high),
        "base": lambda x, base: np.power(base, x),
        "ceil": lambda x: np.ceil(x),
        "clamp": lambda x, low, high: np.clip(x, low, high),
        "cos": lambda x: np.cos(x),
        "elu": elu,
        "erf": lambda x: _erf(x),
        "exp": lambda x: np.exp(x),
        "expm1": lambda x: np.expm1(x),
        "floor": lambda x: np.floor(x),
        "gelu": gelu,
        "gelu_tanh": gelu_tanh,
        "hardshrink": lambda x, edge: np.asarray(np.where(np.abs(x) > edge, x, 0.0)),
        "hardsigmoid": hardsigmoid,
        "hardswish": lambda x: x * hardsigmoid(x),
        "leaky_relu": lambda x, slope: np.asarray(np.where(x >= 0, x, slope * x)),
        "log": lambda x: np.log(x),
        "log10": lambda x: np.log10(x),
        "log1p": lambda x: np.log1p(x),
        "log2": lambda x: np.log2(x),
        "log_sigmoid": lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
        "minus": lambda x, term: x - term,
        "minus_from": lambda x, term: term - x,
        "mish": lambda x: x * np.tanh(softplus(x, 1.0, 20.0)),
        "neg": lambda x: -x,
        "over": lambda x, divisor: x / divisor,
        "over_into": lambda x, dividend: dividend / x,
        "plus": lambda x, term: x + term,
        "pow": lambda x, exponent: np.power(x, exponent),
        "reciprocal": lambda x: 1 / x,
        "relu": lambda x: np.maximum(x, 0),
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "sigmoid": sigmoid,
        "sign": lambda x: np.sign(x),
        "silu": lambda x: x * sigmoid(x),
        "sin": lambda x: np.sin(x),
        "softplus": softplus,
        "softshrink": softshrink,
        "sqrt": lambda x: np.sqrt(x),
        "square": lambda x: x * x,
        "tanh": lambda x: np.tanh(x),
        "threshold": lambda x, edge, value: np.asarray(np.where(x > edge, x, value)),
        "times": lambda x, factor: x * factor,
    }
)


def parameter_names(name: str) -> tuple[str, ...]:
    """What the parameters of a known function are called, in order."""
    return tuple(inspect.signature(FUNCTIONS[name]).parameters)[1:]


def function_of(name: str, parameters: Sequence[float] = ()) -> Function:
    """A known function with its parameters filled in: float64 array to float64 array.

    Where it has no value (the root of a negative number) it gives NaN, without a warning.
    """
    filled = partial(FUNCTIONS[name], **dict(zip(parameter_names(name), parameters, strict=True)))

    def quiet(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(filled(x), np.float64)

    return quiet
