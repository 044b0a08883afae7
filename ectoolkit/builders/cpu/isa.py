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
        mcpu: LLVM's name of the least CPU that has it.
        cpu_features: flags of ``/proc/cpuinfo`` that a CPU must show.
        group: input channels that one dot-product step takes.
        activation_dtype: what activations are widened to before the dot product.
        weight_dtype: what weights are widened to when they are packed.
    """

    name: str
    mcpu: str
    cpu_features: tuple[str, ...]
    group: int
    activation_dtype: str
    weight_dtype: str


#: int16 pairs through vpmaddwd, which cannot saturate (vpmaddubsw on bytes can)
AVX2 = Isa("avx2", "haswell", ("avx2", "bmi2", "fma"), 2, "int16", "int16")
#: plain int32 lanes; runs on every x86-64, and shows what the others must compute
GENERIC = Isa("generic", "x86-64", (), 1, "uint8", "int8")

ISAS = {isa.name: isa for isa in (AVX2, GENERIC)}


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
