"""The golden files are the ones that were made, and say nothing of the machine that made them."""

from __future__ import annotations

import hashlib
import re
import zipfile
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


MACHINE = re.compile(rb"/(root|home|work|Users|tmp|usr|opt)/|https?://|pypi\.org|\.internal\b|localhost")


def test_texts_name_no_machine() -> None:
    for path in [HERE / "make_golden.py", HERE / "README.md", *(HERE / "cases").glob("*/meta.json")]:
        assert MACHINE.search(path.read_bytes()) is None, path


def test_models_name_no_machine() -> None:
    """Their entries are compressed, so they are read one by one; torch's notes on where a module was traced are out."""
    for path in (HERE / "cases").glob("*/model.pt"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                assert not name.endswith(".debug_pkl"), path
                assert MACHINE.search(archive.read(name)) is None, (path, name)
