"""The options of ``ectoolkit deploy``: their choices, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ectoolkit.quantization.config import QuantConfig


class Method(StrEnum):
    """`QuantConfig.method`, so that ``--help`` shows the choices without loading numpy."""

    TYPICAL = "typical"
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


class Correction(StrEnum):
    """Of `QuantConfig.corrections`, and ``none`` for its empty tuple."""

    EQUALIZATION = "equalization"
    EXPECTED_BIAS = "expected_bias"
    BIAS = "bias"
    ADAROUND = "adaround"
    NONE = "none"


class Door(StrEnum):
    """`ectoolkit.quantize`'s `door`."""

    AUTO = "auto"
    EAGER = "eager"
    EXPORT = "export"


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
    accurate: bool | None = None
    corrections: tuple[Correction, ...] | None = None
    door: Door | None = None

    def given(self) -> list[str]:
        """The options that the user gave, as written."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]

    def config(self, hardware: str = "") -> QuantConfig:
        """The settings for ``flow.quantize.run``, looked through before anything is loaded.

        Raises:
            typer.BadParameter: two options contradict each other.
            QuantizationError: a setting is none of those allowed.
        """
        from ectoolkit.quantization.config import QuantConfig

        chosen = [f"--{name}" for name in ("method", "corrections") if getattr(self, name) is not None]
        if self.accurate and chosen:
            raise typer.BadParameter(
                f"{chosen[0]} with --accurate, which chooses method and corrections itself; give one of them"
            )
        if self.corrections and Correction.NONE in self.corrections and len(self.corrections) > 1:
            raise typer.BadParameter("--corrections none with others; give none alone, or leave it out")
        config = (QuantConfig.accurate() if self.accurate else QuantConfig()).tuned(**self._asked(hardware))
        if self.door is Door.EAGER:
            self._require_eager(config)
        return config

    def _asked(self, hardware: str) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "method": self.method,
            "weights": self.weights_scheme,
            "activation_bits": self.activation_bits,
            "corrections": () if self.corrections == (Correction.NONE,) else self.corrections,
            "hardware": hardware or None,
        }
        return {name: getattr(value, "value", value) for name, value in asked.items() if value is not None}

    @staticmethod
    def _require_eager(config: QuantConfig) -> None:
        from ectoolkit.quantization.eager import unknown_to_eager

        unknown = unknown_to_eager(config)
        if unknown:
            raise typer.BadParameter(
                f"--door eager is torch's own flow, which does not know {', '.join(unknown)}; leave --door out, or say "
                "--door export"
            )


ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", show_default=False, help="A name, FILE.py:NAME, or a TorchScript file."),
]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="The deploy directory to write.")]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        metavar="DEFAULT|PATH|none",
        help="The published weights, a checkpoint, or random ones.  [default: DEFAULT]",
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|FILE.npy",
        show_default=False,
        help="Photos; for FILE.py:NAME also .npy.  [default: 32 sample photos]",
    ),
]
MethodOption = Annotated[
    Method | None,
    typer.Option(show_default=False, help="How the range of an activation is chosen.  [default: typical]"),
]
WeightsSchemeOption = Annotated[
    Scheme | None, typer.Option(show_default=False, help="Scales of the weights.  [default: per_channel]")
]
ActivationBitsOption = Annotated[
    int | None, typer.Option(metavar="8|7|6|5|4", show_default=False, help="Bits of activations.  [default: 8]")
]
AccurateOption = Annotated[
    bool,
    typer.Option(
        "--accurate",
        help="The method and the corrections that did best on the packaged models; sees the photos twice.",
    ),
]
CorrectionsOption = Annotated[
    list[Correction] | None,
    typer.Option(
        show_default=False,
        help="Once for each; of expected_bias, bias and adaround one at most.  [default: expected_bias, none on the "
        "U50 guide's way, or --accurate's]",
    ),
]
DoorOption = Annotated[
    Door,
    typer.Option(
        help="eager: the U50 guide's way, for models with QuantStubs; export: any; auto: eager where model and "
        "settings allow."
    ),
]
InputShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N,C,H,W",
        show_default=False,
        help="Of a TorchScript file's input, such as 1,3,224,224. Once for each input.",
    ),
]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE.npy",
        show_default=False,
        help="The input to store, with the interpreter's result for it: float32, preprocessed, N,C,H,W. Once "
        "for each input.  [default: a calibration photo; random numbers for a TorchScript file]",
    ),
]
LayoutOption = Annotated[LayoutName, typer.Option(help="Of the inputs and outputs.")]
IsaOption = Annotated[
    IsaName, typer.Option(help="Instruction set; host: the best that this CPU has, or a common one of --host-arch.")
]
TargetOption = Annotated[TargetName, typer.Option(help="What to build for.")]
HostArchOption = Annotated[
    HostArch | None,
    typer.Option(show_default=False, help="The machine it will run on.  [default: that of --isa, or this one]"),
]
PlatformOption = Annotated[
    str | None, typer.Option(show_default=False, help="Of EdgeCortix, for mera:….  [default: DNAF200L0003]")
]
