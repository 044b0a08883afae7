"""The U50 guide's flow in one call: fuse, prepare, calibrate, convert, trace.

For modules with a QuantStub and a DeQuantStub: torchvision.models.quantization, and one's own.
torch announces the end of this flow; it is kept behind this one module.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ectoolkit._optional import require
from ectoolkit.core.graph import Graph
from ectoolkit.core.interpreter import Progress
from ectoolkit.errors import InputError, QuantizationError
from ectoolkit.frontends.torchscript import import_torchscript
from ectoolkit.frontends.torchscript.torch_state import fbgemm_engine, quiet
from ectoolkit.quantization.calibration import Hasher, batches, size_of
from ectoolkit.quantization.config import QuantConfig
from ectoolkit.quantization.fusing import ceilings, fuse, replace_relu6
from ectoolkit.quantization.observers import qconfig, warn_of_lost_ceilings
from ectoolkit.quantization.one_thread import one_thread

#: what torch says of its observers, which does not concern the user
_OBSERVERS = (".*reduce_range.*", ".*must run observer before calling calculate_qparams.*")


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """What quantizing gave.

    Attributes:
        graph: the integer graph, in hardware form.
        traced: the quantized TorchScript module, as the U50 guide saves it.
        float_model: the fused float module that was calibrated; same results as the user's.
        config: the settings.
        calibration_sha256: hash of the images.
        calibration_images: how many.
    """

    graph: Graph
    traced: Any
    float_model: Any
    config: QuantConfig
    calibration_sha256: str
    calibration_images: int

    def float_outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """The float model's results for float32 ``(N, C, H, W)``."""
        return list(self.float_layers(x, ())[0])

    def float_layers(self, x: np.ndarray, names: Iterable[str]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """The float model's outputs, and what it has where the named layers end.

        Args:
            x: float32 ``(N, C, H, W)``.
            names: layers of the graph; those that are no module of the float model are left out of the result.  A
                module called again is ``name_2``, ``name_3``..., as in the graph.
        """
        torch = require("torch", feature="Running the float model")
        modules = dict(self.float_model.named_modules())
        calls = _Calls(set(names))
        hooks = []
        for name in {node.name for node in self.graph}:
            # a layer ends at its observer, which for a FloatFunctional is the only module that is called
            module = modules.get(f"{name}.activation_post_process", modules.get(name))
            if module is not None:
                hooks.append(module.register_forward_hook(calls.hook(name)))
        try:
            with torch.no_grad():
                result = self.float_model(torch.from_numpy(np.ascontiguousarray(x)))
        finally:
            for hook in hooks:
                hook.remove()
        outputs = result if isinstance(result, tuple | list) else [result]
        return [output.numpy() for output in outputs], calls.found

    def int8_outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """What torch's own int8 kernels give for float32 ``(N, C, H, W)``; image by image, as the module was traced."""
        torch = require("torch", feature="Running torch's int8 model")
        found = []
        with torch.no_grad(), quiet(*_OBSERVERS), fbgemm_engine(torch):
            for image in np.ascontiguousarray(x):
                result = self.traced(torch.from_numpy(image[None]))
                found.append([output.numpy() for output in (result if isinstance(result, tuple | list) else [result])])
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def __repr__(self) -> str:
        return f"QuantizedModel({self.graph.name!r}, {self.calibration_images} images, {self.config})"


class _Calls:
    """What the modules give in one forward pass, each call under the name of its layer in the graph.

    Attributes:
        found: results of the wanted layers.
    """

    def __init__(self, wanted: set[str]) -> None:
        self.found: dict[str, np.ndarray] = {}
        self._wanted = wanted
        self._taken: set[str] = set()

    def hook(self, name: str) -> Any:
        """A forward hook for the module of that name."""

        def hook(module: Any, arguments: Any, output: Any) -> None:
            layer, number = name, 2
            while layer in self._taken:  # as GraphBuilder.unique does
                layer, number = f"{name}_{number}", number + 1
            self._taken.add(layer)
            if layer in self._wanted and hasattr(output, "numpy"):
                self.found[layer] = output.detach().numpy().copy()

        return hook


def quantize_eager(
    module: Any,
    calibration: Iterable[Any],
    config: QuantConfig | None = None,
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantize a module with QuantStubs.

    Args:
        module: ``nn.Module`` with a QuantStub at its input and a DeQuantStub at its output; not changed.
        calibration: preprocessed images; see `ectoolkit.quantization.calibration.batches`.
        config: settings, `QuantConfig()` by default.
        name: of the graph, the module's class by default.
        progress: called after each calibration item; it may raise to cancel.

    Raises:
        QuantizationError: the module has no stubs, or cannot be converted.
        InputError: the calibration data are not images for this module.
        UnsupportedOpError: the module has an operation with no integer definition.

    Warns:
        PrecisionWarning: 7-bit activations lose the ceiling of a ReLU6, or the accelerator drops a ReLU.
    """
    torch = require("torch", feature="Quantizing a module")
    config = config or QuantConfig()
    name = name or type(module).__name__
    _require_stubs(torch, module)
    unknown = unknown_to_eager(config)
    if unknown:
        raise QuantizationError(
            f"torch's flow for modules with QuantStubs does not know {', '.join(unknown)}; quantize with door='export'"
        )
    with quiet(*_OBSERVERS), fbgemm_engine(torch):
        prepared, cut = _prepare(module, config)
        warn_of_lost_ceilings(name, cut, config)
        example, hasher, count = _calibrate(torch, type(module).__name__, prepared, calibration, progress)
        traced = _convert(torch, prepared, example)
    graph = import_torchscript(traced, example.shape, name=name)
    return QuantizedModel(graph, traced, prepared, config, hasher.sha256, count)


#: settings of `QuantConfig` that torch's flow knows, and their values; the others must be left as they are
_SETTINGS: dict[str, tuple[Any, ...]] = {
    "method": ("typical", "mse", "minmax"),
    "weights": ("per_channel", "per_tensor"),
    "activation_bits": (8, 7),
    "corrections": (None, ()),
}


def unknown_to_eager(config: QuantConfig) -> list[str]:
    """Settings that torch's flow does not know, as ``name=value``."""
    plain = QuantConfig()
    return [
        f"{name}={getattr(config, name)!r}"
        for name in config.__dataclass_fields__
        if name != "fuse" and getattr(config, name) not in _SETTINGS.get(name, (getattr(plain, name),))
    ]


def missing_stubs(module: Any) -> list[str]:
    """Those of QuantStub and DeQuantStub that a module has not, which say where its integer part begins and ends."""
    kinds = {type(child).__name__ for child in module.modules()}
    return [stub for stub in ("QuantStub", "DeQuantStub") if stub not in kinds]


def _require_stubs(torch: Any, module: Any) -> None:
    if not isinstance(module, torch.nn.Module):
        raise QuantizationError(f"expected an nn.Module to quantize, got {type(module).__name__}")
    missing = missing_stubs(module)
    if missing:
        raise QuantizationError(
            f"{type(module).__name__} has no {' and no '.join(missing)}, so torch does not know where its integer part "
            "begins and ends. Use torchvision.models.quantization, or put torch.ao.quantization.QuantStub() at the "
            "input and DeQuantStub() at the output of forward"
        )


def _prepare(module: Any, config: QuantConfig) -> tuple[Any, list[str]]:
    """The fused float model with observers, and the names of its layers that a ReLU6 cuts."""
    quantization = require("torch.ao.quantization", feature="Quantizing a module")
    model = copy.deepcopy(module).eval()
    replace_relu6(model)
    fuse(model, config.fuse)
    model.qconfig = qconfig(config)
    paths = {child: path for path, child in model.named_modules()}
    cut = []
    for child, ceiling in ceilings(model):
        child.qconfig = qconfig(config, ceiling)
        cut.append(paths[child])
    return quantization.prepare(model), cut


def _calibrate(
    torch: Any, name: str, prepared: Any, calibration: Iterable[Any], progress: Progress | None
) -> tuple[np.ndarray, Hasher, int]:
    hasher, count, example = Hasher(), 0, None
    total = size_of(calibration)
    with torch.no_grad():
        for done, batch in enumerate(batches(calibration), 1):
            try:
                with one_thread():
                    prepared(torch.from_numpy(batch))
            except RuntimeError as error:
                raise InputError(
                    f"{name} cannot run calibration item {done - 1}, float32 {batch.shape}: {_first_line(error)}. Give "
                    "images with the channels and the size that the module takes"
                ) from error
            hasher.add(batch)
            count += len(batch)
            example = batch[:1] if example is None else example
            if progress is not None:
                progress(done, max(total, done), f"image {count}")
    assert example is not None  # batches() raises where there is none
    # from here on the observers only watch
    prepared.apply(lambda m: m.disable_observer() if hasattr(m, "disable_observer") else None)
    return example, hasher, count


def _convert(torch: Any, prepared: Any, example: np.ndarray) -> Any:
    quantization = require("torch.ao.quantization", feature="Quantizing a module")
    try:
        converted = quantization.convert(prepared)
        with torch.no_grad():
            return torch.jit.trace(converted, torch.from_numpy(example)).eval()
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        raise QuantizationError(
            f"torch cannot run the converted module: {_first_line(error)}. An operation between QuantStub "
            "and DeQuantStub has no quantized form: write additions as FloatFunctional().add and concatenations as "
            "FloatFunctional().cat, fuse batch norm into its convolution, or put a DeQuantStub before the operation"
        ) from error


def _first_line(error: Exception) -> str:
    """torch's messages go on for a page; their first line says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else repr(error)
