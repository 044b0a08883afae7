"""The golden files are the ones that were made, and say nothing of the machine that made them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

HERE = Path(__file__).parent
FILES = {"input.npy", "interpreter_hw.npz", "meta.json", "model.pt"}


def listed() -> dict[str, str]:
    lines = (HERE / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def test_hashes() -> None:
    for name, digest in listed().items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name


def test_every_file_is_listed() -> None:
    found = {str(path.relative_to(HERE)) for path in (HERE / "cases").glob("*/*")}
    assert set(listed()) == found | {"make_golden.py"}


def test_cases_are_whole() -> None:
    cases = list((HERE / "cases").iterdir())
    assert len(cases) == 71
    for case in cases:
        assert {path.name for path in case.iterdir()} == FILES, case.name


def test_texts_name_no_machine() -> None:
    machine = re.compile(r"/(root|home|work|Users)/|https?://|pypi\.org|\.internal\b|localhost")
    for path in [HERE / "make_golden.py", HERE / "README.md", *(HERE / "cases").glob("*/meta.json")]:
        assert machine.search(path.read_text()) is None, path
