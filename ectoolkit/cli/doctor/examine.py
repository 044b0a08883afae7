"""Everything the doctor looks at, as data."""

from __future__ import annotations

from collections.abc import Sequence

from ectoolkit.cli.doctor import accelerator, machine, packages
from ectoolkit.cli.doctor.finding import Finding, Section

COMPILER = "EdgeCortix's compiler (optional; everything above works without)"
ACCELERATOR = "Accelerator (everything above works without)"


def examine() -> list[Section]:
    """Look at this machine; a few seconds at most, changes nothing."""
    cmake = machine.program("cmake", "pip install 'ectoolkit[tvm]'")
    return [
        Section("Python", (packages.python(), *packages.packages())),
        Section("This machine", (*machine.cpu(), machine.fast_interpreter())),
        Section("To build deploy.so and the C++ program", (machine.compiler(), cmake, machine.inference())),
        Section("To build deploy.so for 64-bit Arm, and to try it here", tuple(machine.other_architecture())),
        Section(COMPILER, (accelerator.mera(),)),
        Section(ACCELERATOR, (*accelerator.boards(), *accelerator.xrt(), accelerator.virtual_board())),
        Section("For the browser tests", (machine.chromium(),)),
    ]


def missing(sections: Sequence[Section]) -> list[Finding]:
    """What the main job needs and does not find."""
    return [finding for section in sections for finding in section.findings if finding.needed and not finding.present]
