"""What a build for EdgeCortix's targets can be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ectoolkit.core.deployment import Deployment
from ectoolkit.errors import BuildError
from ectoolkit.mera.names import DEFAULT_PLATFORM, HOST_ARCHS, PLATFORMS

#: of a deploy directory: what it was built with, and what the compiler measured
SETTINGS = "compile.json"
SCHEDULERS: Mapping[str, str] = {"fast": "Fast", "slow": "Slow"}


@dataclass(frozen=True)
class MeraOptions:
    """Settings of the compiler.

    Attributes:
        target: of MERA: ``"InterpreterHw"``, ``"Simulator"``, ``"IP"`` or ``"VerilatorSimulator"``.
        platform: a name of `ectoolkit.mera.names.PLATFORMS`.
        host_arch: of the machine that will run it: ``"x86"``, or ``"arm"`` for IP.
        scheduler: ``"fast"``, or ``"slow"``, which searches longer for a schedule of fewer cycles.
        workers: threads of the scheduler; MERA's default, 7, where None.
        frequency_mhz: clock that simulated times are given for; MERA's default, 800, where None.
    """

    target: str
    platform: str = DEFAULT_PLATFORM
    host_arch: str = "x86"
    scheduler: str = "fast"
    workers: int | None = None
    frequency_mhz: int | None = None

    def __post_init__(self) -> None:
        _one_of("platform", self.platform, PLATFORMS)
        _one_of("host_arch", self.host_arch, HOST_ARCHS)
        _one_of("scheduler", self.scheduler, SCHEDULERS)
        if self.host_arch != "x86" and self.target != "IP":
            raise BuildError(f"host_arch is {self.host_arch!r}, and mera:{self.target} runs on x86 alone; use mera:IP")
        for name in ("workers", "frequency_mhz"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BuildError(f"{name} is {value}, expected at least 1")

    def config(self) -> dict[str, Any]:
        """As MERA's build config."""
        config: dict[str, Any] = {"scheduler_config": {"mode": SCHEDULERS[self.scheduler]}}
        if self.workers is not None:
            config["compiler_workers"] = self.workers
        if self.frequency_mhz is not None:
            config["sim_freq_mhz"] = self.frequency_mhz
        return config


def options_of(deployment: Deployment) -> dict[str, Any]:
    """What `build_mera` was told when it built a deployment, for another build like it."""
    known = json.loads((deployment.path / SETTINGS).read_text(encoding="utf-8"))
    names = [field.name for field in fields(MeraOptions) if field.name != "target"]
    return {name: known[name] for name in (*names, "preflight") if name in known}


def _one_of(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise BuildError(f"{name} is {value!r}, expected one of {', '.join(known)}")
