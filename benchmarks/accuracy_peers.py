"""Other toolkits' rows of ``accuracy.py``: each quantizes a float module the way its own documentation begins with."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import torch
from accuracy_entry import Entry, Logits, of_module, one_by_one
from contenders import Task
from quantize_peers import onnx_file, onnx_reader, quiet

_ONNX = ("onnx", "onnxscript", "onnxruntime")


def entries() -> list[Entry]:
    """One row each."""
    return [
        Entry("torchao PT2E, x86 quantizer", pt2e, ("torchao",)),
        Entry("torch.ao FX, fbgemm (7-bit activations)", fx),
        Entry("onnxruntime quantize_static, QDQ", static_qdq, _ONNX),
        Entry("onnxruntime quantize_static, per channel", static_per_channel, _ONNX),
        Entry("nncf.quantize, OpenVINO model", nncf_openvino, (*_ONNX, "openvino", "nncf")),
    ]


def _shown(module: Any, images: np.ndarray) -> None:
    with torch.no_grad():
        for image in images:
            module(torch.from_numpy(image[None]))


def pt2e(task: Task) -> Logits:
    """prepare_pt2e and convert_pt2e with the quantizer for x86 in its default configuration."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    exported = torch.export.export(task.module, (torch.from_numpy(task.images[:1]),)).module()
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(exported, quantizer)
    _shown(prepared, task.images)
    converted = convert_pt2e(prepared)
    summing = [node for node in converted.graph.nodes if node.name.startswith(("conv2d", "linear"))]
    count = sum("dequantize" in str(node.args[0].target) for node in summing)
    if count < 0.9 * len(summing):
        raise NotImplementedError(f"its patterns match {count} of {len(summing)} convolutions; the others stay float")
    return of_module(converted)


def fx(task: Task) -> Logits:
    """FX graph mode with ``get_default_qconfig_mapping``; its int8 kernels run."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    mapping = get_default_qconfig_mapping("fbgemm")
    prepared = prepare_fx(copy.deepcopy(task.module), mapping, (torch.from_numpy(task.images[:1]),))
    _shown(prepared, task.images)
    return of_module(convert_fx(prepared))


def static_qdq(task: Task) -> Logits:
    """quantize_static with nothing but its three required arguments, after its own preprocessing."""
    return _static(task)


def static_per_channel(task: Task) -> Logits:
    """The same with one scale for each output channel."""
    return _static(task, per_channel=True)


def _static(task: Task, **settings: Any) -> Logits:
    import onnxruntime
    from onnxruntime.quantization import quantize_static

    path = str(task.folder / "static.onnx")
    with quiet():
        quantize_static(onnx_file(task), path, onnx_reader(task.images), **settings)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return one_by_one(lambda image: session.run(None, {"x": image})[0])


def nncf_openvino(task: Task) -> Logits:
    """nncf.quantize with its defaults; OpenVINO runs the result."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset([image[None] for image in task.images])
    with quiet():
        quantized = nncf.quantize(openvino.convert_model(onnx_file(task)), data)
    compiled = openvino.compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return one_by_one(lambda image: compiled(image)[0])
