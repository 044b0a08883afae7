"""Instruction sets the kernels are written for, and what a CPU must have to run them."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from ectoolkit.core.host import missing_features
from ectoolkit.errors import BuildError


@dataclass(frozen=True)
class Isa:
    """An instruction set.

    Attributes:
        name: as users write it.
        mcpu: LLVM's name of a CPU that it is at least.
        llvm_features: what LLVM may use beyond that CPU's.
        cpu_features: flags of ``/proc/cpuinfo`` that a CPU must show.
        group: input channels that one dot-product step takes.
        lanes: int32 sums that one dot-product step adds to.
        registers: vector registers of that width.
        activation_dtype: what activations are widened to before the dot product.
        weight_dtype: what weights are widened to when they are packed.
    """

    name: str
    mcpu: str
    llvm_features: tuple[str, ...]
    cpu_features: tuple[str, ...]
    group: int
    lanes: int
    registers: int
    activation_dtype: str
    weight_dtype: str

    @property
    def widens(self) -> bool:
        """Whether the dot product needs a widened copy of the activations."""
        return self.activation_dtype != "uint8"


_AVX2 = ("avx2", "bmi2", "fma")
_AVX512 = ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")
#: groups of four bytes through vpdpbusd, which does not saturate (vpdpbusds does)
AVX512VNNI = Isa("avx512vnni", "cascadelake", (), (*_AVX2, *_AVX512, "avx512_vnni"), 4, 16, 32, "uint8", "int8")
#: the same instruction on half the width, for CPUs without AVX-512
AVXVNNI = Isa("avxvnni", "haswell", ("+avxvnni",), (*_AVX2, "avx_vnni"), 4, 8, 16, "uint8", "int8")
#: int16 pairs through vpmaddwd, which cannot saturate (vpmaddubsw on bytes can)
AVX2 = Isa("avx2", "haswell", (), _AVX2, 2, 8, 16, "int16", "int16")
#: plain int32 lanes; runs on every x86-64, and shows what the others must compute
GENERIC = Isa("generic", "x86-64", (), (), 1, 16, 4, "uint8", "int8")

#: best first
ISAS = {isa.name: isa for isa in (AVX512VNNI, AVXVNNI, AVX2, GENERIC)}


def choose_isa(name: str = "host") -> Isa:
    """An instruction set by name; ``"host"`` is the best that this CPU runs.

    Raises:
        BuildError: there is none of that name, or this is no x86-64 machine.
    """
    if name == "host":
        if platform.machine() not in ("x86_64", "AMD64"):
            raise BuildError(
                f"the cpu target makes x86-64 code and this is {platform.machine()}; name the instruction set of the "
                f"machine it is for: isa={' or '.join(map(repr, ISAS))}"
            )
        return next(isa for isa in ISAS.values() if not missing_features(isa.cpu_features))
    if name not in ISAS:
        raise BuildError(f"there is no instruction set {name!r}; known: 'host', {', '.join(map(repr, ISAS))}")
    return ISAS[name]
