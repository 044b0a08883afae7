"""One layer's weights between their two neighbouring codes, and how they learn which to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.frontends.exported import FloatLayer
from ectoolkit.quantization.corrections.bias import activated, channel_means, matching_shift
from ectoolkit.quantization.scheme import LayerScheme, WeightScheme

#: output positions in one step
BATCH = 128
#: of a logit, in a step
LEARNING_RATE = 0.1
#: the sigmoid is stretched by this at both ends and cut, so that it reaches 0 and 1
STRETCH = 0.1
#: what a layer of weights halfway between codes costs, beside its error at nearest rounding.  On MobileNetV2 with 4
#: bits, a fifth of it leaves weights undecided that rounding then spoils, and four times as much decides too early
UNDECIDED_COST = 50.0
#: share of the steps before weights are pressed to decide
FREE = 0.2
#: the cost of a weight is 1 - (2·share - 1)**(2·2**n): at first with this n, which presses only those near a code
SHARPEST = 3
#: with fewer positions than fan-in over this, a layer would learn its positions by heart: it stays as it is
POSITIONS_NEEDED = 4
#: steps between two calls of `Samples.tick`
REPORTED = 10


@dataclass(frozen=True, eq=False)
class Samples:
    """What a layer learns from.

    Attributes:
        inputs: torch float32 ``(groups, positions, fan_in)``, quantized.
        targets: torch float32 ``(positions, channels)``: the float network's result, behind the layer's activation.
        tick: called often; it may raise to cancel.
    """

    inputs: Any
    targets: Any
    tick: Callable[[], None]


def learned_weight(layer: FloatLayer, chosen: LayerScheme, samples: Samples, steps: int, seed: int) -> WeightScheme:
    """The layer's weights with learned codes; those it had where there is too little to learn from, or no gain."""
    assert chosen.weight is not None  # only layers with weights get here
    positions, fan_in = samples.inputs.shape[1:]
    if positions * POSITIONS_NEEDED < fan_in or not chosen.weight.codes.any():
        return chosen.weight
    problem = Rounding(layer, chosen, samples)
    problem.learn(steps, seed)
    codes = problem.codes()
    return chosen.weight if codes is None else WeightScheme(codes, chosen.weight.scales)


class Rounding:
    """One layer's weights between two codes each; all in shape ``(groups, channels / groups, fan_in)``.

    Attributes:
        nearest: torch float32, the codes that the scheme has.
        below: torch float32, the lower of the two codes beside each weight.
        logits: torch float32, learned: which share of one step is added to `below`.
    """

    def __init__(self, layer: FloatLayer, chosen: LayerScheme, samples: Samples) -> None:
        torch = require("torch", feature="AdaRound")
        assert layer.weight is not None
        assert chosen.weight is not None  # both have weights, or there were nothing to round
        groups, positions, fan_in = samples.inputs.shape
        shape = (groups, -1, fan_in)
        self._layer, self._samples = layer, samples
        # copies: a graph that was made of the scheme has locked them, which torch warns of
        self._scales = torch.from_numpy(chosen.weight.scales.copy()).reshape(groups, -1, 1)
        self.nearest = torch.from_numpy(chosen.weight.codes.astype(np.float32)).reshape(shape)
        weight = torch.from_numpy(layer.weight).reshape(shape) / self._scales
        largest = float(self.nearest.abs().max())  # the largest weight has the largest code that the bits allow
        self.below = weight.floor().clamp(-largest, largest - 1)
        share = (weight - self.below).clamp(0, 1)
        self._exact = self.below + share
        self.logits = torch.logit((share + STRETCH) / (1 + 2 * STRETCH)).requires_grad_()
        bias = torch.zeros(len(layer.weight)) if chosen.bias is None else torch.from_numpy(chosen.bias)
        with torch.no_grad():
            sums = self._sums(self._exact, samples.inputs) + bias
            # what the layers before do to the mean is left to the bias, not learned into weights
            self._bias = bias + matching_shift(layer, [sums], channel_means(samples.targets))
            self._spread = samples.inputs.var(1, correction=0)[:, None]
            self._unit = self._error(self.nearest).clamp(min=1e-30)
        self._doubt = fan_in / (fan_in + positions)

    def learn(self, steps: int, seed: int) -> None:
        """Adam on the logits, on other positions in each step."""
        torch = require("torch", feature="AdaRound")
        optimizer = torch.optim.Adam([self.logits], LEARNING_RATE, fused=True)
        draw = torch.Generator().manual_seed(seed)
        positions = self._samples.inputs.shape[1]
        for step in range(steps):
            rows = torch.randperm(positions, generator=draw)[:BATCH] if positions > BATCH else slice(None)
            loss = self._loss(rows, (step / steps - FREE) / (1 - FREE))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % REPORTED == 0:
                self._samples.tick()

    def codes(self) -> np.ndarray | None:
        """int8, in the shape of the layer's weights: the learned ones; None where they are no better than nearest."""
        torch = require("torch", feature="AdaRound")
        assert self._layer.weight is not None  # see above
        with torch.no_grad():
            rounded = self.below + (self.logits >= 0)
            better = self._cost(rounded, slice(None)) < self._cost(self.nearest, slice(None))
        return rounded.numpy().astype(np.int8).reshape(self._layer.weight.shape) if better else None

    def _loss(self, rows: Any, phase: float) -> Any:
        """The codes' cost, and from phase 0 to 1 ever more pressure to decide."""
        share = (self.logits.sigmoid() * (1 + 2 * STRETCH) - STRETCH).clamp(0, 1)
        loss = self._cost(self.below + share, rows)
        if phase > 0:
            certain = (2 * share - 1).square()
            for _ in range(round(SHARPEST * (1 - phase))):
                certain = certain.square()
            loss = loss + UNDECIDED_COST * (1 - certain).mean()
        return loss

    def _cost(self, codes: Any, rows: Any) -> Any:
        """The result's error; part of it as if inputs were independent, the more the fewer positions there are.

        Few positions make inputs look related that are not, and weights would be rounded for relations that other
        images do not have.
        """
        apart = ((codes - self._exact) * self._scales).square() * self._spread
        return ((1 - self._doubt) * self._error(codes, rows) + self._doubt * apart.sum()) / self._unit

    def _error(self, codes: Any, rows: Any = slice(None)) -> Any:
        """Squared error of the layer's result, summed over channels, mean of positions."""
        result = activated(self._layer, self._sums(codes, self._samples.inputs[:, rows]) + self._bias)
        return (result - self._samples.targets[rows]).square().sum(1).mean()

    def _sums(self, codes: Any, inputs: Any) -> Any:
        """``(positions, channels)``, before bias and activation."""
        weights = codes * self._scales
        if weights.shape[1] == 1:  # depthwise: products of many tiny matrices are slow
            return (inputs * weights).sum(2).T
        return (inputs @ weights.transpose(1, 2)).transpose(0, 1).reshape(inputs.shape[1], -1)
