"""One fact about this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Whether something is there.

    Attributes:
        name: of the thing.
        present: whether it is there and usable.
        detail: version and place where present; what is wrong where not.
        cure: how to get it; empty where present.
        needed: whether the main job (``ectoolkit demo``) needs it.
    """

    name: str
    present: bool
    detail: str
    cure: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Section:
    """Findings of one kind, with a title for people."""

    title: str
    findings: tuple[Finding, ...]
