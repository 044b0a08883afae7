"""Other toolkits' rows of ``quantize.py``; each imports what it needs and is a row of its own where that is missing."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from contenders import Arrange, Contender, Run, Task

_ONNX = ("onnx", "onnxscript", "onnxruntime")
_OPENVINO = (*_ONNX, "openvino", "nncf")


def calibration(count: int) -> list[Contender]:
    """Rows of one pass over the images; those of other tools take it as each tool does."""
    return [
        Contender("torch.ao min-max observers", partial(observe, _minmax), count),
        Contender("torch.ao fbgemm default (histogram)", partial(observe, _fbgemm), count),
        Contender("torchao PT2E (histogram)", observe_export, count, ("torchao",)),
        Contender("onnxruntime min-max", partial(calibrate_onnx, "MinMax"), count, _ONNX),
        Contender("onnxruntime percentile", partial(calibrate_onnx, "Percentile"), count, _ONNX),
        Contender("onnxruntime entropy", partial(calibrate_onnx, "Entropy"), count, _ONNX),
        Contender("nncf.quantize, OpenVINO model", nncf_openvino, count, _OPENVINO),
        Contender("nncf.quantize, torch module", nncf_torch, count, ("nncf",)),
    ]


def analysis(count: int) -> list[Contender]:
    """Rows of errors of each layer."""
    return [
        Contender("torch numeric suite, cumulative", numeric_suite, count),
        Contender("torch numeric suite, shadows (isolated)", shadows, count),
        Contender("onnxruntime qdq_loss_debug", qdq_loss, count, _ONNX),
    ]


# --- torch


def _minmax(ao: Any) -> Any:
    activation = ao.MinMaxObserver.with_args(dtype=torch.quint8)
    return ao.QConfig(activation=activation, weight=ao.default_per_channel_weight_observer)


def _fbgemm(ao: Any) -> Any:
    return ao.get_default_qconfig("fbgemm")


def _observed(task: Task, qconfig: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The fused float module, and a copy with observers."""
    import torch.ao.quantization as ao

    fused = copy.deepcopy(task.module)
    fused.fuse_model(is_qat=False)
    observed = copy.deepcopy(fused)
    observed.qconfig = qconfig(ao)
    return fused, ao.prepare(observed)


def observe(qconfig: Callable[[Any], Any], task: Task) -> Arrange:
    """Eager mode; without ``convert``, which searches the histograms."""
    _, observed = _observed(task, qconfig)
    return lambda: partial(_forward, copy.deepcopy(observed), task.images)


def observe_export(task: Task) -> Arrange:
    """torch.export, with histogram observers for activations; without ``convert_pt2e``."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    exported = torch.export.export(task.module, (torch.from_numpy(task.images[:1]),)).module()
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())

    def arrange() -> Run:
        return partial(_forward, prepare_pt2e(copy.deepcopy(exported), quantizer), task.images)

    return arrange


def _forward(module: Any, images: np.ndarray) -> None:
    with torch.no_grad():
        for image in images:
            module(torch.from_numpy(image[None]))


def _quantized(task: Task) -> tuple[Any, Any]:
    """The fused float module and torch's int8 module."""
    import torch.ao.quantization as ao

    fused, observed = _observed(task, _fbgemm)
    _forward(observed, task.looked_at[:2])
    return fused, ao.convert(observed)


def numeric_suite(task: Task) -> Arrange:
    """Both modules with loggers, and SQNR of what matches."""
    import torch.ao.ns._numeric_suite as suite

    fused, quantized = _quantized(task)
    suite.prepare_model_outputs(fused, quantized)

    def run() -> dict[str, float]:
        with torch.no_grad():
            for image in task.looked_at:
                fused(torch.from_numpy(image[None]))
                quantized(torch.from_numpy(image[None]))
        return _sqnr(suite.get_matching_activations(fused, quantized))

    return lambda: _with_empty_loggers((fused, quantized), run)


def shadows(task: Task) -> Arrange:
    """The int8 module, each convolution and residual add with its float module beside it, and SQNR of the two."""
    import torch.ao.nn.intrinsic as fused_modules
    import torch.ao.ns._numeric_suite as suite
    from torch.ao.nn.quantized import FloatFunctional

    fused, quantized = _quantized(task)
    kinds = {torch.nn.Conv2d, torch.nn.Linear, fused_modules.ConvReLU2d, FloatFunctional}
    suite.prepare_model_with_stubs(fused, quantized, kinds, suite.ShadowLogger)

    def run() -> dict[str, float]:
        _forward(quantized, task.looked_at)
        return _sqnr(suite.get_logger_dict(quantized))

    return lambda: _with_empty_loggers((quantized,), run)


def _with_empty_loggers(modules: tuple[Any, ...], run: Run) -> Run:
    import torch.ao.ns._numeric_suite as suite

    for logger in (part for module in modules for part in module.modules() if isinstance(part, suite.Logger)):
        for kept in logger.stats.values():
            kept.clear()
    return run


def _sqnr(activations: dict[str, Any]) -> dict[str, float]:
    """Decibels of each layer that both have."""
    found = {}
    for name, pair in activations.items():
        signal = noise = 0.0
        # a fused convolution logs twice: itself, then with its ReLU
        step = len(pair["float"]) // len(pair["quantized"])
        for x, y in zip(pair["float"][step - 1 :: step], pair["quantized"], strict=True):
            x, y = (value.dequantize() if value.is_quantized else value for value in (x, y))
            signal += float(torch.linalg.vector_norm(x)) ** 2
            noise += float(torch.linalg.vector_norm(x - y)) ** 2
        found[name] = 10 * math.log10(signal / noise) if signal and noise else math.inf
    return found


# --- ONNX


@functools.lru_cache(maxsize=1)
def onnx_file(task: Task) -> str:
    """The float module as an ONNX file, preprocessed as onnxruntime recommends."""
    import onnxruntime  # noqa: F401  (named as missing before the export takes its time)
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, ready = str(task.folder / "plain.onnx"), str(task.folder / "ready.onnx")
    with quiet():
        torch.onnx.export(
            task.module,
            (torch.from_numpy(task.images[:1]),),
            plain,
            input_names=["x"],
            dynamo=True,
            external_data=False,
        )
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
    return ready


class Reader:
    """Gives images one by one."""

    def __init__(self, images: np.ndarray) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"x": image[None]}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return ({"x": image[None]} for image in self._images)


def calibrate_onnx(method: str, task: Task) -> Arrange:
    """Only what ``quantize_static`` does for calibration, of the tensors that it calibrates."""
    import onnxruntime
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    kinds = sorted({*QDQRegistry, *QLinearOpsRegistry})
    path = onnx_file(task)

    def arrange() -> Run:
        augmented = str(task.folder / f"augmented_{method}.onnx")
        calibrator = create_calibrator(path, kinds, augmented, CalibrationMethod[method])
        calibrator.infer_session = onnxruntime.InferenceSession(augmented, _options(task), ["CPUExecutionProvider"])
        return partial(_collect, calibrator, task.images)

    return arrange


def _options(task: Task) -> Any:
    """What onnxruntime's calibration and debugging have, with our number of threads: it ignores the process's cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = task.threads
    return options


def _collect(calibrator: Any, images: np.ndarray) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints each tensor's name
        for image in images:  # all at once would keep every tensor of every image
            calibrator.collect_data(Reader(image[None]))
        return calibrator.compute_data()


def onnx_reader(images: np.ndarray) -> Any:
    """A `Reader` of the class that onnxruntime asks for."""
    from onnxruntime.quantization import CalibrationDataReader

    class Given(Reader, CalibrationDataReader):
        pass

    return Given(images)


def qdq_loss(task: Task) -> Arrange:
    """Saves all activations of the float and of the QDQ model, and compares them."""
    from onnxruntime.quantization import QuantType, qdq_loss_debug, quantize_static

    path, quantized = onnx_file(task), str(task.folder / "qdq.onnx")
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    with quiet():
        quantize_static(path, quantized, onnx_reader(task.looked_at[:2]), **kinds)
    outputs = [str(task.folder / name) for name in ("float_outputs.onnx", "qdq_outputs.onnx")]
    for source, target in zip((path, quantized), outputs, strict=True):
        qdq_loss_debug.modify_model_output_intermediate_tensors(source, target)

    def run() -> Any:
        reference, candidate = (
            qdq_loss_debug.collect_activations(output, onnx_reader(task.looked_at), _options(task))
            for output in outputs
        )
        matching = qdq_loss_debug.create_activation_matching(candidate, reference)
        return qdq_loss_debug.compute_activation_error({k: v for k, v in matching.items() if "float" in v})

    return lambda: run


# --- NNCF


def nncf_openvino(task: Task) -> Arrange:
    """All of ``nncf.quantize``, which also corrects biases: it does not offer its parts."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    model = openvino.convert_model(onnx_file(task))
    data = nncf.Dataset([image[None] for image in task.images])
    return lambda: partial(_nncf, nncf, model.clone(), data, len(task.images))


def nncf_torch(task: Task) -> Arrange:
    """The same for the module as torch exports it."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset([torch.from_numpy(image[None]) for image in task.images])
    exported = torch.export.export(task.module, (torch.from_numpy(task.images[:1]),)).module()
    return lambda: partial(_nncf, nncf, copy.deepcopy(exported), data, len(task.images))


def _nncf(nncf: Any, model: Any, data: Any, count: int) -> Any:
    with quiet(), torch.no_grad():
        return nncf.quantize(model, data, subset_size=count)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without others' progress bars, warnings and logs."""
    logging.disable(logging.WARNING)
    try:
        nowhere = io.StringIO()
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
