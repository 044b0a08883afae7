"""Instruction sets the kernels are written for, and what a CPU must have to run them."""

from __future__ import annotations

from dataclasses import dataclass

from ectoolkit.core.host import host_architecture, missing_features
from ectoolkit.errors import BuildError


@dataclass(frozen=True)
class Isa:
    """An instruction set.

    Attributes:
        name: as users write it.
        host_arch: of the machines that have it, as Linux names it.
        mcpu: LLVM's name of the least CPU that has it.
        cpu_features: flags of ``/proc/cpuinfo`` that a CPU must show.
        group: input channels that one dot-product step takes.
        activation_dtype: what activations become before the dot product.
        weight_dtype: what weights are widened to when they are packed.
        llvm_features: beyond those of `mcpu`.
        offset: taken off each activation before the dot product: 128 makes a byte a signed one; the bias makes good.
    """

    name: str
    host_arch: str
    mcpu: str
    cpu_features: tuple[str, ...]
    group: int
    activation_dtype: str
    weight_dtype: str
    llvm_features: tuple[str, ...] = ()
    offset: int = 0

    @property
    def target(self) -> dict[str, object]:
        """TVM's description of the target."""
        described: dict[str, object] = {"kind": "llvm", "mcpu": self.mcpu, "opt-level": 3}
        if self.host_arch != host_architecture():
            described["mtriple"] = f"{self.host_arch}-linux-gnu"
        if self.llvm_features:
            described["mattr"] = [f"+{feature}" for feature in self.llvm_features]
        return described


#: int16 pairs through vpmaddwd, which cannot saturate (vpmaddubsw on bytes can)
AVX2 = Isa("avx2", "x86_64", "haswell", ("avx2", "bmi2", "fma"), 2, "int16", "int16")
#: plain int32 lanes; runs on every x86-64, and shows what the others must compute
GENERIC = Isa("generic", "x86_64", "x86-64", (), 1, "uint8", "int8")
#: int8 quadruples of one sign through usdot, which takes bytes as they are
NEON_I8MM = Isa(
    "neoni8mm", "aarch64", "generic", ("asimd", "asimddp", "i8mm"), 4, "uint8", "int8", ("v8.2a", "dotprod", "i8mm")
)
#: int8 quadruples through sdot, which takes both factors signed
NEON_DOT = Isa(
    "neondot", "aarch64", "generic", ("asimd", "asimddp"), 4, "int8", "int8", ("v8.2a", "dotprod"), offset=128
)
#: int16 through smlal, which widens; every 64-bit Arm has it
NEON = Isa("neon", "aarch64", "generic", ("asimd",), 1, "int16", "int16")

#: of each architecture the best first
ISAS = {isa.name: isa for isa in (AVX2, GENERIC, NEON_I8MM, NEON_DOT, NEON)}
#: what ``"host"`` is for machines other than this one, whose CPU cannot be asked
ELSEWHERE = {"x86_64": AVX2, "aarch64": NEON_DOT}
#: how users name architectures
ARCHITECTURES = {"x86": "x86_64", "x86_64": "x86_64", "arm": "aarch64", "aarch64": "aarch64"}


def choose_isa(name: str = "host", host_arch: str | None = None) -> Isa:
    """An instruction set by name.

    Args:
        name: of the instruction set; ``"host"`` is the best that this CPU runs, for another architecture than this
            machine's one that CPUs of the last years have.
        host_arch: ``"x86"``, ``"arm"``; that of the instruction set where None, this machine's for ``"host"``.

    Raises:
        BuildError: there is none of that name, or not for that architecture, or this machine is of a third one.
    """
    if host_arch is not None and host_arch not in ARCHITECTURES:
        raise BuildError(f"host_arch is {host_arch!r}; the cpu target builds for {_listed(ARCHITECTURES)}")
    wanted = None if host_arch is None else ARCHITECTURES[host_arch]
    if name == "host":
        return _best(wanted or host_architecture())
    if name not in ISAS:
        raise BuildError(f"there is no instruction set {name!r}; known: 'host', {', '.join(map(repr, ISAS))}")
    found = ISAS[name]
    if wanted not in (None, found.host_arch):
        fitting = [isa.name for isa in ISAS.values() if isa.host_arch == wanted]
        raise BuildError(
            f"instruction set {name!r} is of {found.host_arch} and host_arch is {host_arch!r}, which has "
            f"{_listed(fitting)}"
        )
    return found


def _best(architecture: str) -> Isa:
    """The best of an architecture that the CPU has, where it is this one's."""
    if architecture not in ELSEWHERE:
        raise BuildError(
            f"the cpu target makes x86-64 and aarch64 code and this is {architecture}; name the instruction set of "
            f"the machine it is for: isa={_listed(ISAS)}"
        )
    if architecture != host_architecture():
        return ELSEWHERE[architecture]
    own = [isa for isa in ISAS.values() if isa.host_arch == architecture]
    return next((isa for isa in own if not missing_features(isa.cpu_features)), own[-1])


def _listed(names: object) -> str:
    return " or ".join(map(repr, names))  # type: ignore[call-overload]
