"""What binder/ installs is what ectoolkit needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def names(lines: list[str]) -> dict[str, str]:
    """Package to the versions asked for."""
    found = (re.match(r"([A-Za-z0-9-]+)(.*)", line) for line in lines)
    return {match[1].lower(): match[2].strip() for match in found if match}


def test_binder_has_the_dependencies_of_all_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = list(project["dependencies"])
    for extra in re.search(r"\[(.*)\]", extras["all"][0])[1].split(","):  # type: ignore[index]
        needed += extras[extra]
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    there = names([line for line in lines if line and line[0] not in "#-"])
    wanted = names(needed)
    assert there == wanted


def test_binder_names_no_index_of_its_own() -> None:
    for file in (ROOT / "binder").iterdir():
        text = file.read_text(encoding="utf-8")
        assert "index-url" not in text, file.name
        assert "://" not in text, file.name


def test_binder_scripts_stop_at_the_first_error() -> None:
    assert "\nset -e\n" in (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    assert (ROOT / "binder" / "postBuild").stat().st_mode & 0o111
