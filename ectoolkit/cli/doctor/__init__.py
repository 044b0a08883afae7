"""What is installed and what is missing: facts found without importing anything heavy.

`examine` returns everything as data; `command` prints it.
"""

from ectoolkit.cli.doctor.examine import Finding, Section, examine

__all__ = ["Finding", "Section", "examine"]
