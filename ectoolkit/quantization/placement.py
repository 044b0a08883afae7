"""Which layers run on codes and which in float: one rule for the integer graph and for its simulation."""

from __future__ import annotations

from ectoolkit.core.ops import OPS
from ectoolkit.frontends.exported import FloatLayer, FloatNetwork
from ectoolkit.quantization.scheme import Scheme


def float_layers(network: FloatNetwork, scheme: Scheme) -> set[str]:
    """Names of the layers whose result is real numbers, not codes.

    These are the layers kept in float, those without an integer form, and those that only move what such layers give.
    Inputs of the network always become codes.
    """
    found: set[str] = set()
    for layer in network.layers:
        if scheme[layer.name].keep_float or _has_no_integer_form(layer) or _moves_reals(layer, found):
            found.add(layer.name)
    return found


def _has_no_integer_form(layer: FloatLayer) -> bool:
    return bool(layer.constants) or (layer.op in OPS and OPS[layer.op].real)


def _moves_reals(layer: FloatLayer, in_float: set[str]) -> bool:
    follows = layer.op in OPS and {"uint8", "float32"} <= set(OPS[layer.op].input_dtypes[0])
    return follows and in_float.issuperset(layer.inputs)
