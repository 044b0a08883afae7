"""Peak memory of building and of running int8 ResNet-50, each step in a process of its own.

python benchmarks/memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import ectoolkit as ect
from ectoolkit.core.graph_file import load_graph, save_graph
from ectoolkit.data.random_weights import random_module
from ectoolkit.quantization.calibrated import calibrate


def quantize(folder: Path) -> None:
    """ResNet-50 with random weights; memory does not depend on them."""
    import torchvision

    module, _ = random_module(lambda: torchvision.models.resnet50(), (1, 3, 224, 224))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)).numpy()
    model = calibrate(module, [(image[None],) for image in images], name="resnet50")
    save_graph(model.quantize().graph, folder / "graph")


def build(folder: Path) -> None:
    graph = load_graph(folder / "graph")
    shape = graph.values[graph.inputs[0]].spec.shape
    ect.build(graph, folder / "deploy", reference_input=torch.zeros(shape).numpy())


def run(folder: Path) -> None:
    deployment = ect.load_deployment(folder / "deploy")
    with ect.open_device("cpu") as device:
        device.load(deployment)
        for _ in range(20):
            device.run_arrays(deployment.inputs())


def nothing(folder: Path) -> None:
    """What importing everything takes."""
    import tvm  # noqa: F401


STEPS = {step.__name__: step for step in (nothing, quantize, build, run)}


def main() -> None:
    """Each step in turn, its peak resident memory printed."""
    if len(sys.argv) == 3:
        STEPS[sys.argv[1]](Path(sys.argv[2]))
        print(f"{sys.argv[1]:10} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MiB at most")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in STEPS:
            subprocess.run([sys.executable, __file__, name, folder], check=True)


if __name__ == "__main__":
    main()
