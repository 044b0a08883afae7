"""Names that MERA 1.6 gives its targets, platforms and boards."""

from __future__ import annotations

from types import MappingProxyType

#: target to what it is, for people; sorted
TARGETS = MappingProxyType(
    {
        "IP": "an accelerator, through EdgeCortix's runtime; its board is looked for when it runs",
        "InterpreterHw": "EdgeCortix's interpreter of the accelerator's arithmetic",
        "Simulator": "EdgeCortix's simulator, which also counts cycles",
        "VerilatorSimulator": "EdgeCortix's simulation of the logic, with a library of theirs",
    }
)
#: platform to the architecture it stands for; two names share one
PLATFORMS = MappingProxyType(
    {
        "DNAF200L0001": "DNAF200L0001",
        "DNAF200L0002": "DNAF200L0002",
        "DNAF200L0003": "DNAF200L0003",
        "DNAF100L0001": "DNAF100L0001",
        "DNAF100L0002": "DNAF100L0002",
        "DNAF100L0003": "DNAF100L0003",
        "DNAF10032x2": "DNAF10032x2",
        "DNAF132S0001": "DNAF132S0001",
        "DNAF232S0001": "DNAF232S0001",
        "DNAF232S0002": "DNAF232S0002",
        "DNAF632L0001": "DNAF632L0001",
        "DNAF632L0002": "DNAF632L0002",
        "DNAF632L0003": "DNAF632L0003",
        "DNAF300L0001": "DNAF300L0001",
        "DNAA400L0001": "DNAA400L0001",
        "DNAA600L0001": "DNAA600L0001",
        "DNAA600L0002": "DNAA600L0002",
        "SAKURA_1": "DNAA600L0002",
        "SAKURA_2C": "DNAA600L0003",
    }
)
#: the U50 guide's
DEFAULT_PLATFORM = "DNAF200L0003"
#: board to the number that EdgeCortix's runtime knows it by
BOARDS = MappingProxyType({"SAKURA_1": 1, "XILINX_U50": 2, "INTEL_IA420": 3})
#: architectures of the host that MERA links for
HOST_ARCHS = ("x86", "arm")
