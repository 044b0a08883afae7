"""How torch is set while it handles quantized modules, and left as it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet(*messages: str) -> Iterator[None]:
    """torch says of this flow and its file format that they will be removed, which is no concern of the user's.

    Args:
        *messages: patterns of further warnings to leave out.
    """
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        for message in (".*quantized tensor creation functions.*", ".*Converting a tensor to a Python.*", *messages):
            warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def fbgemm_engine(torch: Any) -> Iterator[None]:
    """Pack weights with fbgemm where torch has it, and leave the user's choice as it was."""
    before = torch.backends.quantized.engine
    if "fbgemm" in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = "fbgemm"
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
