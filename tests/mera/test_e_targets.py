"""Targets, devices, boards, platforms, cross-checks: what the API promises, on small networks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mera_nets import FULL_RANGE, PER_TENSOR, SHAPE, ConvNet, Net, conv, traced, well
from numpy.testing import assert_array_equal
from torch import nn

import ectoolkit as ect
from ectoolkit.core.graph import Graph
from ectoolkit.errors import (
    BuildError,
    Cancelled,
    DeviceNotFoundError,
    DeviceRunError,
    DeviceTimeoutError,
    PrecisionWarning,
)
from ectoolkit.interpreters import trace
from ectoolkit.mera.place import launcher
from ectoolkit.mera.session import Worker, close_idle_workers
from ectoolkit.quantization.calibrated import calibrate
from ectoolkit.workflow.verdicts import locate

pytestmark = [pytest.mark.mera, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def small() -> tuple[Graph, np.ndarray]:
    script, x = traced(Net(conv(3, 8), nn.ReLU(), conv(8, 5)))
    return ect.import_torchscript(script, SHAPE), x


def test_their_own_runtime_takes_our_directory(small: tuple[Graph, np.ndarray], mera: Any, tmp_path: Path) -> None:
    graph, x = small
    out = ect.build(graph, tmp_path / "out", "mera:InterpreterHw", reference_input=x).path
    code = (
        "import sys, numpy, mera; folder = sys.argv[1]\n"
        "runner = mera.load_mera_deployment(folder).get_runner()\n"
        "x = numpy.fromfile(folder + '/input0.bin', 'float32').reshape(1, 12, 12, 3)\n"
        "found = runner.set_input(x).run().get_outputs()[0]\n"
        "expected = numpy.fromfile(folder + '/ref_result_0.bin', 'float32')\n"
        "print('correct ratio', (found.ravel() == expected).mean())"
    )
    done = subprocess.run([launcher(mera.folder), "-c", code, out], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "correct ratio 1.0"
    verified = mera.command("verify", str(out), "--recompute")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_u50_without_a_board(small: tuple[Graph, np.ndarray], mera: Any, table: list[str], tmp_path: Path) -> None:
    graph, x = small
    deployment = ect.build(graph, tmp_path / "out", "mera:IP", reference_input=x)
    with ect.open_device("mera:IP") as device, pytest.raises(DeviceNotFoundError) as caught:
        device.run(deployment)
    text = str(caught.value)
    for part in ("/opt/edgecortix/license.lic", "/opt/edgecortix/dna.xclbin", "an XRT device", "Ask EdgeCortix for"):
        assert part in text
    table.append(text)


def test_timeout_and_cancel(small: tuple[Graph, np.ndarray], mera: Any, tmp_path: Path) -> None:
    graph, x = small
    close_idle_workers()  # a fresh one takes seconds to import MERA
    with pytest.raises(BuildError, match=r"did not end within 0.5 s, so its process was killed"):
        ect.build(graph, tmp_path / "out", "mera:Simulator", reference_input=x, timeout_s=0.5)

    def progress(done: int, total: int, label: str) -> None:
        if label.startswith("compile, 1 s"):
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        ect.build(graph, tmp_path / "out", "mera:Simulator", reference_input=x, progress=progress)
    assert not (tmp_path / "out").exists()
    deployment = ect.build(graph, tmp_path / "out", "mera:Simulator", reference_input=x)
    with ect.open_device("mera:Simulator", timeout_s=0.0005) as device:
        with pytest.raises(DeviceTimeoutError, match=r"running did not end within 0.0005 s"):
            device.run(deployment)
        device.timeout_s = 60  # type: ignore[attr-defined]
        assert ect.compare(device.run(deployment).outputs, ect.interpret(graph, x))
    well()


def test_a_device_whose_process_dies(small: tuple[Graph, np.ndarray], mera: Any, tmp_path: Path) -> None:
    graph, x = small
    deployment = ect.build(graph, tmp_path / "out", "mera:InterpreterHw", reference_input=x)
    with ect.open_device("mera:InterpreterHw") as device:
        first = device.run(deployment).outputs
        pid = device._worker.pid  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGSTOP)  # so that the run has begun when the process dies
        threading.Timer(0.5, lambda: [os.kill(pid, number) for number in (signal.SIGSEGV, signal.SIGCONT)]).start()
        with pytest.raises(DeviceRunError, match="SIGSEGV"):
            device.run(deployment)
        assert_array_equal(device.run(deployment).outputs[0], first[0])


def test_closing_ends_a_run(small: tuple[Graph, np.ndarray], mera: Any, tmp_path: Path) -> None:
    """The notebook's other thread gets an error at once, not after the simulation's minutes."""
    graph, x = small
    deployment = ect.build(graph, tmp_path / "out", "mera:InterpreterHw", reference_input=x)
    begun = threading.Event()
    device = ect.open_device("mera:InterpreterHw", waiting=lambda seconds, line: begun.set())
    with ThreadPoolExecutor(1) as pool:
        device.__enter__()
        device.load(deployment)
        assert re.fullmatch(r"mera [\d.]+.* on .+, Python 3\.10\.\d+.*", device.identity()["MERA"])
        os.kill(device._worker.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
        run = pool.submit(device.run, deployment)
        assert begun.wait(30)
        device.close()
        with pytest.raises(
            Cancelled, match=r"^mera:InterpreterHw was closed \d+ s into a run, so its process was ended$"
        ):
            run.result(30)
    with device:
        assert ect.compare(device.run(deployment).outputs, ect.interpret(graph, x))


def test_a_device_that_could_not_load(
    small: tuple[Graph, np.ndarray], mera: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong while files were sent, the next run starts anew; and closing never raises."""
    graph, x = small
    deployment = ect.build(graph, tmp_path / "out", "mera:InterpreterHw", reference_input=x)
    expected = ect.interpret(graph, x)

    def half(worker: Worker, area: str, files: Any) -> None:
        worker.call("begin", timeout_s=9, area=area)

    with ect.open_device("mera:InterpreterHw") as device:
        for loaded in (False, True):  # when it loads first, and when it loads again into a fresh worker
            if loaded:
                os.kill(device._worker.pid, signal.SIGKILL)  # type: ignore[attr-defined]
                with pytest.raises(DeviceRunError, match="SIGKILL"):
                    device.run(deployment)
            with monkeypatch.context() as patch:
                patch.setattr(Worker, "send_files", half)
                with pytest.raises(DeviceRunError, match=r"loading Net failed: FileNotFoundError: .*deploy.json"):
                    device.run(deployment)
            assert ect.compare(device.run(deployment).outputs, expected)
        pid = device._worker.pid  # type: ignore[attr-defined]
        monkeypatch.setattr("ectoolkit.devices.mera._UNLOAD_TIMEOUT_S", 0.5)
        os.kill(pid, signal.SIGSTOP)
    assert not Path(f"/proc/{pid}").exists()
    well()


class Padded(nn.Module):
    """A pad that a pool reads: EdgeCortix's compiler pads with code 0 instead of the zero point."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(3, 8), conv(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(nn.functional.max_pool2d(nn.functional.pad(self.first(x), (1, 1, 1, 1)), 2))


def _padded() -> tuple[Graph, np.ndarray]:
    torch.manual_seed(0)
    images = np.random.default_rng(0).standard_normal((4, *SHAPE[1:])).astype(np.float32)
    # convolutions that give nothing positive near the edge, so that a frame of zeros shows in the maximum
    net = Padded().eval()
    with torch.no_grad():
        net.first.bias.fill_(-3.0)  # type: ignore[union-attr]
    return calibrate(net, images, name="padded").quantize(
        ect.QuantConfig(method="minmax", hardware="dna")
    ).graph, images


def test_the_first_differing_layer(mera: Any, table: list[str]) -> None:
    graph, images = _padded()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        with pytest.raises(BuildError, match="silently pads with code 0 instead of the zero point: pad"):
            ect.cross_check(graph, "mera:InterpreterHw", images)
        found = ect.cross_check(graph, "mera:InterpreterHw", images, preflight=False)
    table.append(f"cross_check: {str(found).splitlines()[-1]} ({found.location.how if found.location else ''})")
    assert not found
    assert found.location is not None
    assert found.location.layer == "pad"


def test_a_verdict_builds_where_its_device_is(mera: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncated graphs go to the device's own environment, with the options of what it runs."""
    graph, images = _padded()
    place = os.environ["MERA_PYTHON"]
    monkeypatch.delenv("MERA_PYTHON")
    x = images[:1]
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        deployment = ect.build(
            graph, out, "mera:InterpreterHw", reference_input=x, environment=place, preflight=False, workers=2
        )
        with ect.open_device("mera:InterpreterHw", environment=place) as device:
            location = locate(trace(graph, x), x, device, deployment)
    assert location is not None
    assert location.layer == "pad"


def test_platforms(small: tuple[Graph, np.ndarray], mera: Any, table: list[str]) -> None:
    graph, x = small
    found = ect.compare_platforms(graph, x)
    assert list(found["trouble"]) == [""] * 5
    assert found["cycles"].min() > 0
    assert found.set_index("platform")["equal"]["DNAF200L0003"]
    table.extend(found.drop(columns="trouble").to_string(index=False).splitlines())


def test_several_inputs_and_images(mera: Any) -> None:
    """Two inputs and two outputs, one of them 4-D, and a batch of several runs."""
    from ectoolkit.testing.networks import example_input, two_ended_graph

    graph = two_ended_graph()
    x = example_input(graph, batch=3)
    assert ect.cross_check(graph, "mera:InterpreterHw", x)


def test_the_simulator_and_high_zero_points(mera: Any, table: list[str], tmp_path: Path) -> None:
    """8-bit activations around zero get a zero point of 128: refused for the Simulator, and rightly."""
    script, x = traced(Net(conv(3, 8), conv(8, 5)), FULL_RANGE)
    graph = ect.import_torchscript(script, SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        assert ect.cross_check(graph, "mera:InterpreterHw", x)
        with pytest.raises(BuildError, match="silently wrong in its Simulator target where a zero point is above 127"):
            ect.build(graph, tmp_path / "out", "mera:Simulator", reference_input=x)
        found = ect.cross_check(graph, "mera:Simulator", x, preflight=False)
    assert not found
    table.append(f"zero points above 127, Simulator forced: {str(found).splitlines()[-1]}")


def test_per_tensor_scales_and_names_are_mended(mera: Any, tmp_path: Path) -> None:
    for script, x in (traced(Net(conv(3, 8)), PER_TENSOR), traced(ConvNet(conv(3, 8)))):
        graph = ect.import_torchscript(script, SHAPE)
        options = {"reference_input": x, "torchscript": script}
        deployment = ect.build(graph, tmp_path / "out", "mera:InterpreterHw", **options)
        with ect.open_device("mera:InterpreterHw") as device:
            assert ect.compare(device.run(deployment).outputs, ect.interpret(graph, x))
        assert '"remedies": []' not in (deployment.path / "compile.json").read_text()
