"""Small networks quantized as the U50 guide does it, and a way past the preflight."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.ao import quantization as tq

import ectoolkit as ect
from ectoolkit.frontends.torchscript.torch_state import fbgemm_engine, quiet
from ectoolkit.mera.place import find_place
from ectoolkit.mera.session import borrowed_worker

SHAPE = (1, 3, 12, 12)
FORCED_TIMEOUT_S = 60
FBGEMM = tq.get_default_qconfig("fbgemm")
FULL_RANGE = tq.QConfig(
    activation=tq.HistogramObserver.with_args(reduce_range=False), weight=tq.default_per_channel_weight_observer
)
PER_TENSOR = tq.QConfig(activation=tq.HistogramObserver.with_args(reduce_range=True), weight=tq.default_weight_observer)


class Net(nn.Module):
    """Quantize, a convolution, something, dequantize."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.layers(self.quant(x)))


class ConvNet(Net):
    """Its name holds "Conv", and it holds tensors: MERA's importer takes it for a convolution."""


def traced(net: nn.Module, qconfig: Any = FBGEMM) -> tuple[Any, np.ndarray]:
    """The U50 guide's steps; the module and an image."""
    torch.manual_seed(0)
    net.eval().qconfig = qconfig  # type: ignore[union-attr]
    x = torch.randn(SHAPE)
    with quiet(".*"), fbgemm_engine(torch), torch.no_grad():
        prepared = tq.prepare(net)
        prepared(x)
        script = torch.jit.trace(tq.convert(prepared), x)
    return script, x.numpy()


def forced(script: Any, x: np.ndarray, target: str) -> np.ndarray:
    """Compile and run, whatever it is: the first output, NHWC."""
    image = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    with borrowed_worker(find_place()) as worker:
        worker.send_files("build", {"model.pt": script.save_to_buffer()})
        built = worker.call(
            "compile",
            timeout_s=FORCED_TIMEOUT_S,
            inputs=[["input0", list(image.shape), "float32"]],
            target=target,
            platform_name="DNAF200L0003",
            host_arch="x86",
            config={},
        )
        worker.send_files(
            "run", {name: worker.fetch_file("build", name, size) for name, size in built["sizes"].items()}
        )
        worker.call("load", timeout_s=FORCED_TIMEOUT_S, device_code=2)
        return worker.run([image], timeout_s=FORCED_TIMEOUT_S)[0][0]


def conv(i: int, o: int, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1, **more)


def well() -> None:
    """The next build and run, in this same process."""
    script, x = traced(Net(conv(3, 8), nn.ReLU()))
    graph = ect.import_torchscript(script, SHAPE)
    assert ect.cross_check(graph, "mera:InterpreterHw", x)
