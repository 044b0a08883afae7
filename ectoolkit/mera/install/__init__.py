"""Makes an environment for MERA from package registries alone, in one folder, step by step.

`recipe` says what goes in, `interpreters` finds a CPython 3.10, `libraries` brings shared libraries that the host
lacks, `steps` are the steps, `installation` runs those that are not done yet, and removes it all again.
"""

from ectoolkit.mera.install.installation import Installation, install, installation_at, uninstall

__all__ = ["Installation", "install", "installation_at", "uninstall"]
