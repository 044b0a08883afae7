"""Reads the driver's files; what is missing is None, with the reason."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The first line, None where the file is not there, not readable or empty."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    return (lines[0].strip() or None) if lines else None


def subdevice(function: Path, name: str) -> Path | None:
    """The folder of a part of a PCIe function: ``xmc`` is in ``xmc.u.18874368``."""
    return next(iter(sorted(function.glob(f"{name}.[um].*"))), None)


def read_number(folder: Path | None, name: str, factor: float = 1.0) -> tuple[float | None, str]:
    """A number in its unit, and why it is missing.

    Args:
        folder: of the subdevice, None where the driver has none.
        name: of the file.
        factor: from the driver's unit to ours.
    """
    if folder is None:
        return None, "the driver shows no such sensor"
    text = read_text(folder / name)
    if text is None:
        return None, f"{name} is not there or empty"
    try:
        return int(text, 0) * factor, ""
    except ValueError:
        return None, f"{name} reads {text!r}, which is no number"
