"""How far weights' codes are from the float weights."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ectoolkit.core.metrics import ErrorSums
from ectoolkit.quantization.scheme import WeightScheme

#: weights stay as they are while their scheme lives, and a table asks again after each change of settings
_KNOWN: WeakKeyDictionary[WeightScheme, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def weight_sums(weight: np.ndarray, scheme: WeightScheme) -> ErrorSums:
    """Signal and noise of all weights of a layer.

    Args:
        weight: float32 OIHW or OI.
        scheme: its codes.

    Returns:
        Only `count`, `signal` and `noise` are filled in.
    """
    signal, noise = channel_powers(weight, scheme)
    return ErrorSums(weight.size, float(signal.sum()), float(noise.sum()))


def channel_powers(weight: np.ndarray, scheme: WeightScheme) -> tuple[np.ndarray, np.ndarray]:
    """Σx² and Σe² of each output channel, float64 ``(channels,)``, real units squared."""
    if scheme not in _KNOWN:
        rows = np.ascontiguousarray(weight).reshape(len(weight), -1)
        error = rows - scheme.real.reshape(rows.shape)
        _KNOWN[scheme] = _powers(rows), _powers(error)
    return _KNOWN[scheme]


def _powers(rows: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", rows, rows, dtype=np.float32).astype(np.float64)
