"""Each family of ATen operations, end to end: captured, put on grids, interpreted, compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from ectoolkit.core.metrics import sqnr_db
from ectoolkit.testing.captured import close_and_equal

T = torch.Tensor
SHAPE = (1, 8, 6, 6)


class Calls(nn.Module):
    """Returns what each function makes of itself, for its parameters, and a convolution of the input."""

    def __init__(self, *calls: Callable[[nn.Module, T], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.calls = calls
        self.stem = nn.Conv2d(8, 8, 1)
        self.channel = nn.Parameter(torch.rand(8, 1, 1) + 0.5)
        self.image = nn.Parameter(torch.randn(1, 8, 6, 6))
        self.slopes = nn.Parameter(torch.rand(8))
        self.norm, self.groups, self.instance = nn.LayerNorm(6), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1)
        self.grouped_up = nn.ConvTranspose2d(8, 4, (2, 3), stride=(2, 1), groups=2, bias=False)
        self.same, self.line = nn.Conv2d(8, 5, (2, 3), padding="same"), nn.Conv1d(8, 4, 3, padding=1)
        self.fc, self.wide = nn.Linear(6, 5), nn.Linear(8 * 36, 7)
        self.norm1, self.flat_norm = nn.BatchNorm2d(8).eval(), nn.BatchNorm1d(7).eval()

    def forward(self, x: T) -> tuple[object, ...]:
        x = self.stem(x)
        return tuple(call(self, x) for call in self.calls)


FAMILIES: dict[str, list[Callable[[nn.Module, T], object]]] = {
    "functions": [
        lambda m, x: F.relu(x),
        lambda m, x: F.hardtanh(x, -0.5, 0.7),
        lambda m, x: x.clamp(min=-0.3),
        lambda m, x: torch.tanh(x) * 2,
        lambda m, x: F.mish(F.softplus(x) - 1),
        lambda m, x: F.gelu(F.elu(x), approximate="tanh"),
        lambda m, x: (x.abs() + 0.1).sqrt(),
        lambda m, x: 1 / (x.exp() + 1),
        lambda m, x: F.leaky_relu(-x, 0.2) ** 2,
        lambda m, x: F.prelu(x, m.slopes),
    ],
    "arithmetic": [
        lambda m, x: x * m.channel,
        lambda m, x: torch.relu(x + m.channel[0]),
        lambda m, x: m.channel - x,
        lambda m, x: x / m.channel,
        lambda m, x: m.image - x,
        lambda m, x: x - torch.sigmoid(x),
        lambda m, x: x + x.mean((2, 3), keepdim=True),
        lambda m, x: x * torch.sigmoid(x.mean(1, keepdim=True)),
        lambda m, x: torch.maximum(x, m.image),
        lambda m, x: x / (x.abs().amax((1, 2, 3), keepdim=True) + 1),
        lambda m, x: x + x,
    ],
    "normalization": [
        lambda m, x: m.norm(x),
        lambda m, x: F.relu(m.groups(x)),
        lambda m, x: m.stem(m.instance(x)),
        lambda m, x: F.softmax(x, 1),
        lambda m, x: F.log_softmax(x.flatten(1), 1),
        lambda m, x: m.norm1(x),
        lambda m, x: m.flat_norm(m.wide(x.flatten(1))),
    ],
    "matrices": [
        lambda m, x: m.fc(x),
        lambda m, x: m.fc(x.flatten(2).transpose(1, 2).reshape(1, 48, 6)),
        lambda m, x: F.scaled_dot_product_attention(x, x, x),
        lambda m, x: (x @ x.transpose(-1, -2)).softmax(-1) @ x,
        lambda m, x: torch.bmm(x[0], x[0].mT),
    ],
    "convolutions": [
        lambda m, x: F.relu(m.up(x)),
        lambda m, x: m.grouped_up(x),
        lambda m, x: m.same(x),
        lambda m, x: F.relu(m.line(x.flatten(2))),
        lambda m, x: F.avg_pool2d(x, 3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        lambda m, x: F.avg_pool2d(x, 2, 2, divisor_override=3),
        lambda m, x: F.avg_pool2d(x, 3, 2, padding=1),
        lambda m, x: F.adaptive_avg_pool2d(x, (4, 3)),
        lambda m, x: F.max_pool2d(m.groups(x), 3, 2, padding=1),
        lambda m, x: F.adaptive_avg_pool2d(m.groups(x), 1),
    ],
    "resizing": [
        lambda m, x: F.interpolate(x, scale_factor=3),
        lambda m, x: F.interpolate(x, size=(9, 5), mode="nearest-exact"),
        lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        lambda m, x: F.interpolate(x, size=(9, 13), mode="bilinear", align_corners=True),
        lambda m, x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
        lambda m, x: F.interpolate(x, size=(4, 11), mode="bicubic"),
        lambda m, x: F.pad(x, (1, 2, 0, 3), mode="reflect"),
        lambda m, x: F.pad(x, (1, 2, 0, 3), mode="replicate"),
        lambda m, x: F.pad(m.groups(x), (1, 2, 0, 3)),
        lambda m, x: F.pixel_shuffle(x, 2),
        lambda m, x: F.pixel_unshuffle(x, 3),
        lambda m, x: F.interpolate(m.groups(x), scale_factor=2),
    ],
    "movement": [
        lambda m, x: torch.stack(x.unbind(1), 3),
        lambda m, x: x[:, 2] + x[:, -1],
        lambda m, x: x[:, 1:5, ::2, 3],
        lambda m, x: torch.flip(x, (1, 3)),
        lambda m, x: torch.roll(x, (1, -2), (2, 3)),
        lambda m, x: x.mean((2, 3), keepdim=True).expand(-1, -1, 2, 3),
        lambda m, x: torch.cat([x, m.image], 1),
        lambda m, x: torch.cat(m.groups(x).chunk(2, 1), 2).permute(0, 2, 3, 1),
        lambda m, x: x.max(1)[0],
        lambda m, x: x.sum(3),
        lambda m, x: {"a": x.narrow(2, 1, 3), "b": x.repeat(1, 2, 1, 1)},
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str) -> None:
    net = Calls(*FAMILIES[family]).eval()
    images = np.random.default_rng(0).standard_normal((3, *SHAPE[1:])).astype(np.float32)
    expected, found = close_and_equal(net, [images])
    for position, (reference, output) in enumerate(zip(expected, found, strict=True)):
        assert reference.shape == output.shape
        assert sqnr_db(reference, output) > 25, position
