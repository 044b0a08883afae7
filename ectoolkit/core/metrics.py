"""How far a candidate is from a reference.  Everything is computed in float64; ``e = x - y``.

Names are ectoolkit's own so that none can be mistaken: "SNR" elsewhere is linear here and decibels there.
"""

from __future__ import annotations

import numpy as np


def _pair(reference: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(reference, np.float64).ravel(), np.asarray(candidate, np.float64).ravel()


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``20·log10(‖x‖ / ‖e‖)`` in decibels; +inf where equal, -inf where the reference is 0 and the candidate is not.

    Source:
        torch ``ao/ns/fx/utils.py``; onnxruntime ``qdq_loss_debug.py``.
    """
    x, y = _pair(reference, candidate)
    signal, noise = float(np.linalg.norm(x)), float(np.linalg.norm(x - y))
    if noise == 0:
        return float("inf")
    return float("-inf") if signal == 0 else float(20 * np.log10(signal / noise))


def cosine(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Cosine of the angle between the two; 1 where both are zero, 0 where one is.  Never NaN.

    Source:
        ai-edge-quantizer.
    """
    x, y = _pair(reference, candidate)
    lengths = float(np.linalg.norm(x)), float(np.linalg.norm(y))
    if 0.0 in lengths:
        return 1.0 if lengths == (0.0, 0.0) else 0.0
    return float(x @ y / (lengths[0] * lengths[1]))


def nmse(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``Σe² / Σx²``; 0 where equal, inf where only the reference is zero.

    Source:
        NNCF ``rank_functions.py``.
    """
    x, y = _pair(reference, candidate)
    signal, noise = float(x @ x), float((x - y) @ (x - y))
    if noise == 0:
        return 0.0
    return noise / signal if signal else float("inf")


def psnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """``10·log10(range² / MSE)`` in decibels, range = max(x) - min(x); 100 where MSE is 0.

    Source:
        EdgeCortix MERA ``quantization_quality.py``: below 20 poor, 20-25 acceptable, 25-30 good, above 30 very good.
    """
    x, y = _pair(reference, candidate)
    mse = float(np.mean((x - y) ** 2))
    if mse == 0:
        return 100.0
    span = float(x.max() - x.min())
    return float(10 * np.log10(span**2 / mse)) if span else float("-inf")


def rmse_over_scale(reference: np.ndarray, candidate: np.ndarray, scale: float) -> float:
    """``√MSE / scale``; a well-set layer sits near 1/√12 ≈ 0.289, above 0.7 is suspicious.

    Source:
        TFLite quantization debugger.
    """
    x, y = _pair(reference, candidate)
    return float(np.sqrt(np.mean((x - y) ** 2)) / scale)


def agreement(reference: np.ndarray, candidate: np.ndarray, k: int = 1) -> float:
    """Share of images whose reference top-1 is among the candidate's top `k`; scores are ``(images, classes)``."""
    best = np.asarray(reference).argmax(axis=1)
    top = np.argsort(-np.asarray(candidate, np.float64), axis=1, kind="stable")[:, :k]
    return float((top == best[:, None]).any(axis=1).mean())
