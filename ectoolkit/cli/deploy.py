"""``ectoolkit deploy``: a model to a deploy directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ectoolkit.cli.console import note, progress_bar, say, shape_text

if TYPE_CHECKING:
    from ectoolkit.workflow import Flow

HELP = """Make a deploy directory of a model.

MODEL is mobilenet_v2 or efficientnet_lite0, whose weights are in packages; torchvision/NAME for a classifier of
torchvision, such as resnet50; or a TorchScript file of a model that is quantized already. A model by name is quantized
here, with calibration photos: better give some of yours than rely on the sample photos.

\b
Examples:
  ectoolkit deploy mobilenet_v2 out
  ectoolkit deploy torchvision/resnet50 out --weights my_resnet50.pth --calibration photos/
  ectoolkit deploy torchvision/resnet18 out --weights none --method minmax
  ectoolkit deploy quantized.pt out --input-shape 1,3,224,224 --reference input.npy
  ectoolkit deploy mobilenet_v2 out --target mera:IP --platform DNAF200L0003
  ectoolkit deploy mobilenet_v2 out --host-arch arm

An existing deploy directory OUT is replaced when the new one is complete; any other folder is left alone. Then:
ectoolkit run OUT
"""
#: sample photos used where the user gives none: these come after the 20 that have labels
_SAMPLES = slice(20, 52)
_SUFFIXES = (".pt", ".pth", ".ts", ".torchscript")


class Method(StrEnum):
    """`QuantConfig.method`, so that ``--help`` shows the choices without loading numpy."""

    MSE = "mse"
    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MOVING_AVERAGE = "moving_average"
    MEDIAN = "median"


class Scheme(StrEnum):
    """`QuantConfig.weights`."""

    PER_CHANNEL = "per_channel"
    PER_TENSOR = "per_tensor"


class LayoutName(StrEnum):
    """Of 4-D inputs and outputs."""

    NHWC = "NHWC"
    NCHW = "NCHW"


class IsaName(StrEnum):
    """Instruction sets of the cpu target."""

    HOST = "host"
    AVX512VNNI = "avx512vnni"
    AVXVNNI = "avxvnni"
    AVX2 = "avx2"
    GENERIC = "generic"
    NEON_I8MM = "neoni8mm"
    NEON_DOT = "neondot"
    NEON = "neon"


class TargetName(StrEnum):
    """Builders."""

    CPU = "cpu"
    IP = "mera:IP"
    INTERPRETER_HW = "mera:InterpreterHw"
    SIMULATOR = "mera:Simulator"
    VERILATOR_SIMULATOR = "mera:VerilatorSimulator"


class HostArch(StrEnum):
    """Machines that a directory can be built for."""

    X86 = "x86"
    ARM = "arm"


@dataclass(frozen=True)
class Quantizing:
    """What applies to a model by name only; None where the user did not say."""

    weights: str | None
    calibration: Path | None
    method: Method | None
    weights_scheme: Scheme | None
    activation_bits: int | None

    def given(self) -> list[str]:
        """The options that the user gave, as written."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]

    def config(self) -> dict[str, Any]:
        """The settings for ``flow.quantize.run``."""
        asked = {"method": self.method, "weights": self.weights_scheme, "activation_bits": self.activation_bits}
        return {name: getattr(value, "value", value) for name, value in asked.items() if value is not None}


def deploy(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", show_default=False, help="A model's name, or a TorchScript file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="The deploy directory to write.")],
    weights: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            metavar="DEFAULT|PATH|none",
            help="The published weights, a checkpoint, or random ones.  [default: DEFAULT]",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", show_default=False, help="Photos.  [default: 32 sample photos]"),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(show_default=False, help="How the range of an activation is chosen.  [default: mse]"),
    ] = None,
    weights_scheme: Annotated[
        Scheme | None, typer.Option(show_default=False, help="Scales of the weights.  [default: per_channel]")
    ] = None,
    activation_bits: Annotated[
        int | None, typer.Option(metavar="8|7|6|5|4", show_default=False, help="Bits of activations.  [default: 8]")
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N,C,H,W",
            show_default=False,
            help="Of a TorchScript file's input, such as 1,3,224,224. Once for each input.",
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.npy",
            show_default=False,
            help="The input to store, with the interpreter's result for it: float32, preprocessed, N,C,H,W. Once "
            "for each input.  [default: a calibration photo; random numbers for a TorchScript file]",
        ),
    ] = None,
    layout: Annotated[LayoutName, typer.Option(help="Of the inputs and outputs.")] = LayoutName.NHWC,
    isa: Annotated[
        IsaName, typer.Option(help="Instruction set; host: the best that this CPU has, or a common one of --host-arch.")
    ] = IsaName.HOST,
    target: Annotated[TargetName, typer.Option(help="What to build for.")] = TargetName.CPU,
    host_arch: Annotated[
        HostArch | None,
        typer.Option(show_default=False, help="The machine it will run on.  [default: that of --isa, or this one]"),
    ] = None,
    platform: Annotated[
        str | None, typer.Option(show_default=False, help="Of EdgeCortix, for mera:….  [default: DNAF200L0003]")
    ] = None,
) -> None:
    """See `HELP`."""
    from ectoolkit.cli.stages import print_files, run_stage
    from ectoolkit.core.atomic import require_replaceable
    from ectoolkit.core.deployment import is_deployment
    from ectoolkit.core.host import host_architecture

    require_replaceable(out, is_deployment, "deploy directory")  # before minutes of work
    arch = None if host_arch is None else host_arch.value
    _require_fitting(target, isa, layout, platform, arch)
    quantizing = Quantizing(weights, calibration, method, weights_scheme, activation_bits)
    if Path(model).suffix in _SUFFIXES or Path(model).is_file():
        flow, example = _from_file(model, input_shape or [], reference or [], quantizing)
    else:
        hardware = "" if target is TargetName.CPU else "dna"
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

    if shapes:
        raise typer.BadParameter(f"--input-shape is for a TorchScript file; {model} brings its own")
    import ectoolkit as ect

    config = quantizing.config() | ({"hardware": hardware} if hardware else {})
    ect.QuantConfig(**config)  # refuses before anything is loaded
    photos = ect.sample_photos(_SAMPLES.stop)[_SAMPLES]
    if quantizing.calibration is not None:
        photos = ect.image_folder(quantizing.calibration)
    with progress_bar("loading the model"):
        asked = quantizing.weights or "DEFAULT"
        loaded = ect.load_model(model, weights=None if asked.lower() == "none" else asked)
    flow = ect.Flow(loaded, calibration=photos)
    say(f"{loaded.name}: {loaded.weights}, input {shape_text(loaded.input_shape)}")
    example = _arrays(reference) if reference else flow.calibration[:1].batch()
    run_stage(flow.quantize, **config)
    return flow, example


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
