"""Which tensors of a network may be rescaled together, channel by channel, without changing what it computes.

``f(x / s) = f(x) / s`` holds for ReLU, pools, padding, upsampling and sums; so a scale for each channel can be taken
out of the rows of the layers before and put into the columns of the layers behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ectoolkit.frontends.exported import FloatLayer, FloatNetwork

#: layers that act on each channel alone and for which f(x / s) = f(x) / s where s > 0
HOMOGENEOUS = ("global_avg_pool", "max_pool2d", "mean", "pad", "relu", "upsample_bilinear", "upsample_nearest")
#: the same of lookups, by their function
HOMOGENEOUS_FUNCTIONS = ("leaky_relu", "prelu")


@dataclass(frozen=True, eq=False)
class Group:
    """Tensors that share one scale a channel.

    Attributes:
        channels: how many scales.
        tensors: names, in execution order.
        producers: the layers with weights that they come from.
        consumers: the layers with weights that read them; nothing else does.
    """

    channels: int
    tensors: tuple[str, ...]
    producers: tuple[FloatLayer, ...]
    consumers: tuple[FloatLayer, ...]


def find_groups(network: FloatNetwork) -> list[Group]:
    """All groups, in execution order; inputs and outputs of the network are in none, as their scales are given."""
    ties = _Ties(network)
    by_root: dict[str, list[str]] = {}
    for name in (*network.inputs, *(layer.name for layer in network.layers)):
        by_root.setdefault(ties.root(name), []).append(name)
    free = {name for root, names in by_root.items() if ties.fixed.isdisjoint(names) for name in names}
    groups = []
    for names in by_root.values():
        producers = tuple(layer for layer in network.layers if layer.weight is not None and layer.name in names)
        consumers = tuple(layer for layer in network.layers if layer.weight is not None and layer.inputs[0] in names)
        counts = {len(layer.weight) for layer in producers if layer.weight is not None}
        if names[0] in free and consumers and len(counts) == 1:
            groups.append(Group(counts.pop(), tuple(names), producers, consumers))
    return groups


class _Ties:
    """Which tensors must have equal scales, and whose scales are given.

    Attributes:
        fixed: tensors that cannot be rescaled.
    """

    def __init__(self, network: FloatNetwork) -> None:
        self.fixed = {*network.inputs, *network.outputs}
        self._parents: dict[str, str] = {}
        self._channels = {name: shape[1] for name, shape in network.inputs.items() if len(shape) > 1}
        for layer in network.layers:
            tied, loose = self._inputs(layer)
            for name in tied:
                self._parents[self.root(name)] = self.root(layer.name)
            self.fixed.update(loose)
            if layer.weight is not None:
                self._channels[layer.name] = len(layer.weight)
            elif tied:
                self._channels[layer.name] = self._channels.get(tied[0], 0)
            else:
                self.fixed.add(layer.name)

    def root(self, name: str) -> str:
        """One tensor that stands for all that are tied to this one."""
        while name in self._parents and self._parents[name] != name:
            name = self._parents[name]
        return name

    def _inputs(self, layer: FloatLayer) -> tuple[Sequence[str], Sequence[str]]:
        """Inputs whose scale is the result's, and inputs that cannot be rescaled."""
        if layer.weight is not None:
            return (), ()
        if layer.op in HOMOGENEOUS or layer.op == "add":
            return layer.inputs, ()
        if layer.op == "lookup" and layer.attributes.get("function") in HOMOGENEOUS_FUNCTIONS:
            return layer.inputs, ()
        if layer.op == "reshape" and _keeps_channels(layer.attributes, self._channels.get(layer.inputs[0], 0)):
            return layer.inputs, ()
        if layer.op == "multiply":  # x / s times a gate is (x times the gate) / s
            return layer.inputs[:1], layer.inputs[1:]
        return (), layer.inputs


def _keeps_channels(attributes: Mapping[str, object], channels: int) -> bool:
    """True where each channel stays one run of the second axis: ``(1, C, H, W)`` to ``(1, C, ...)`` or ``(1, C·k)``."""
    shape = attributes["shape"]
    assert isinstance(shape, tuple)
    return channels > 0 and (shape[1] == channels or (len(shape) == 2 and shape[1] % channels == 0))
