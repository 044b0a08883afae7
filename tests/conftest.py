"""What every test shares: torch's own announcements that no test can act on, and the virtual board."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from required import skip
from rpc_server import RpcServer, rpc_server
from xdist.scheduler import LoadFileScheduling

from ectoolkit.devices.xrt.host import VARIABLE
from ectoolkit.testing.virtual_u50 import VirtualBoard, missing, virtual_u50

if TYPE_CHECKING:
    from executed_notebooks import ExecutedNotebooks

#: whether this process shares the cores with others that run tests
_SHARED = "PYTEST_XDIST_WORKER" in os.environ
#: where programs keep what they remember between runs
_STATE = "XDG_STATE_HOME"


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """A file each, in the order given, but all browser tests for one process: JupyterLab, a kernel and Chromium are
    started once."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests, which puts the longest files last

    def _split_scope(self, nodeid: str) -> str:
        whole = "tests/browser"
        return whole if nodeid.startswith(f"{whole}/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: at the end, short ones keep all processes busy alike.

    Those of the browser come behind them: some of the slow ones use several cores, and a page would be late.
    """
    if _SHARED:
        slow = {item.path for item in items if item.get_closest_marker("slow") and item.path.parent.name != "browser"}
        items.sort(key=lambda item: item.path not in slow)


def pytest_configure(config: pytest.Config) -> None:
    # torch's C++ code says once a process that quantized tensors will be removed; models made by this flow need them.
    config.addinivalue_line("filterwarnings", "ignore:.*other quantized tensor creation functions.*")
    if _SHARED:
        # before anything loads OpenMP: threads that wait for each other by spinning take four times as long then
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # what tests build is not the user's to remember
    os.environ[_STATE] = tempfile.mkdtemp(prefix="ectoolkit-state-")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(os.environ.pop(_STATE), ignore_errors=True)


# how long an example takes says nothing on a busy machine; pytest's timeout still ends what hangs
hypothesis.settings.register_profile("ectoolkit", deadline=None)
hypothesis.settings.load_profile("ectoolkit")


@pytest.fixture(scope="session")
def executed_notebooks(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> ExecutedNotebooks:
    """The project's notebooks with their outputs, each executed once for all processes of this run."""
    from executed_notebooks import ExecutedNotebooks  # what it needs takes a while to load

    folder = tmp_path_factory.getbasetemp()
    return ExecutedNotebooks((folder if worker_id == "master" else folder.parent) / "executed")


@pytest.fixture(scope="session")
def virtual_session() -> Iterator[VirtualBoard]:
    """A virtual U50 that nobody sees yet; starting one for each test would take longer than the tests."""
    lacking = missing()
    if lacking is not None:
        skip("xrt", f"the virtual U50 cannot start: {lacking}")
    with virtual_u50() as board:
        del os.environ[VARIABLE]
        yield board


@pytest.fixture
def virtual(virtual_session: VirtualBoard, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualBoard]:
    """The virtual U50, seen by this test, without the faults of the one before."""
    monkeypatch.setenv(VARIABLE, str(virtual_session.host_file))
    yield virtual_session
    virtual_session.heal()


@pytest.fixture(scope="session")
def rpc_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcServer]:
    """A server of the rpc device, in a process of its own: importing TVM there takes longer than the tests."""
    with rpc_server(tmp_path_factory.mktemp("rpc"), "--limit-mb", "20", "--sessions", "3") as server:
        yield server


@pytest.fixture
def rpc(rpc_session: RpcServer, monkeypatch: pytest.MonkeyPatch) -> RpcServer:
    """The server, whose key is known to this test."""
    monkeypatch.setenv("ECTOOLKIT_RPC_KEY", rpc_session.key)
    return rpc_session
