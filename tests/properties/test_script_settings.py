"""Whatever settings a quantization was given, its script gives the same, to the last bit."""

from __future__ import annotations

import enum
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from torch import nn

import ectoolkit as ect
from ectoolkit.cli.deploy_options import Correction, Method
from ectoolkit.quantization.config import ACTIVATION_BITS, CORRECTIONS, HARDWARE, METHODS, WEIGHT_BITS, WEIGHTS
from ectoolkit.workflow.script import Step


class Old(str, enum.Enum):  # noqa: UP042  (people have such)
    MSE = "mse"


def texts(values: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | st.sampled_from(values).map(np.str_)


def integers(values: tuple[int, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | st.sampled_from(values).map(np.int64)


NUMBER = (
    st.floats(0, 1e30) | st.floats(0, 2.0**100, width=32).map(np.float32) | st.integers(0, 9) | st.just(Fraction(1, 3))
)
PAIR = st.tuples(NUMBER, NUMBER).filter(lambda pair: any(pair)).map(lambda pair: (-pair[0], pair[1]))
CLIP = PAIR | PAIR.map(list) | PAIR.map(lambda pair: np.array(pair, np.float64))
PERCENTILE = st.floats(50, 100, exclude_min=True) | st.integers(51, 100) | st.just(np.float32(99.9))
BOOL = st.booleans() | st.booleans().map(np.bool_)
METHOD = texts(METHODS) | st.sampled_from(list(Method)) | st.just(Old.MSE)
OWN = st.fixed_dictionaries(
    {},
    optional={
        "method": METHOD | st.none(),
        "percentile": PERCENTILE,
        "weights": texts(WEIGHTS),
        "weight_bits": integers(WEIGHT_BITS),
        "activation_bits": integers(ACTIVATION_BITS),
        "symmetric": BOOL | st.none(),
        "clip": CLIP,
        "keep_float": BOOL,
    },
)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
CORRECTED = st.sampled_from(
    [*CORRECTIONS, Correction.BIAS, (), ("equalization", "bias"), ["adaround"], [Correction.BIAS]]
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "method": METHOD,
        "percentile": PERCENTILE,
        "weights": texts(WEIGHTS),
        "weight_bits": integers(WEIGHT_BITS),
        "activation_bits": integers(ACTIVATION_BITS),
        "symmetric": BOOL,
        "hardware": texts(HARDWARE),
        "corrections": CORRECTED,
        "layers": st.dictionaries(NAME, OWN | OWN.map(lambda own: ect.LayerConfig(**own)), max_size=3),
        "fuse": st.lists(st.lists(NAME, max_size=3) | st.tuples(NAME, NAME), max_size=2),
    },
)
FLOW = ect.Flow(nn.Conv2d(3, 2, 1))


def again(step: Step) -> ect.QuantConfig:
    """What the script that writes a step down gives to ``flow.quantize.run``."""
    found: list[ect.QuantConfig] = []

    def run(config: ect.QuantConfig | None = None, **own: Any) -> None:
        found.append((config or ect.QuantConfig()).tuned(**own))

    FLOW.log = [step]
    lines = FLOW.to_script().splitlines()
    assert not [line for line in lines if line.startswith("quantize") and " = ..." in line]
    written = "\n".join(line for line in lines if "your Conv2d" not in line and not line.startswith("flow = "))
    exec(written, {"flow": SimpleNamespace(quantize=SimpleNamespace(run=run))})
    return found[0]


def plain(config: ect.QuantConfig) -> dict[str, Any]:
    """All of it; a layer without settings of its own is as one that is not named."""
    own = {name: vars(layer) for name, layer in config.layers.items() if layer != ect.LayerConfig()}
    clips = {name: repr(layer["clip"]) for name, layer in own.items()}  # 0.0 and -0.0 are equal, and differ
    return {**vars(config), "layers": own, "clips": clips}


@settings(max_examples=150)
@given(SETTINGS)
def test_settings_one_by_one_and_all_in_one(given: dict[str, Any]) -> None:
    config = ect.QuantConfig(**given)
    assert plain(again(Step("quantize", (), given))) == plain(config)
    assert plain(again(Step("quantize", (config,), {}))) == plain(config)
