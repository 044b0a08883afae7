"""``ectoolkit deploy``: a model to a deploy directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ectoolkit.cli.console import note, progress_bar, say, shape_text
from ectoolkit.cli.deploy_options import (
    AccurateOption,
    ActivationBitsOption,
    CalibrationOption,
    CorrectionsOption,
    Door,
    DoorOption,
    HostArchOption,
    InputShapeOption,
    IsaName,
    IsaOption,
    LayoutName,
    LayoutOption,
    MethodOption,
    ModelArgument,
    OutArgument,
    PlatformOption,
    Quantizing,
    ReferenceOption,
    TargetName,
    TargetOption,
    WeightsOption,
    WeightsSchemeOption,
)
from ectoolkit.cli.files import require_file
from ectoolkit.cli.own_model import is_own

if TYPE_CHECKING:
    from ectoolkit.workflow import Flow

HELP = """Make a deploy directory of a model.

MODEL is mobilenet_v2 or efficientnet_lite0, whose weights are in packages; torchvision/NAME for a classifier of
torchvision, such as resnet50; FILE.py:NAME for a float model of yours; or a TorchScript file of a model that is
quantized already. A float model is quantized here, with calibration photos: better give some of yours than rely on the
sample photos. NAME is a function without arguments that returns an nn.Module, for which --calibration is preprocessed
float32 N,C,H,W in .npy files, or an ectoolkit.LoadedModel, whose preprocess takes photos. The file is run.

\b
Examples:
  ectoolkit deploy mobilenet_v2 out
  ectoolkit deploy torchvision/resnet50 out --weights my_resnet50.pth --calibration photos/
  ectoolkit deploy mobilenet_v2 out --accurate
  ectoolkit deploy net.py:make_model out --calibration images.npy
  ectoolkit deploy torchvision/resnet18 out --weights none --method minmax --corrections expected_bias
  ectoolkit deploy quantized.pt out --input-shape 1,3,224,224 --reference input.npy
  ectoolkit deploy mobilenet_v2 out --target mera:IP --platform DNAF200L0003
  ectoolkit deploy mobilenet_v2 out --host-arch arm

An existing deploy directory OUT is replaced when the new one is complete; any other folder is left alone. Then:
ectoolkit run OUT
"""
#: sample photos used where the user gives none: these come after the 20 that have labels
_SAMPLES = slice(20, 52)
_SUFFIXES = (".pt", ".pth", ".ts", ".torchscript")


def deploy(
    model: ModelArgument,
    out: OutArgument,
    weights: WeightsOption = None,
    calibration: CalibrationOption = None,
    method: MethodOption = None,
    weights_scheme: WeightsSchemeOption = None,
    activation_bits: ActivationBitsOption = None,
    accurate: AccurateOption = False,
    corrections: CorrectionsOption = None,
    door: DoorOption = Door.AUTO,
    input_shape: InputShapeOption = None,
    reference: ReferenceOption = None,
    layout: LayoutOption = LayoutName.NHWC,
    isa: IsaOption = IsaName.HOST,
    target: TargetOption = TargetName.CPU,
    host_arch: HostArchOption = None,
    platform: PlatformOption = None,
) -> None:
    """See `HELP`."""
    from ectoolkit.cli.stages import print_files, run_stage
    from ectoolkit.core.atomic import require_replaceable
    from ectoolkit.core.deployment import is_deployment
    from ectoolkit.core.host import host_architecture

    require_replaceable(out, is_deployment, "deploy directory")  # before minutes of work
    arch = None if host_arch is None else host_arch.value
    _require_fitting(target, isa, layout, platform, arch)
    quantizing = Quantizing(
        weights,
        calibration,
        method,
        weights_scheme,
        activation_bits,
        accurate or None,
        tuple(corrections) if corrections else None,
        None if door is Door.AUTO else door,
    )
    if not is_own(model) and (Path(model).suffix in _SUFFIXES or Path(model).is_file()):
        flow, example = _from_file(model, input_shape or [], reference or [], quantizing)
    else:
        # the U50 guide's way is the accelerator's arithmetic by itself
        hardware = "" if target is TargetName.CPU or door is Door.EAGER else "dna"
        flow, example = _from_name(model, input_shape or [], reference or [], quantizing, hardware)
    options: dict[str, Any] = {"target": target.value, "reference_input": example}
    if target is TargetName.CPU:
        run_stage(flow.importer, layout=layout.value, isa=isa.value, host_arch=arch)
        options |= {"host_arch": arch}
    else:
        options |= {"layout": layout.value} | ({} if platform is None else {"platform": platform})
        options |= {} if arch is None else {"host_arch": arch}
        options |= {"torchscript": model} if Path(model).is_file() else {}
    run_stage(flow.build, str(out), **options)
    say()
    print_files(flow.build.deployment)
    if flow.build.deployment.manifest.host_arch == host_architecture():
        note(f"\nnext: ectoolkit run {out}")
    else:
        note(f"\nnext: copy {out} to that machine, and there: ectoolkit run {out}")


def _require_fitting(
    target: TargetName, isa: IsaName, layout: LayoutName, platform: str | None, arch: str | None
) -> None:
    """Refuse what the target does not take, and a compiler that is not there."""
    if target is TargetName.CPU:
        if platform is not None:
            raise typer.BadParameter("--platform is for the targets mera:…")
        return
    from ectoolkit.builders.mera.options import MeraOptions
    from ectoolkit.mera.place import find_place

    if isa is not IsaName.HOST:
        raise typer.BadParameter("--isa is for the target cpu; EdgeCortix's compiler chooses its own")
    if layout is not LayoutName.NHWC:
        raise typer.BadParameter("--layout NCHW is for the target cpu; EdgeCortix's compiler makes NHWC alone")
    MeraOptions(target.value.partition(":")[2], platform or MeraOptions.platform, arch or MeraOptions.host_arch)
    find_place()


def _from_file(model: str, shapes: list[str], reference: list[Path], quantizing: Quantizing) -> tuple[Flow, Any]:
    given = quantizing.given()
    if given:
        raise typer.BadParameter(f"{given[0]} is for a model by name; {model} is a file, quantized already")
    require_file(model)
    if not shapes:
        raise typer.BadParameter(f"{model} is a TorchScript file: add --input-shape, for example 1,3,224,224")
    parsed = [_shape(text) for text in shapes]
    import ectoolkit as ect

    graph = ect.import_torchscript(model, parsed)
    if reference:
        return ect.Flow(graph), _arrays(reference)
    note("note: no --reference given; the stored input is random: numpy.random.default_rng(0).standard_normal")
    import numpy as np

    random = np.random.default_rng(0)
    specs = [graph.values[name].spec for name in graph.inputs]
    return ect.Flow(graph), [random.standard_normal(spec.shape, dtype=np.float32) for spec in specs]


def _from_name(
    model: str, shapes: list[str], reference: list[Path], quantizing: Quantizing, hardware: str
) -> tuple[Flow, Any]:
    from ectoolkit.cli.stages import run_stage

    own = is_own(model)
    if shapes:
        brings = "the calibration images tell it" if own else f"{model} brings its own"
        raise typer.BadParameter(f"--input-shape is for a TorchScript file; {brings}")
    config = quantizing.config(hardware)  # refuses before anything is loaded
    flow = _own_flow(model, quantizing) if own else _named_flow(model, quantizing)
    first = flow.calibration[:1]
    example = _arrays(reference) if reference else first.batch() if hasattr(first, "batch") else first
    run_stage(flow.quantize, config, **({} if quantizing.door is None else {"door": quantizing.door.value}))
    return flow, example


def _named_flow(model: str, quantizing: Quantizing) -> Flow:
    import ectoolkit as ect

    photos = ect.sample_photos(_SAMPLES.stop)[_SAMPLES]
    if quantizing.calibration is not None:
        photos = ect.image_folder(quantizing.calibration)
    with progress_bar("loading the model"):
        asked = quantizing.weights or "DEFAULT"
        loaded = ect.load_model(model, weights=None if asked.lower() == "none" else asked)
    flow = ect.Flow(loaded, calibration=photos)
    say(f"{loaded.name}: {loaded.weights}, input {shape_text(loaded.input_shape)}")
    return flow


def _own_flow(model: str, quantizing: Quantizing) -> Flow:
    import ectoolkit as ect
    from ectoolkit.cli.images import calibration_images
    from ectoolkit.cli.own_model import load_own

    if quantizing.weights is not None:
        raise typer.BadParameter(f"--weights is for a model by name; {model} loads its own")
    if quantizing.calibration is None:
        raise typer.BadParameter(
            f"{model} needs images like those it is for: --calibration, a .npy file of preprocessed float32 N,C,H,W, a "
            "folder of such files, or photos where it returns an ectoolkit.LoadedModel"
        )
    with progress_bar("loading the model"):
        loaded = load_own(model)
    flow = ect.Flow(loaded.source, calibration=calibration_images(quantizing.calibration, loaded.preprocess))
    say(f"{loaded.name}: {loaded.weights}, input {shape_text((1, *flow.calibration[0].shape))}")
    return flow


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--input-shape {text!r} is not whole numbers with commas, for example 1,3,224,224"
        ) from None


def _arrays(paths: list[Path]) -> list[Any]:
    from ectoolkit.cli.files import read_npy

    return [read_npy(path) for path in paths]
