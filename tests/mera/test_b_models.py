"""Whole networks: EdgeCortix's InterpreterHw equals ours in every logit, its Simulator too, and IP builds."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_zoo import RANDOM, calm
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit.builders.mera.builder import LOG
from ectoolkit.builders.mera.options import SETTINGS
from ectoolkit.core.graph import Graph
from ectoolkit.data.random_weights import random_module
from ectoolkit.errors import BuildError, PrecisionWarning
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.quantization.eager import quantize_eager

pytestmark = [pytest.mark.mera, pytest.mark.slow, pytest.mark.timeout(900)]

IMAGES = 4


@dataclass(frozen=True)
class Case:
    """A quantized network.

    Attributes:
        graph: of it.
        images: float32 ``(IMAGES, 3, 224, 224)``.
        traced: what goes into the compiler as it is; None where it is written from the graph.
    """

    graph: Graph
    images: np.ndarray
    traced: Any = None


def _exported(model: Any) -> Case:
    photos = ect.sample_photos(8 + IMAGES)
    config = ect.QuantConfig(method="minmax", hardware="dna")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # random weights give what they give
        graph = ect.quantize(model, photos[:8], config, door="export")
    return Case(graph, photos[8:].with_preprocess(model.preprocess).batch())


def _random(name: str) -> Callable[[], Case]:
    def make() -> Case:
        torch.manual_seed(0)
        return _exported(ect.load_model(f"torchvision/{name}", weights=None))

    return make


def _googlenet() -> Case:
    """Concatenations; without torchvision's shuffling of the input's channels, which no accelerator does."""
    module, _ = random_module(lambda: calm(RANDOM["googlenet"]()), (1, 3, 224, 224))
    x = np.random.default_rng(0).standard_normal((8 + IMAGES, 3, 224, 224)).astype(np.float32)
    config = ect.QuantConfig(method="minmax", hardware="dna")
    return Case(calibrate(module, x[:8], name="googlenet").quantize(config).graph, x[8:])


def _guide() -> Case:
    """MobileNetV2 with its real weights, the U50 guide's way: 7-bit activations, traced."""
    model = ect.load_model("mobilenet_v2")
    photos = ect.sample_photos(8 + IMAGES).with_preprocess(model.preprocess)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        quantized = quantize_eager(model.module, photos[:8], ect.QuantConfig(activation_bits=7), name="mobilenet_v2")
    return Case(quantized.graph, photos[8:].batch(), quantized.traced)


CASES: dict[str, Callable[[], Case]] = {
    "resnet18": _random("resnet18"),
    "mobilenet_v2": _guide,
    "googlenet": _googlenet,
    "efficientnet_lite0": lambda: _exported(ect.load_model("efficientnet_lite0")),
}
#: what their Simulator would get wrong: it builds for the accelerator nevertheless
REFUSED = {"googlenet": "not only convolutions use them: inception3a.cat"}
#: those that the Simulator runs too; it takes seconds an image
SIMULATED = {"mobilenet_v2": IMAGES, "efficientnet_lite0": 1}


@pytest.mark.parametrize("name", CASES)
def test_model(name: str, mera: Any, table: list[str], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    case = CASES[name]()
    expected = ect.interpret(case.graph, case.images)
    row = f"{name:<20}{IMAGES} images"
    for target in ("InterpreterHw", "Simulator", "IP"):
        if target == "Simulator" and name not in SIMULATED:
            continue
        given = {"reference_input": case.images[:1], "torchscript": case.traced}
        if name in REFUSED and target != "InterpreterHw":
            with pytest.raises(BuildError, match=REFUSED[name]):
                ect.build(case.graph, tmp_path / target, f"mera:{target}", **given)
            with pytest.warns(PrecisionWarning, match=REFUSED[name]):
                deployment = ect.build(case.graph, tmp_path / target, f"mera:{target}", preflight=False, **given)
        else:
            deployment = ect.build(case.graph, tmp_path / target, f"mera:{target}", **given)
        facts = json.loads((deployment.path / SETTINGS).read_text())
        assert facts["torchscript"] == ("written from the graph" if case.traced is None else "as given")
        assert "Compilation finished successfully" in (deployment.path / LOG).read_text()
        size = deployment.manifest.files["deploy.so"].size_bytes
        row += f"; {target} built in {facts['compile_seconds']:.1f} s, deploy.so {size / 1e6:.1f} MB"
        if target == "IP":
            continue
        count = SIMULATED[name] if target == "Simulator" else IMAGES
        with ect.open_device(f"mera:{target}") as device:
            result = device.run(deployment, case.images[:count])
        assert_array_equal(result.outputs[0], expected[0][:count])
        if target == "Simulator":
            metrics = result.metrics
            assert metrics["total_sim_cycles"] > 100_000
            row += f", {metrics['sim_time_us']:.0f} µs, {metrics['total_sim_cycles']:.0f} cycles"
    table.append(row)
