"""Forty faults planted in whole networks are found at their layer, both ways; forty clean runs raise no alarm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import ectoolkit as ect
from ectoolkit.analysis.verdict import Location, locate_by_cutting, locate_by_taps
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Trace
from ectoolkit.data import LoadedModel
from ectoolkit.interpreters import interpret, trace
from ectoolkit.testing.faults import INPUT_KINDS, KINDS, Fault, draw
from ectoolkit.workflow.verdicts import judge_devices

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ectoolkit.errors.PrecisionWarning")]
#: name, and what weights it has
NETWORKS = {"efficientnet_lite0": "DEFAULT", "torchvision/resnet18": None}
FAULTS, CLEAN = 20, 20
#: of the images, pixels: the layers are those of a whole image, at a fifth of its work
SIDE = 96


@dataclass(frozen=True)
class Subject:
    """A quantized network, photos for it, and what is right."""

    model: LoadedModel
    graph: Graph
    photos: np.ndarray
    reference: Trace

    def run(self, fault: Fault, graph: Graph, images: np.ndarray) -> list[np.ndarray]:
        """As a device with the fault would."""
        return interpret(fault(graph), fault.inputs(images))


@pytest.fixture(scope="module", params=NETWORKS)
def subject(request: pytest.FixtureRequest) -> Subject:
    model = ect.load_model(request.param, weights=NETWORKS[request.param])
    small = replace(model.preprocess, resize=SIDE, crop=SIDE)
    model = replace(model, preprocess=small, input_shape=(1, 3, SIDE, SIDE))
    photos = ect.sample_photos(CLEAN).with_preprocess(model.preprocess)
    graph = ect.quantize(model, photos[:4])
    images = photos.batch()
    return Subject(model, graph, images, trace(graph, images[:1]))


def faults(subject: Subject) -> Iterator[Fault]:
    """As many as asked for, of all kinds, each of which shows in the outputs."""
    kinds = [*KINDS, *INPUT_KINDS]
    for number in range(FAULTS):
        for seed in range(number, number + 1000, FAULTS):
            fault = draw(subject.graph, kinds[number % len(kinds)], seed, subject.model.preprocess)
            found = subject.run(fault, subject.graph, subject.photos[:1])
            if any((a != b).any() for a, b in zip(found, subject.reference.outputs, strict=True)):
                yield fault
                break


def test_planted_faults_are_located(subject: Subject) -> None:
    images, right, wrong = subject.photos[:1], Counter[str](), []

    def note(way: str, fault: Fault, found: Location | None) -> None:
        assert found is not None
        right[way] += found.layer == fault.layer
        if found.layer != fault.layer:
            wrong.append(f"{way}: {fault.kind} in {fault.layer}, found {found}")
        if fault.kind in INPUT_KINDS:
            assert found.op == "quantize"

    planted = list(faults(subject))
    assert len(planted) == FAULTS
    for fault in planted:
        faulty = trace(fault(subject.graph), fault.inputs(images))
        note("taps", fault, locate_by_taps(subject.reference, faulty))
        cut = locate_by_cutting(subject.reference, images, lambda graph, x, f=fault: subject.run(f, graph, x))  # type: ignore[misc]
        note("cutting", fault, cut)
    print(f"{subject.graph.name}: right layer by taps {right['taps']}, by cutting {right['cutting']} of {FAULTS}")
    assert min(right["taps"], right["cutting"]) >= FAULTS - 1, "\n".join(wrong)


def test_clean_runs_raise_no_alarm(subject: Subject, tmp_path: Path) -> None:
    deployment = ect.build(subject.graph, tmp_path / "deploy", reference_input=subject.photos[:1])
    with ect.open_device("cpu") as device:
        for image in range(CLEAN):
            found = judge_devices(subject.graph, subject.photos[image : image + 1], [(device, deployment)])
            assert found, found.summary()
