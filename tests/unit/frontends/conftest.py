"""Quantized, traced modules made by torch's own calls, not by ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao import quantization as tq

#: quantizes and traces a module: module, example, groups to fuse, qconfig
Trace = Callable[..., Any]


def quantize_and_trace(
    net: nn.Module,
    example: torch.Tensor | tuple[torch.Tensor, ...],
    fuse: Sequence[Sequence[str]] = (),
    config: Any = None,
) -> Any:
    """The U50 guide's steps."""
    examples = example if isinstance(example, tuple) else (example,)
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net = net.eval()
        if fuse:
            net = tq.fuse_modules(net, [list(group) for group in fuse])
        net.qconfig = config or tq.get_default_qconfig("fbgemm")
        tq.prepare(net, inplace=True)
        net(*examples)
        tq.convert(net, inplace=True)
        traced = torch.jit.trace(net, examples)
    torch.backends.quantized.engine = engine
    return traced


@pytest.fixture
def trace() -> Trace:
    torch.manual_seed(0)
    return quantize_and_trace
