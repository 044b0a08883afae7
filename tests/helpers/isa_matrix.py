"""Every golden case and every model of the list through the compiled library of each instruction set of x86-64.

    python tests/helpers/isa_matrix.py [--isa ISA ...] [golden] [MODEL ...]        (``make test-isa``: all of them)

What this CPU runs must equal the interpreter in every element; what it cannot run is compiled, and its code must hold
that set's dot product and nothing of a set above it.  One line for each; ends with status 1 where anything differs.
The test suite runs a part of this: the host's own set everywhere, the others where cases are small.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm

from ectoolkit.builders.cpu.compiler import compile_module
from ectoolkit.builders.cpu.importer import import_graph
from ectoolkit.builders.cpu.isa import ISAS, Isa
from ectoolkit.core.graph import Graph
from ectoolkit.core.host import missing_features
from ectoolkit.core.interpreter import interpret
from ectoolkit.errors import EctoolkitError
from ectoolkit.frontends.torchscript import import_torchscript
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.testing.captured import compiled, run_images

CASES = Path(__file__).parents[1] / "golden" / "cases"
GOLDEN = "golden"
X86 = {name: isa for name, isa in ISAS.items() if isa.host_arch == "x86_64"}
#: the dot product of sets that may be out of this CPU's reach, as LLVM writes it, and what must not be there
CODE = {
    "avx512vnni": (r"\bvpdpbusd\s.*%zmm", r"no such thing"),
    "avxvnni": (r"\{vex\}\s+vpdpbusd\s.*%[xy]mm", r"%zmm"),
    "avx2": (r"\bvpmaddwd\s.*%[xy]mm", r"vpdpbusd|%zmm"),
}
#: operations whose kernels use the dot product
DOTTED = ("conv2d", "conv_transpose2d", "linear")


@dataclass(frozen=True)
class Case:
    """One graph and what it must give.

    Attributes:
        name: of the golden case or the model.
        graph: of one run.
        inputs: float32, one array an input; one run, or several of one image.
        expected: the interpreter's outputs.
        float_layers: how many layers run in float, where the last bit may differ.
    """

    name: str
    graph: Graph
    inputs: list[np.ndarray]
    expected: list[np.ndarray]
    float_layers: int = 0


def golden_cases() -> Iterator[Case]:
    """The recorded outputs of EdgeCortix's interpreter."""
    for folder in sorted(path for path in CASES.iterdir() if path.is_dir()):
        x = np.load(folder / "input.npy")
        with np.load(folder / "interpreter_hw.npz") as file:
            raw = [file[f"out_{index}"] for index in range(len(file.files))]
        expected = [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in raw]
        yield Case(folder.name, import_torchscript(folder / "model.pt", x.shape), [x], expected)


def model_case(name: str) -> Case:
    """A whole network, calibrated and quantized as a user would."""
    from model_zoo import network_of

    module, inputs = network_of(name)
    runs = [tuple(x[index : index + 1] for x in inputs) for index in range(len(inputs[0]))]
    graph = calibrate(module, runs, name=name).quantize().graph
    floats = sum(graph.runs_in(node) == "float" for node in graph)
    return Case(name, graph, inputs, interpret(graph, inputs), floats)


def tried(case: Case, isa: Isa) -> tuple[str, bool]:
    """What is to be said of a case on an instruction set, and whether it is as it should be."""
    # without the checks of each kernel's arguments, which take two fifths of the time to compile
    with tvm.transform.PassContext(opt_level=3, config={"tirx.disable_assert": True}):
        if missing_features(isa.cpu_features):
            return inspected(case, isa)
        run = compiled(case.graph, "NHWC", isa.name)
    one_run = len(case.inputs[0]) == case.graph.values[case.graph.inputs[0]].spec.shape[0]
    found = run(*case.inputs) if one_run else run_images(run, case.inputs)
    apart = sum(int((a != b).sum()) for a, b in zip(found, case.expected, strict=True))
    size = sum(array.size for array in case.expected)
    if case.float_layers:
        # float layers sum in another order, which the last code may show: as in tests/models
        good = apart <= size / 1000
        return f"{apart} of {size} elements differ ({case.float_layers} layers in float)", good
    return f"{apart} of {size} elements differ", apart == 0


def inspected(case: Case, isa: Isa) -> tuple[str, bool]:
    """Whether the code of a set that this CPU cannot run is that set's."""
    executable = compile_module(import_graph(case.graph, isa=isa.name))
    text = "\n".join(part.inspect_source("asm") for part in executable.mod.imports if part.kind == "llvm")
    wanted, unwanted = CODE[isa.name]
    dots = len(re.findall(wanted, text))
    needed = any(node.op in DOTTED for node in case.graph)
    good = (dots > 0 or not needed) and not re.search(unwanted, text)
    return f"compiled, not run here: {dots} dot products, {'no ' if good else ''}foreign instructions", good


def arguments(names: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=[GOLDEN, *names], help=f"{GOLDEN}, or names of models; all if none")
    parser.add_argument("--isa", nargs="+", default=list(X86), choices=list(X86), help="instruction sets; all if none")
    return parser.parse_args()


def main() -> int:
    """Try them, print a line each and the sums."""
    warnings.simplefilter("ignore")
    from model_zoo import NAMES

    options = arguments(NAMES)
    bad, counts = [], dict.fromkeys(options.isa, 0)
    for name in options.cases:
        for case in golden_cases() if name == GOLDEN else [model_case(name)]:
            for isa in options.isa:
                start = time.process_time()
                try:
                    said, good = tried(case, X86[isa])
                except EctoolkitError as error:
                    said, good = f"{type(error).__name__}: {error}", False
                counts[isa] += good
                bad += [] if good else [f"{case.name} on {isa}"]
                mark = "ok " if good else "BAD"
                print(f"{mark} {case.name:28} {isa:11} {said}  ({time.process_time() - start:.1f} s)", flush=True)
    print(", ".join(f"{isa}: {count} good" for isa, count in counts.items()) + f"; {len(bad)} bad {bad or ''}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
