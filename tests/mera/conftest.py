"""EdgeCortix's compiler: installed for the session, or where ECTOOLKIT_TEST_MERA says."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ectoolkit.mera.place import launcher
from ectoolkit.mera.session import close_idle_workers

pytest.register_assert_rewrite("ectoolkit.testing.conformance")

#: when the first attempt to install is killed, in seconds after its start
KILLED_BETWEEN = (5, 40)
CLI = (sys.executable, "-c", "from ectoolkit.cli.main import app; app()")
TABLE: list[str] = []


@dataclass(frozen=True)
class Environment:
    """MERA for the tests.

    Attributes:
        folder: of the installation.
        variables: under which ectoolkit finds it.
        killed_after: seconds into the first attempt; None where it was there already.
        seconds: that both attempts took.
        output: of the command that finished it.
    """

    folder: Path
    variables: dict[str, str]
    killed_after: float | None
    seconds: float
    output: str

    def command(self, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run ``ectoolkit WORDS``."""
        return subprocess.run(
            [*CLI, *words],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    home = tmp_path_factory.mktemp("home")
    variables = {"XDG_DATA_HOME": str(home / "data"), "XDG_CONFIG_HOME": str(home / "config"), "MERA_PYTHON": ""}
    given = os.environ.get("ECTOOLKIT_TEST_MERA", "")
    if given:
        yield Environment(Path(given), variables, None, 0, "")
        return
    folder = home / "data" / "ectoolkit" / "mera"
    seed = random.randrange(1 << 30)
    after = random.Random(seed).uniform(*KILLED_BETWEEN)
    environment = Environment(folder, variables, after, 0, "")
    start = time.monotonic()
    command = [*CLI, "mera", "install", "--yes"]
    with subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL) as first:
        time.sleep(after)
        first.send_signal(signal.SIGKILL)
    done = environment.command("mera", "install", "--yes")
    seconds = time.monotonic() - start
    TABLE.append(f"mera install: killed after {after:.1f} s (seed {seed}), finished after {seconds:.0f} s in all")
    assert done.returncode == 0, done.stdout + done.stderr
    yield Environment(folder, variables, after, seconds, done.stdout)


@pytest.fixture
def mera(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The environment, for the API in this process."""
    for name, value in environment.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MERA_PYTHON", str(launcher(environment.folder)))
    return environment


@pytest.fixture(scope="session")
def table() -> list[str]:
    """What is printed at the end."""
    return TABLE


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TABLE:
        terminalreporter.section("EdgeCortix's compiler")
        for line in TABLE:
            terminalreporter.line(line)


def pytest_sessionfinish() -> None:
    close_idle_workers()
