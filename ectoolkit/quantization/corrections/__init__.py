"""Corrections: what makes up for quantization beyond the choice of grids.

Equalization rescales the float network's weights between layers without changing what it computes; bias correction
takes the mean error of each channel out of its bias; AdaRound learns which way each weight is rounded.
"""

from ectoolkit.quantization.corrections.adaround import round_adaptively
from ectoolkit.quantization.corrections.bias import correct_bias
from ectoolkit.quantization.corrections.equalization import equalize

__all__ = ["correct_bias", "equalize", "round_adaptively"]
