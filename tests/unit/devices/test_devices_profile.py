"""Times of single layers beside the measured roofline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runner_changes import replace_file

from ectoolkit.analysis import profile_table
from ectoolkit.builders import build
from ectoolkit.core.deployment import Deployment, load_deployment
from ectoolkit.core.workload import workload
from ectoolkit.devices import LayerTime, Profile, Roofline, open_device
from ectoolkit.errors import DeviceError
from ectoolkit.testing.networks import example_input, residual_graph

GRAPH = residual_graph()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return build(GRAPH, tmp_path_factory.mktemp("profile") / "deploy", reference_input=example_input(GRAPH))


def test_every_layer_is_timed_once(deployment: Deployment) -> None:
    with open_device("cpu", threads=1) as device:
        before = device.run(deployment)
        profile = device.profile(deployment, runs=3)
        after = device.run(deployment)
    assert [layer for each in profile.layers for layer in each.layers] == [node.name for node in GRAPH.nodes]
    assert [each.name for each in profile.layers if len(each.layers) > 1] == ["block + add"]
    assert all(each.seconds > 0 and each.kernels for each in profile.layers)
    assert (profile.runs, profile.threads, profile.device) == (3, 1, "cpu")
    assert 1e9 < profile.roofline.macs_per_s < 1e13
    assert 1e8 < profile.roofline.bytes_per_s < 1e13
    # the virtual machine's own work comes on top; a factor for the machine's noise
    assert 0 < profile.layers_s < 10 * profile.latency_s
    assert (before.outputs[0] == after.outputs[0]).all()


def test_work() -> None:
    together, apart = workload(GRAPH, ["block", "add"]), workload(GRAPH, ["block"])
    # 9 · 6 · 6 multiply-accumulates for each of 30 pixels; the sums stay in registers where an add takes them
    assert together.macs == apart.macs == 9 * 6 * 6 * 30
    codes, weights, bias = 6 * 30, 6 * 6 * 9, 6 * 4
    assert apart.moved == codes + weights + bias + 4 * codes
    assert together.moved == codes + weights + bias + codes


def test_table() -> None:
    work = [workload(GRAPH, [name]) for name in ("stem", "pool")]
    layers = (
        LayerTime(("stem",), "conv2d", ("frame", "dense"), 4e-6, work[0]),
        LayerTime(("pool",), "global_avg_pool", ("pool",), 1e-6, work[1]),
    )
    profile = Profile(layers, Roofline(2e9, 1e9), 6e-6, 5, "cpu", 2)
    assert str(profile) == "2 layers in 0.005 ms of 0.006 ms, 2 threads; roofline 2 GMAC/s, 1 GB/s"
    table = profile_table(profile).set_index("layer")
    stem, pool = table.loc["stem"], table.loc["pool"]
    assert (stem["op"], stem["kernels"], stem["bound"], pool["bound"]) == (
        "conv2d",
        "frame, dense",
        "compute",
        "memory",
    )
    assert (stem["time_us"], stem["share"]) == (pytest.approx(4), pytest.approx(0.8))
    assert stem["gmac_per_s"] == pytest.approx(work[0].macs / 4e3)
    assert stem["of_roofline"] == pytest.approx(work[0].macs / 2e9 / 4e-6)
    assert pool["gb_per_s"] == pytest.approx(work[1].moved / 1e3)
    assert pool["of_roofline"] == pytest.approx(work[1].moved / 1e9 / 1e-6)


def test_a_list_of_kernels_that_is_not_the_librarys(deployment: Deployment, tmp_path: Path) -> None:
    program = json.loads((deployment.path / "deploy.json").read_bytes())
    steps = program["program"]["steps"]
    program["program"]["steps"] = [steps[1], *steps[1:]]
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in deployment.path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    replace_file(folder, "deploy.json", json.dumps(program).encode())
    with open_device("cpu", threads=1) as device, pytest.raises(DeviceError) as caught:
        device.profile(load_deployment(folder))
    assert str(caught.value) == (
        f"{folder} runs {len(steps)} kernels, expected the {len(steps)} that deploy.json lists; the first other one is "
        f"{steps[0]['kernel']}. Build the directory again"
    )


def test_nothing_to_time(deployment: Deployment) -> None:
    with open_device("cpu", threads=1) as device, pytest.raises(DeviceError) as caught:
        device.profile(deployment, runs=0)
    assert str(caught.value) == "runs=0: expected at least one run to time"
