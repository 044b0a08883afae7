"""A deploy directory that is built again in one session runs its new library."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ectoolkit as ect
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.types import QuantParams


def identity(relu: bool) -> ect.Graph:
    """A 1×1 convolution by one; its ReLU is a constant in the library's code, not a parameter."""
    builder = GraphBuilder("identity")
    x = builder.node("quantize", "quant", [builder.input((1, 1, 2, 3))], QuantParams.uint8(0.1, 128))
    settings = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "relu": relu}
    weight = np.ones((1, 1, 1, 1), np.int8)
    y = builder.weighted("conv2d", "conv", x, weight, np.float32(1), None, QuantParams.uint8(0.1, 128), settings)
    return builder.finish([builder.node("dequantize", "dequant", [y], None, dtype="float32")])


def test_second_build_into_one_folder_runs_the_new_code(tmp_path: Path) -> None:
    x = np.array([[[[-1, 2, -3], [4, -5, 6]]]], np.float32)
    for relu, expected in ((False, x), (True, np.maximum(x, 0))):
        deployment = ect.build(identity(relu), tmp_path / "deploy", reference_input=x)
        with ect.open_device("cpu") as device:
            found = device.run(deployment).outputs[0]
        np.testing.assert_array_equal(found, deployment.references()[0].transpose(0, 3, 1, 2))
        np.testing.assert_allclose(found, expected, atol=0.06)
