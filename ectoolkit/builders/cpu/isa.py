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
        mcpu: LLVM's name of a CPU that it is at least.
        llvm_features: what LLVM may use beyond that CPU's.
        cpu_features: flags of ``/proc/cpuinfo`` that a CPU must show.
        group: input channels that one dot-product step takes.
        lanes: int32 sums that one dot-product step adds to.
        registers: vector registers of that width.
        activation_dtype: what activations become before the dot product.
        weight_dtype: what weights are widened to when they are packed.
        offset: taken off each activation before the dot product: 128 makes a byte a signed one; the bias makes good.
    """

    name: str
    host_arch: str
    mcpu: str
    llvm_features: tuple[str, ...]
    cpu_features: tuple[str, ...]
    group: int
    lanes: int
    registers: int
    activation_dtype: str
    weight_dtype: str
    offset: int = 0

    @property
    def widens(self) -> bool:
        """Whether the dot product needs a copy of the activations in another form."""
        return self.activation_dtype != "uint8"

    @property
    def packs(self) -> bool:
        """Whether two vectors of sums become one of half the width in one instruction."""
        return self.lanes == 16 and self.group == 4

    @property
    def fuses(self) -> bool:
        """Whether a multiply-add with one rounding is an instruction."""
        return self.host_arch == _ARM or "fma" in self.cpu_features

    @property
    def target(self) -> dict[str, object]:
        """TVM's description of the target."""
        described: dict[str, object] = {"kind": "llvm", "mcpu": self.mcpu, "opt-level": 3}
        if self.host_arch != host_architecture():
            described["mtriple"] = f"{self.host_arch}-linux-gnu"
        return described | ({"mattr": list(self.llvm_features)} if self.llvm_features else {})


_X86, _ARM = "x86_64", "aarch64"
_AVX2 = ("avx2", "bmi2", "fma")
_AVX512 = ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")
_DOT = ("+v8.2a", "+dotprod")
#: groups of four bytes through vpdpbusd, which does not saturate (vpdpbusds does)
AVX512VNNI = Isa("avx512vnni", _X86, "cascadelake", (), (*_AVX2, *_AVX512, "avx512_vnni"), 4, 16, 32, "uint8", "int8")
#: the same instruction on half the width, for CPUs without AVX-512
AVXVNNI = Isa("avxvnni", _X86, "haswell", ("+avxvnni",), (*_AVX2, "avx_vnni"), 4, 8, 16, "uint8", "int8")
#: int16 pairs through vpmaddwd, which cannot saturate (vpmaddubsw on bytes can)
AVX2 = Isa("avx2", _X86, "haswell", (), _AVX2, 2, 8, 16, "int16", "int16")
#: plain int32 lanes; runs on every x86-64, and shows what the others must compute
GENERIC = Isa("generic", _X86, "x86-64", (), (), 1, 16, 4, "uint8", "int8")
#: groups of four bytes through usdot, which takes activations as they are
NEON_I8MM = Isa("neoni8mm", _ARM, "generic", (*_DOT, "+i8mm"), ("asimd", "asimddp", "i8mm"), 4, 4, 32, "uint8", "int8")
#: the same through sdot, which takes both factors signed
NEON_DOT = Isa("neondot", _ARM, "generic", _DOT, ("asimd", "asimddp"), 4, 4, 32, "int8", "int8", offset=128)
#: int16 through smlal, which widens; every 64-bit Arm has it
NEON = Isa("neon", _ARM, "generic", (), ("asimd",), 1, 16, 8, "int16", "int16")

#: of each architecture the best first
ISAS = {isa.name: isa for isa in (AVX512VNNI, AVXVNNI, AVX2, GENERIC, NEON_I8MM, NEON_DOT, NEON)}
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
