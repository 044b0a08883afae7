"""Random nets, ours against EdgeCortix's InterpreterHw, in every element.

    python tests/helpers/mera_campaign.py --nets 300 --seed 1

Half of them go through torch's eager quantization and its traced file, half through ``ect.quantize(hardware="dna")``
and ``save_torchscript``.  Prints a line for each net that differs or that the compiler refuses, with its seed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mera_joined_adds import interpret_as_theirs
from mera_random_nets import Group, eager_traced, random_group

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.errors import EctoolkitError, PrecisionWarning
from ectoolkit.frontends.torchscript import import_torchscript, to_torchscript

#: nets in one build
TOGETHER = 5
TARGET = "mera:InterpreterHw"


@dataclass(frozen=True)
class Result:
    """One net.

    Attributes:
        seed: of its group.
        index: in it.
        door: ``"eager"`` or ``"export"``.
        said: what it is made of.
        elements, unequal: of its output; 0 elements where there is none.
    unexplained: of the unequal ones, those that their own rule for adds to a concatenation does not give either.
        why: there is none.
    """

    seed: int
    index: int
    door: str
    said: str
    elements: int
    unequal: int
    unexplained: int
    why: str = ""

    def __str__(self) -> str:
        cause = f"{self.unexplained} unexplained" if self.unexplained else "as their add to a concatenation has it"
        what = self.why or f"{self.unequal} of {self.elements} elements differ, {cause}"
        return f"seed {self.seed} net {self.index} ({self.door}; {self.said}): {what}"


def run_group(seed: int, count: int, door: str) -> list[Result]:
    """Make, build and compare some nets; where the build fails, each net alone."""
    group = random_group(seed, count, door == "eager")
    try:
        graph, script = quantized(group, door)
        pairs = compare(graph, script, group.images[0].numpy())
    except EctoolkitError as error:
        if count > 1:
            return [result for index in range(count) for result in run_alone(seed, count, door, index)]
        return [failed(seed, 0, door, group.said[0], error)]
    return [
        compared(seed, index, door, said, *three)
        for index, (said, three) in enumerate(zip(group.said, pairs, strict=True))
    ]


def failed(seed: int, index: int, door: str, said: str, error: Exception) -> Result:
    return Result(seed, index, door, said, 0, 0, 0, f"{type(error).__name__}: {error}")


def compared(
    seed: int, index: int, door: str, said: str, ours: np.ndarray, theirs: np.ndarray, as_theirs: np.ndarray
) -> Result:
    unequal, unexplained = (int((mine != theirs).sum()) for mine in (ours, as_theirs))
    return Result(seed, index, door, said, ours.size, unequal, unexplained)


def run_alone(seed: int, count: int, door: str, index: int) -> list[Result]:
    group = random_group(seed, count, door == "eager")
    group.module.nets = group.module.nets[index : index + 1]  # type: ignore[union-attr, index, assignment]
    mine = f"nets.{index}."
    group.fuse = [
        [name.replace(mine, "nets.0.") for name in names] for names in group.fuse if names[0].startswith(mine)
    ]
    try:
        graph, script = quantized(group, door)
        (three,) = compare(graph, script, group.images[0].numpy())
    except EctoolkitError as error:
        return [failed(seed, index, door, group.said[index], error)]
    return [compared(seed, index, door, group.said[index], *three)]


def quantized(group: Group, door: str) -> tuple[Graph, Any]:
    """The graph, and the traced module that the compiler gets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # dropped ReLUs and coarse gates are part of the rules
        if door == "eager":
            script = eager_traced(group)
            return import_torchscript(script, tuple(group.images[0].shape)), script
        config = ect.QuantConfig(hardware="dna", activation_bits=group.bits)
        graph = ect.quantize(group.module, np.concatenate([x.numpy() for x in group.images]), config, door="export")
        return graph, to_torchscript(graph)


def compare(graph: Graph, script: Any, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each output ours, theirs, and ours with their own rule for adds to a concatenation."""
    ours = ect.interpret(graph, x)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        built = ect.build(
            graph, Path(folder) / "deploy", target=TARGET, reference_input=x, torchscript=script, preflight=False
        )
        with ect.open_device(TARGET) as device:
            theirs = device.run(built, x).outputs
    equal = all(np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        as_theirs = ours if equal else interpret_as_theirs(script, x)
    return list(zip(ours, theirs, as_theirs, strict=True))


def campaign(nets: int, seed: int) -> list[Result]:
    """`nets` nets from seeds `seed`, `seed` + 1, ..., one seed for `TOGETHER` of them."""
    results: list[Result] = []
    while len(results) < nets:
        place = len(results) // TOGETHER
        count = min(TOGETHER, nets - len(results))
        found = run_group(seed + place, count, "eager" if place % 2 == 0 else "export")
        results += found
        for result in found:
            if result.unequal or result.why:
                print(result, flush=True)
        print(f"{len(results)} nets, seed {seed + place} done", file=sys.stderr, flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    results = campaign(asked.nets, asked.seed)
    for door in ("eager", "export"):
        mine = [result for result in results if result.door == door]
        done = [result for result in mine if result.elements]
        equal = sum(not result.unequal for result in done)
        elements, unequal, unexplained = (
            sum(getattr(result, name) for result in done) for name in ("elements", "unequal", "unexplained")
        )
        nets = f"{len(mine)} nets, {len(done)} compared, {equal} equal"
        print(f"{door}: {nets}; {unequal} of {elements} elements differ, {unexplained} of them unexplained")
    said = [result.said.partition(": ")[2] for result in results if result.elements]
    words = Counter(word for line in said for word in line.split(", "))
    print("made of: " + ", ".join(f"{word} {count}" for word, count in sorted(words.items())))
    return int(any(result.unexplained or result.why for result in results))


if __name__ == "__main__":
    sys.exit(main())
