"""One tiny deploy directory, built once by the command line itself, and a way to call it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ectoolkit.cli.main import app

CASE = Path(__file__).parents[2] / "golden" / "cases" / "conv3x3_relu"

Call = Callable[..., Any]


def call(*arguments: object) -> Any:
    """Run ``ectoolkit ARGUMENTS`` in this process; the result has exit_code, stdout, stderr."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(name="call", scope="session")
def call_fixture() -> Call:
    return call


@pytest.fixture(scope="session")
def case() -> Path:
    return CASE


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "deploy"
    shape = ("--input-shape", "1,3,16,16")
    result = call("deploy", CASE / "model.pt", folder, *shape, "--reference", CASE / "input.npy")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def deployment(built: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(built, tmp_path / "deploy"))
