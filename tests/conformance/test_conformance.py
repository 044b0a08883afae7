"""Every device is put to `ectoolkit.testing.conformance`: one class a device.

A new device: another class here.  One that needs something running (a server, an environment) overrides the fixture
``name``, which starts it and says what `open_device` takes; one with a target of its own sets ``target``, ``graphs``
and ``lacks``.  Mark it as its other tests are marked.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rpc_server import RpcServer

from ectoolkit.testing.conformance import DeviceConformance

STAND_IN = Path(__file__).parents[1] / "helpers" / "stand_in"


class TestInterpreter(DeviceConformance):
    """The definition itself."""

    device = "interpreter"


class TestCpu(DeviceConformance):
    """The compiled library."""

    device = "cpu"


@pytest.mark.usefixtures("virtual")
class TestXrt(DeviceConformance):
    """The virtual U50 through XRT's C library."""

    device = "xrt:0"
    options = {"backend": "ctypes"}  # noqa: RUF012  (of the class, and never changed)


@pytest.mark.usefixtures("virtual")
class TestXrtThroughPyxrt(DeviceConformance):
    """The virtual U50 through a stand-in for pyxrt, as new as its API is."""

    device = "xrt:0"
    options = {"backend": "pyxrt"}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def pyxrt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(STAND_IN))
        monkeypatch.setenv("ECTOOLKIT_PYXRT_API", "2.23")


class TestRpc(DeviceConformance):
    """The compiled library in a server's process."""

    @pytest.fixture
    def name(self, rpc: RpcServer) -> str:
        return rpc.name


@pytest.mark.usefixtures("plugin")
class TestPlugin(DeviceConformance):
    """A device of a package that pip has installed: tests/helpers/plugin."""

    device = "mirror:left"
