"""ectoolkit's rows of ``quantize.py``."""

from __future__ import annotations

import functools
import itertools
from functools import partial
from typing import Any

from contenders import Arrange, Contender, Run, Task

from ectoolkit.frontends.exported import FloatNetwork, capture
from ectoolkit.quantization.calibrated import Calibrated
from ectoolkit.quantization.collection import Collector
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.prediction import Predictor
from ectoolkit.quantization.statistics import Statistics
from ectoolkit.quantization.statistics_file import load_statistics, save_statistics

#: what a change of method may take
LAYER_MS, NETWORK_MS = 20, 150
#: images that tuning starts from: how many there were hardly changes its time
TUNED_IMAGES = 4


@functools.lru_cache(maxsize=1)
def captured(task: Task) -> FloatNetwork:
    """The user's module as the plan that everything works on."""
    return capture(task.module, [(1, *task.images.shape[1:])], name="benchmark")


@functools.lru_cache(maxsize=1)
def few(task: Task) -> Statistics:
    """Statistics of a few images."""
    return Collector(captured(task)).run(task.images[:TUNED_IMAGES])


def calibration(count: int) -> list[Contender]:
    """One row: a whole pass over the images."""
    return [Contender("ectoolkit, all methods' statistics", collect, count)]


def collect(task: Task) -> Arrange:
    """Collects anew each time."""
    network = captured(task)
    few(task)  # warms up
    return lambda: lambda: Collector(network).run(task.images)


def analysis(count: int) -> list[Contender]:
    """One row: cumulative and isolated errors of each layer."""
    return [Contender("ectoolkit, cumulative + isolated", analyse, count)]


def analyse(task: Task) -> Arrange:
    """Measures a model quantized with default settings."""
    from ectoolkit.analysis.measurement import measure

    model = Calibrated(captured(task), few(task)).quantize()
    return lambda: lambda: measure(model, task.looked_at, limit=None)


def tuning() -> list[Contender]:
    """Rows of changes to a network that is quantized already."""
    ways = [("minmax", "mse"), ("mse", "minmax"), ("mse", "percentile"), ("mse", "entropy"), ("mse", "moving_average")]
    return [
        *(Contender(f"one layer, {a} → {b}", partial(_layer, a, b), target_ms=LAYER_MS) for a, b in ways[:4]),
        *(Contender(f"network, {a} → {b}", partial(_network, a, b), target_ms=NETWORK_MS) for a, b in ways),
        Contender("network, from statistics alone (mse)", _first),
    ]


class Tuned:
    """A quantized and predicted network, ready for a change."""

    def __init__(self, task: Task, method: str) -> None:
        self.calibrated = Calibrated(captured(task), few(task))
        self.predictor = Predictor(self.calibrated.network, self.calibrated.statistics)
        self.config = QuantConfig(method=method)
        self.change(method)

    def change(self, method: str) -> Any:
        """Scheme and predictions of all layers."""
        return self.predictor.predict(self.calibrated.quantize(QuantConfig(method=method)).scheme)

    def change_layer(self, name: str, method: str) -> Any:
        """Scheme, and the prediction of one layer."""
        model = self.calibrated.quantize(self.config.tuned(name, method=method))
        return self.predictor.layer(name, model.scheme)


def _network(before: str, after: str, task: Task) -> Arrange:
    """Changes all layers; each run on a network that has not seen the method."""

    def arrange() -> Run:
        tuned = Tuned(task, before)
        return lambda: tuned.change(after)

    return arrange


def _layer(before: str, after: str, task: Task) -> Arrange:
    """Changes one layer after the other, each for the first time."""
    tuned = Tuned(task, before)
    names = itertools.cycle([layer.name for layer in captured(task).layers if not layer.keeps_grid])
    return lambda: partial(tuned.change_layer, next(names), after)


def _first(task: Task) -> Arrange:
    """Everything from statistics alone: their distributions, the weights' codes and what those cost."""
    network, folder = captured(task), task.folder
    path = save_statistics(few(task), folder / "first.ectstats")

    def arrange() -> Run:
        statistics = load_statistics(path)
        return lambda: Predictor(network, statistics).predict(Calibrated(network, statistics).quantize().scheme)

    return arrange
