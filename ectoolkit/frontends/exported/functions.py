"""Functions of one number that become lookup tables, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))  # no overflow, unlike 1 / (1 + exp(-x))


def hardsigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


def hardswish(x: np.ndarray) -> np.ndarray:
    return x * hardsigmoid(x)


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def gelu(approximate: str) -> Function:
    """torch's two forms: ``"none"`` (error function) and ``"tanh"``."""
    if approximate == "tanh":
        return lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def leaky_relu(slope: float) -> Function:
    return lambda x: np.where(x >= 0, x, slope * x)


def elu(alpha: float) -> Function:
    return lambda x: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))


def clamp(low: float, high: float) -> Function:
    return lambda x: np.clip(x, low, high)
