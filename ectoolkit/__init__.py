"""ectoolkit: a PyTorch CNN, quantized, to an EdgeCortix accelerator on an Alveo U50.

    import ectoolkit as ect

    model = ect.load_model("mobilenet_v2")
    flow = ect.Flow(model, calibration=ect.sample_photos(32))
    flow.quantize.run()
    flow.interpret.run(ect.sample_photos(4))
    flow.build.run("mobilenet_v2_deploy")
    flow.device.run("cpu")

Names are looked up when they are first used: importing ectoolkit loads no torch, tvm, pandas or notebook library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ectoolkit._lazy import find as _find

if TYPE_CHECKING:
    from ectoolkit.analysis import Diff, compare
    from ectoolkit.builders import build
    from ectoolkit.core.deployment import Deployment, load_deployment
    from ectoolkit.core.graph import Graph
    from ectoolkit.core.graph_file import load_graph, save_graph
    from ectoolkit.data import ImageSet, LoadedModel, Preprocess, image_folder, load_model, sample_photos
    from ectoolkit.devices import list_devices, open_device
    from ectoolkit.frontends.torchscript import import_torchscript, save_torchscript
    from ectoolkit.quantization.calibrated import Calibrated
    from ectoolkit.quantization.config import LayerConfig, QuantConfig
    from ectoolkit.quantization.statistics_file import load_statistics, save_statistics
    from ectoolkit.workflow import (
        BuildStage,
        DevicePanel,
        Flow,
        ImportStage,
        InterpretStage,
        ModelStage,
        QuantizeStage,
    )
    from ectoolkit.workflow.cross_check import CrossCheck, cross_check
    from ectoolkit.workflow.platforms import compare_platforms
    from ectoolkit.workflow.shortcuts import calibrate, interpret, quantize

__version__ = "0.1.0"

_HOMES = {
    "BuildStage": "workflow",
    "Calibrated": "quantization.calibrated",
    "CrossCheck": "workflow.cross_check",
    "Deployment": "core.deployment",
    "DevicePanel": "workflow",
    "Diff": "analysis",
    "Flow": "workflow",
    "Graph": "core.graph",
    "ImageSet": "data",
    "ImportStage": "workflow",
    "InterpretStage": "workflow",
    "LayerConfig": "quantization.config",
    "LoadedModel": "data",
    "ModelStage": "workflow",
    "Preprocess": "data",
    "QuantConfig": "quantization.config",
    "QuantizeStage": "workflow",
    "build": "builders",
    "calibrate": "workflow.shortcuts",
    "compare": "analysis",
    "compare_platforms": "workflow.platforms",
    "cross_check": "workflow.cross_check",
    "image_folder": "data",
    "import_torchscript": "frontends.torchscript",
    "interpret": "workflow.shortcuts",
    "list_devices": "devices",
    "load_deployment": "core.deployment",
    "load_graph": "core.graph_file",
    "load_model": "data",
    "load_statistics": "quantization.statistics_file",
    "open_device": "devices",
    "quantize": "workflow.shortcuts",
    "sample_photos": "data",
    "save_graph": "core.graph_file",
    "save_statistics": "quantization.statistics_file",
    "save_torchscript": "frontends.torchscript",
}

__all__ = [
    "BuildStage",
    "Calibrated",
    "CrossCheck",
    "Deployment",
    "DevicePanel",
    "Diff",
    "Flow",
    "Graph",
    "ImageSet",
    "ImportStage",
    "InterpretStage",
    "LayerConfig",
    "LoadedModel",
    "ModelStage",
    "Preprocess",
    "QuantConfig",
    "QuantizeStage",
    "__version__",
    "build",
    "calibrate",
    "compare",
    "compare_platforms",
    "cross_check",
    "image_folder",
    "import_torchscript",
    "interpret",
    "list_devices",
    "load_deployment",
    "load_graph",
    "load_model",
    "load_statistics",
    "open_device",
    "quantize",
    "sample_photos",
    "save_graph",
    "save_statistics",
    "save_torchscript",
]


def __getattr__(name: str) -> Any:
    return _find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return list(__all__)
