"""The end: nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ectoolkit.mera.session import close_idle_workers

pytestmark = [pytest.mark.mera, pytest.mark.slow, pytest.mark.timeout(300)]


def test_nothing_is_left(environment: Any) -> None:
    if environment.killed_after is None:
        pytest.skip("the environment was there already (MERA_DIR)")
    close_idle_workers()
    done = environment.command("mera", "uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{environment.folder} is removed\n"
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        root = Path(environment.variables[name])
        assert [path for path in root.rglob("*") if path.is_file()] == []
        assert not (root / "ectoolkit").exists()
    assert environment.command("mera", "status").returncode == 1
    again = environment.command("mera", "uninstall", "--yes")
    assert again.returncode == 2
    assert "holds no environment that `ectoolkit mera install` made, so nothing is removed" in again.stderr
