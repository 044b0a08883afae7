"""What each operation that has an integer form is called in float."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FLOAT_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "add": "float_add",
        "concat": "concat",
        "conv2d": "float_conv2d",
        "conv_transpose2d": "float_conv_transpose2d",
        "linear": "float_linear",
        "lookup": "float_function",
        "mean": "float_mean",
        "multiply": "float_multiply",
        "subtract": "float_subtract",
    }
)
