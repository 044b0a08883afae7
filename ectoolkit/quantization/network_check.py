"""What a float network's weights and calibration may hold that no quantization can mend."""

from __future__ import annotations

import numpy as np

from ectoolkit._notices import warn
from ectoolkit.errors import PrecisionWarning, QuantizationError
from ectoolkit.frontends.exported import FloatNetwork

#: share of a layer's channels: training leaves some without weights, in EfficientNet-Lite0 up to 3 %
_FEW = 0.1


def check_weights(network: FloatNetwork) -> None:
    """Look through all weights and biases.

    Raises:
        QuantizationError: one is NaN or infinite; names the layer and how many.

    Warns:
        PrecisionWarning: more than a tenth of a layer's output channels are without any weight; names the layers.
    """
    dead = []
    for layer in network.layers:
        for kind, array in (("weight", layer.weight), ("bias", layer.bias)):
            if array is not None and not np.isfinite(array).all():
                raise QuantizationError(
                    f"layer {layer.name}: {int((~np.isfinite(array)).sum())} of {array.size} numbers of its {kind} are "
                    "NaN or infinite. Look at the checkpoint: the model gives no results in float either"
                )
        if layer.weight is not None:
            empty = int((~layer.weight.reshape(len(layer.weight), -1).any(axis=1)).sum())
            if empty > _FEW * len(layer.weight):
                dead.append(f"{layer.name} ({empty} of {len(layer.weight)})")
    if dead:
        warn(
            f"{network.name}: output channels without any weight in {', '.join(dead)}: they give their bias whatever "
            "the image. A pruned model is like that; else look at the checkpoint",
            PrecisionWarning,
            stacklevel=3,
        )


def warn_of_few_images(name: str, images: int) -> None:
    """Warn where the calibration saw a single image.

    Warns:
        PrecisionWarning: says what that costs.
    """
    if images == 1:
        warn(
            f"{name} was calibrated with a single image, and its ranges fit that image: with EfficientNet-Lite0 that "
            "cost 3.4 dB at the outputs, and a third of the photos changed class. Give 32 or more that look like yours",
            PrecisionWarning,
            stacklevel=3,
        )
