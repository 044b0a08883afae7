"""Small networks of the kinds that torchvision's classifiers are not."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU(inplace=True))


class Bottleneck(nn.Module):
    """YOLO's C2f: split, residual blocks, everything joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.first, self.second = block(half, half), block(half, half)
        self.last = nn.Conv2d(channels + half, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, 1)
        return self.last(torch.cat([left, right, right + self.second(self.first(right))], 1))


class YoloLike(nn.Module):
    """Backbone, pyramid with nearest upsampling, spatial pool, and boxes by softmax over distances."""

    def __init__(self, classes: int = 4, bins: int = 8) -> None:
        super().__init__()
        self.bins = bins
        self.stem = nn.Sequential(block(3, 16, 2), block(16, 32, 2), Bottleneck(32))
        self.deep = nn.Sequential(block(32, 64, 2), Bottleneck(64))
        self.reduce = nn.Conv2d(64, 32, 1)
        self.joined = Bottleneck(64)
        self.boxes, self.scores = nn.Conv2d(64, 4 * bins, 1), nn.Conv2d(64, classes, 1)
        self.register_buffer("places", torch.arange(bins, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shallow = self.stem(x)
        deep = self.reduce(self.deep(shallow))
        pools = [deep]
        for _ in range(2):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        deep = pools[0] + pools[2]
        both = self.joined(torch.cat([F.interpolate(deep, scale_factor=2.0), shallow], 1))
        n, _, rows, columns = both.shape
        distances = self.boxes(both).view(n, 4, self.bins, rows * columns).softmax(2)
        boxes = (distances * self.places.view(1, 1, -1, 1)).sum(2)
        return boxes, torch.sigmoid(self.scores(both))


class UNet(nn.Module):
    """Two levels down and up, by bilinear upsampling with aligned corners and by transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = block(3, 16), block(16, 32), block(32, 48)
        self.join, self.up = block(80, 32), nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.last = nn.Sequential(block(32, 16), nn.Conv2d(16, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.one(x)
        two = self.two(F.max_pool2d(one, 2))
        three = self.three(F.max_pool2d(two, 2))
        up = F.interpolate(three, scale_factor=2, mode="bilinear", align_corners=True)
        return self.last(torch.cat([self.up(self.join(torch.cat([up, two], 1))), one], 1))


class TwoEnds(nn.Module):
    """An image and a vector in, a map and scores out, as a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.vector = block(3, 12, 2), nn.Linear(5, 12)
        self.norm, self.map, self.scores = nn.GroupNorm(3, 12), nn.Conv2d(12, 2, 3, padding=1), nn.Linear(12, 6)

    def forward(self, image: torch.Tensor, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        gate = torch.sigmoid(self.vector(vector))[:, :, None, None]
        x = F.relu(self.norm(self.image(image) * gate))
        return {"map": self.map(x), "scores": self.scores(x.mean((2, 3)))}
