"""Placeholder being written."""

from typing import Any


def correct_bias(network: Any, scheme: Any, images: Any, progress: Any = None) -> Any:
    raise NotImplementedError
