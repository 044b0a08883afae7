"""A small deployment for the tests of single devices, and a third party's package with a device."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("ectoolkit.testing.conformance")

from ectoolkit.builders import build  # noqa: E402  (the suite's assertions are rewritten where it is first imported)
from ectoolkit.testing.conformance import Built  # noqa: E402
from ectoolkit.testing.networks import example_input, residual_graph  # noqa: E402

PLUGIN = Path(__file__).parents[1] / "helpers" / "plugin"


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The residual network for the cpu, in NHWC."""
    graph = residual_graph()
    x = example_input(graph)
    return Built(build(graph, tmp_path_factory.mktemp("built") / "deploy", reference_input=x), graph, x)


@pytest.fixture(scope="session")
def plugin_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package; nothing is downloaded."""
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")  # setuptools writes beside it
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def plugin(plugin_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process finds the package during a test, and forgets it."""
    monkeypatch.syspath_prepend(str(plugin_site))
    yield plugin_site
    for module in [name for name in sys.modules if name.startswith("ectoolkit_mirror")]:
        del sys.modules[module]
