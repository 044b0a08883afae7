"""Makes each engine's int8 model of one network, as files that ``latency_run.py`` times; each as its users make it."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quantize_peers import onnx_reader, quiet

import ectoolkit as ect

#: photos that are not calibrated with, whose outputs are compared with the float model's
LOOKED_AT, CALIBRATED = 4, 16


@dataclass(eq=False)
class Network:
    """A float model and where its files go.

    Attributes:
        name: as `ectoolkit.load_model` knows it.
        weights: likewise; random ones with fitting BatchNorm statistics where None.
        folder: for its files.
        facts: seconds, bytes and refusals by engine.
    """

    name: str
    weights: str | None
    folder: Path
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def loaded(self) -> Any:
        return ect.load_model(self.name, weights=self.weights)

    @property
    def module(self) -> Any:
        return self.loaded.module

    @cached_property
    def photos(self) -> np.ndarray:
        """float32 ``(N, 3, 224, 224)``: those looked at first, then those of calibration."""
        photos = ect.sample_photos(LOOKED_AT + CALIBRATED).with_preprocess(self.loaded.preprocess)
        return np.ascontiguousarray(photos.batch())

    @property
    def calibration(self) -> np.ndarray:
        return self.photos[LOOKED_AT:]

    @property
    def example(self) -> torch.Tensor:
        return torch.from_numpy(self.photos[:1])

    @cached_property
    def onnx(self) -> str:
        """The float model, preprocessed as onnxruntime recommends."""
        from onnxruntime.quantization.shape_inference import quant_pre_process

        plain, ready = str(self.folder / "plain.onnx"), str(self.folder / "ready.onnx")
        with quiet():
            torch.onnx.export(self.module, (self.example,), plain, input_names=["x"], dynamo=True, external_data=False)
            quant_pre_process(plain, ready, skip_symbolic_shape=True)
        return ready

    def make(self, engines: dict[str, Callable[[Network], None]], say: Callable[[str], None]) -> None:
        """All files; an engine that cannot says why.  Those of other toolkits that are there already are kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self.folder / "facts.json"
        kept = json.loads(known.read_text()) if known.is_file() else {}
        self._float()
        for name, make in engines.items():
            if name in kept and name != "ectoolkit":
                self.facts[name] = kept[name]
                continue
            say(f"{self.name}: making the model of {name}")
            self.facts[name] = {}
            start = time.perf_counter()
            try:
                make(self)
                self.facts[name]["make_s"] = time.perf_counter() - start
            except ModuleNotFoundError as error:
                self.facts[name]["refusal"] = f"not installed: {(error.name or '').partition('.')[0]}"
            except Exception as error:  # a peer's failure is its row, whatever it is
                self.facts[name]["refusal"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:160]
        known.write_text(json.dumps(self.facts, indent=1))

    def _float(self) -> None:
        with torch.no_grad():
            outputs = np.concatenate([self.module(torch.from_numpy(x[None])).numpy() for x in self.photos[:LOOKED_AT]])
        np.savez(self.folder / "float.npz", x=self.photos[:LOOKED_AT], y=outputs)


def ectoolkit_files(network: Network) -> None:
    """The deploy directory, with the time of each step of its build."""
    from ectoolkit.builders.cpu.compiler import compile_module, export
    from ectoolkit.builders.cpu.importer import import_graph

    graph = ect.quantize(network.module, network.calibration, ect.QuantConfig(), door="export")
    seconds = {}
    start = time.perf_counter()
    imported = import_graph(graph)
    seconds["import_s"] = time.perf_counter() - start
    executable = compile_module(imported)
    seconds["compile_s"] = time.perf_counter() - start - seconds["import_s"]
    export(executable, network.folder / "timed.so", imported.isa.host_arch)
    seconds["export_s"] = time.perf_counter() - start - sum(seconds.values())
    deployment = ect.build(graph, network.folder / "deploy", reference_input=network.photos[:1], imported=imported)
    files = deployment.manifest.files
    size = files["deploy.so"].size_bytes + files["deploy.params"].size_bytes
    build = sum(seconds.values())
    network.facts["ectoolkit"] |= {**seconds, "build_s": build, "size_mb": size / 1e6, "isa": imported.isa.name}


def torch_files(network: Network) -> None:
    """TorchScript of torch's FX flow with the default settings for fbgemm: 7-bit activations, which cannot saturate."""
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    torch.backends.quantized.engine = "fbgemm"
    settings = get_default_qconfig_mapping("fbgemm")
    with quiet(), torch.no_grad():
        prepared = prepare_fx(copy.deepcopy(network.module), settings, (network.example,))
        for image in network.calibration:
            prepared(torch.from_numpy(image[None]))
        torch.jit.trace(convert_fx(prepared), network.example).save(str(network.folder / "torch.pt"))
    _note_size(network, "torch fbgemm", "torch.pt")


def onnxruntime_files(network: Network) -> None:
    """QDQ, per channel, min-max."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    target = str(network.folder / "qdq.onnx")
    source = network.onnx
    with quiet():
        quantize_static(source, target, onnx_reader(network.calibration), quant_format=QuantFormat.QDQ, **kinds)
    _note_size(network, "onnxruntime QDQ", "qdq.onnx")


def openvino_files(network: Network) -> None:
    """NNCF's post-training quantization with its default preset."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    source = network.onnx
    with quiet():
        data = nncf.Dataset([image[None] for image in network.calibration])
        quantized = nncf.quantize(openvino.convert_model(source), data, subset_size=len(network.calibration))
        openvino.save_model(quantized, network.folder / "openvino.xml")
    _note_size(network, "OpenVINO (NNCF)", "openvino.xml", "openvino.bin")


def inductor_files(network: Network) -> None:
    """torchao's PT2E flow for x86; compiling is timed where it runs."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    exported = torch.export.export(network.module, (network.example,)).module()
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    with quiet(), torch.no_grad():
        prepared = prepare_pt2e(exported, quantizer)
        for image in network.calibration:
            prepared(torch.from_numpy(image[None]))
        converted = convert_pt2e(prepared)
        torch.export.save(torch.export.export(converted, (network.example,)), network.folder / "inductor.pt2")


def _note_size(network: Network, engine: str, *names: str) -> None:
    network.facts[engine]["size_mb"] = sum((network.folder / name).stat().st_size for name in names) / 1e6


def same_as_fbgemm(network: Network) -> None:
    """onednn runs the file made for fbgemm, packed anew when it is loaded."""
    fbgemm = network.facts["torch fbgemm"]
    if "refusal" in fbgemm:
        raise RuntimeError(fbgemm["refusal"])
    shutil.copy(network.folder / "torch.pt", network.folder / "torch_onednn.pt")


#: what each row is made by, in the order of the table
ENGINES: dict[str, Callable[[Network], None]] = {
    "ectoolkit": ectoolkit_files,
    "torch fbgemm": torch_files,
    "torch onednn": same_as_fbgemm,
    "onnxruntime QDQ": onnxruntime_files,
    "OpenVINO (NNCF)": openvino_files,
    "torch inductor (PT2E)": inductor_files,
}
