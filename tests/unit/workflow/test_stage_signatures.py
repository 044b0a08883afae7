"""What ``help``, ``?`` and Tab say of the stages' `run`: every setting by name, with its values and its default."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from torch import nn

import ectoolkit as ect
from ectoolkit.builders import TARGETS
from ectoolkit.builders.cpu.isa import ISAS
from ectoolkit.errors import QuantizationError
from ectoolkit.interpreters import ENGINES
from ectoolkit.quantization.config import CORRECTIONS, METHODS, WEIGHTS, LayerConfig, QuantConfig
from ectoolkit.quantization.doors import DOORS
from ectoolkit.workflow import BuildStage, DevicePanel, ImportStage, InterpretStage, ModelStage, QuantizeStage

RUNS = [stage.run for stage in (ModelStage, QuantizeStage, InterpretStage, ImportStage, BuildStage, DevicePanel)]


def names(method: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name not in ("self", "progress", "unknown")]


def test_every_setting_of_a_quantization_has_a_name() -> None:
    own = {one.name for one in fields(QuantConfig)}
    assert set(names(QuantizeStage.run)) == {"config", *own, "door", "statistics"}
    assert set(names(QuantizeStage.tune)) == {"layer", *own, *(one.name for one in fields(LayerConfig))}
    assert "clip: 'tuple[float, float] | None' = unchanged" in str(inspect.signature(QuantizeStage.tune))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__qualname__)
def test_every_setting_is_described(run: Callable[..., Any]) -> None:
    described = inspect.getdoc(run) or ""
    missing = [name for name in names(run) if f"\n    {name}: " not in described and f"**{name}: " not in described]
    assert not missing
    assert inspect.signature(run).parameters["progress"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    ("run", "setting", "values"),
    [
        (QuantizeStage.run, "method", METHODS),
        (QuantizeStage.run, "weights", WEIGHTS),
        (QuantizeStage.run, "corrections", CORRECTIONS),
        (QuantizeStage.run, "door", DOORS),
        (InterpretStage.run, "engine", ENGINES),
        (ImportStage.run, "isa", ("host", *ISAS)),
        (BuildStage.run, "target", TARGETS),
    ],
)
def test_values_and_defaults_are_named(run: Callable[..., Any], setting: str, values: tuple[str, ...]) -> None:
    after = (inspect.getdoc(run) or "").partition(f"\n    {setting}: ")[2]
    described = re.split(r"\n    (?=\S)", after)[0]
    assert not [value for value in values if f'"{value}"' not in described]
    default = getattr(QuantConfig(), setting, None) or inspect.signature(run).parameters[setting].default
    if default:
        before = described.partition("the default")[0]
        assert f'"{default}"' == before[before.rindex('"', 0, before.rindex('"')) : before.rindex('"') + 1]


def test_an_unknown_setting_is_refused_as_before() -> None:
    flow = ect.Flow(nn.Conv2d(3, 2, 1).eval(), calibration=np.zeros((2, 3, 4, 4), np.float32))
    for call in (flow.quantize.run, lambda **settings: ect.QuantConfig().tuned(**settings)):
        with pytest.raises(QuantizationError, match=r"^there is no setting 'bits'; there are method, percentile, "):
            call(bits=4)


def test_tab_completes_settings() -> None:
    from IPython.core.completer import IPCompleter, provisionalcompleter

    flow = ect.Flow(nn.Conv2d(3, 2, 1))
    completer = IPCompleter(shell=None, namespace={"flow": flow}, use_jedi=True)

    def offered(code: str) -> list[str]:
        with provisionalcompleter():
            return [found.text for found in completer.completions(code, len(code))]

    assert "method=" in offered("flow.quantize.run(me")
    assert "clip=" in offered("flow.quantize.tune('conv', cl")
