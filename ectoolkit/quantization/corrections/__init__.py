"""Corrections: what makes up for quantization beyond the choice of grids.

Equalization rescales the float network's weights between layers without changing what it computes; bias correction
takes the mean error of each channel out of its bias, by whole runs or as statistics let expect it; AdaRound learns
which way each weight is rounded.
"""

from ectoolkit.quantization.corrections.adaround import round_adaptively
from ectoolkit.quantization.corrections.bias import correct_bias
from ectoolkit.quantization.corrections.equalization import equalize
from ectoolkit.quantization.corrections.expected import correct_expected
from ectoolkit.quantization.corrections.levelling import level

__all__ = ["correct_bias", "correct_expected", "equalize", "level", "round_adaptively"]
